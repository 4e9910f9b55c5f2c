//! Converts a target's batches.

use super::context::{number, opening};
use crate::batch::BatchPolicy;
use crate::delivery::Format;
use crate::diagnostic::Code;
use crate::file::mirror::BatchFile;
use crate::file::read::{Reader, Spanned};
use crate::limits;
use std::num::NonZeroUsize;
use std::time::Duration;

/// `window` is the target's, given or by default.
pub(super) fn convert_batch(
    file: &BatchFile,
    format: Format,
    window: usize,
    reader: &mut Reader,
) -> BatchPolicy {
    let default = BatchPolicy::default();
    let mut size = |slot, limits, key| {
        let number = number(slot, limits, key, reader)?;
        NonZeroUsize::new(usize::try_from(number).ok()?)
    };
    let events = size(&file.max_events, limits::BATCH_EVENTS, "maxEvents");
    let bytes = size(&file.max_bytes, limits::BATCH_BYTES, "maxBytes");
    let wait = number(
        &file.max_wait,
        limits::BATCH_WAIT_MSEC,
        "maxWaitMsec",
        reader,
    );
    let batch = BatchPolicy::new(
        events.unwrap_or(default.max_events()),
        bytes.unwrap_or(default.max_bytes()),
        wait.map_or(default.max_wait(), Duration::from_millis),
    );
    if !format.can_batch() {
        let message = format!(
            "`batch` is given, and a request of the format {:?} holds one event",
            format.name()
        );
        let able: Vec<String> = Format::ALL
            .iter()
            .filter(|format| format.can_batch())
            .map(|format| format!("{:?}", format.name()))
            .collect();
        let help = format!(
            "remove `batch`, or set `format` to one of {}",
            able.join(", ")
        );
        reader.error(Code::ConflictingKeys, &opening(&file.span), message, help);
    }
    let (events, most) = (batch.max_events().get(), limits::most_batched(window));
    if events > most {
        let place = match file.max_events.as_given() {
            Some(Spanned { span, .. }) => span.clone(),
            None => opening(&file.span),
        };
        let message = format!("`batch.maxEvents` is {events}, and `window` is {window}");
        let lower = match most {
            // A window under 4 has no quarter.
            0 => String::new(),
            most => format!("`maxEvents` to {most} or less, or "),
        };
        let help = format!(
            "a batch may take a quarter of the window: set {lower}`window` to {} or more",
            events * 4
        );
        reader.error(Code::OutOfRange, &place, message, help);
    }
    batch
}
