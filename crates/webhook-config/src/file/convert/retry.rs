//! Converts a target's retry settings.

use super::context::{number, opening};
use crate::diagnostic::Code;
use crate::file::mirror::RetryFile;
use crate::file::read::Reader;
use crate::limits;
use crate::retry::{InvalidRetry, RetryPolicy};
use std::num::NonZeroU32;
use std::time::Duration;

pub(super) fn convert_retry(file: &RetryFile, reader: &mut Reader) -> RetryPolicy {
    let default = RetryPolicy::default();
    let msec = |slot, key, default, reader: &mut Reader| {
        number(slot, limits::RETRY_MSEC, key, reader).map_or(default, Duration::from_millis)
    };
    let initial = msec(&file.initial, "initialMsec", default.initial(), reader);
    // If only the first wait is set, and is above the default of the longest, the longest is the
    // same.
    let longest = if file.max.is_given() {
        default.max()
    } else {
        default.max().max(initial)
    };
    let max = msec(&file.max, "maxMsec", longest, reader);
    let max_age = msec(&file.max_age, "maxAgeMsec", default.max_age(), reader);
    let attempts = number(
        &file.max_attempts,
        limits::MAX_ATTEMPTS,
        "maxAttempts",
        reader,
    );
    let attempts = attempts.and_then(|attempts| NonZeroU32::new(u32::try_from(attempts).ok()?));
    let multiplier = file
        .multiplier
        .as_given()
        .map_or(default.multiplier(), |it| it.value);
    RetryPolicy::new(initial, max, multiplier, max_age, attempts).unwrap_or_else(|error| {
        let span = match error {
            InvalidRetry::Multiplier => file.multiplier.as_given().map(|it| it.span.clone()),
            InvalidRetry::MaxUnderInitial => file.max.as_given().map(|it| it.span.clone()),
            _ => None,
        };
        let span = span.unwrap_or_else(|| opening(&file.span));
        let code = match error {
            InvalidRetry::Multiplier => Code::OutOfRange,
            _ => Code::InvalidRetry,
        };
        reader.error(code, &span, error.to_string(), "");
        default
    })
}
