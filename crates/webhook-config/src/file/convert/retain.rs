//! Converts what is kept of a target's deliveries.

use super::context::{Context, number, opening, required};
use crate::diagnostic::Code;
use crate::file::mirror::RetainFile;
use crate::file::read::{Reader, Slot, Spanned};
use crate::json::Span;
use crate::limits;
use crate::queue::QueueSettings;
use crate::retention::{Retention, most_retained, retained};
use crate::target::Target;
use std::time::Duration;

pub(super) fn convert_retain(
    file: RetainFile,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Retention> {
    let age = number(&file.max_age, limits::RETRY_MSEC, "maxAgeMsec", reader);
    let what = "a number of bytes such as 1073741824";
    let brace = opening(&file.span);
    let bytes = required(file.max_bytes, "maxBytes", what, &brace, context, reader)?;
    let bytes = Slot::Given(bytes);
    let bytes = number(&bytes, limits::OWED_BYTES, "maxBytes", reader)?;
    let age = age.map_or(Retention::DEFAULT_MAX_AGE, Duration::from_millis);
    Some(Retention::new(age, bytes))
}

/// The place of `retain.maxBytes`, if it is given.
pub(super) fn place(retain: &Slot<RetainFile>) -> Option<Span> {
    let Spanned { span, .. } = retain.as_given()?.max_bytes.as_given()?;
    Some(span.clone())
}

/// Checks that what is kept of deliveries leaves enough of the queue. `places` are those of
/// `retain.maxBytes`.
pub(super) fn check_retained(
    targets: &[Target],
    queue: &QueueSettings,
    places: &[Span],
    reader: &mut Reader,
) {
    let (sum, most) = (
        retained(targets.iter().filter_map(Target::retain)),
        most_retained(queue),
    );
    let Some(place) = places.last().filter(|_| sum > most) else {
        return;
    };
    let message = format!(
        "`retain.maxBytes` of all targets is {sum} bytes in all, and {most} are left for it: at most \
         half of `queue.maxBytes`, less `queue.deadLetters.maxBytes` ({})",
        queue.max_dead_letter_bytes()
    );
    let help = "lower it or `queue.deadLetters.maxBytes`, or raise `queue.maxBytes`: the other half \
                is for what is owed";
    reader.error(Code::OutOfRange, place, message, help);
}
