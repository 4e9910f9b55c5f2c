//! Converts a target's breaker settings.

use super::context::number;
use crate::breaker::BreakerPolicy;
use crate::file::mirror::BreakerFile;
use crate::file::read::Reader;
use crate::limits;
use std::num::NonZeroU32;
use std::time::Duration;

pub(super) fn convert_breaker(file: &BreakerFile, reader: &mut Reader) -> BreakerPolicy {
    let default = BreakerPolicy::default();
    let max = number(&file.max, limits::RETRY_MSEC, "maxMsec", reader);
    let refusals = number(
        &file.max_refusals,
        limits::MAX_REFUSALS,
        "maxRefusals",
        reader,
    );
    let refusals = refusals.and_then(|count| NonZeroU32::new(u32::try_from(count).ok()?));
    BreakerPolicy {
        max: max.map_or(default.max, Duration::from_millis),
        max_refusals: refusals.unwrap_or(default.max_refusals),
    }
}
