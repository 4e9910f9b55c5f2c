//! `Retry-After`, which any receiver may set to anything.

use crate::seeds::Files;
use std::time::{Duration, UNIX_EPOCH};
use webhook_config::RetryPolicy;
use webhook_dispatch::retry::retry_after;

/// A wait is at most four times the longest back-off; digits are always one; a date is the wait until
/// it, and none once it has passed.
pub(crate) fn run(input: &[u8]) {
    let policy = RetryPolicy::default();
    let most = policy.max() * 4;
    let at = |seconds: u64| retry_after(input, UNIX_EPOCH + Duration::from_secs(seconds), &policy);
    let now = 1_800_000_000;
    let wait = at(now);
    assert!(wait.is_none_or(|wait| wait <= most), "{wait:?}");
    let text = std::str::from_utf8(input).map(str::trim).unwrap_or("-");
    match text.parse::<u64>() {
        Ok(seconds) if !text.starts_with('+') => {
            assert_eq!(wait, Some(Duration::from_secs(seconds).min(most)));
        }
        _ if text.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
            // A date: a second later, it is a second less, unless the bound hides it.
            match (wait, at(now + 1)) {
                (Some(wait), Some(later)) if wait < most => {
                    assert_eq!(later, wait.saturating_sub(Duration::from_secs(1)));
                }
                (Some(wait), None) => assert!(wait < Duration::from_secs(1), "{wait:?}"),
                (None, later) => assert_eq!(later, None),
                _ => {}
            }
        }
        // Digits with a fraction, or more digits than a number has, do not depend on the time.
        _ => assert_eq!(wait, at(0)),
    }
}

pub(crate) fn seeds(files: &mut Files) {
    for seed in [
        "0",
        "120",
        " 7 ",
        "1.5",
        "0.0",
        "18446744073709551616",
        "Wed, 21 Oct 2026 07:28:00 GMT",
        "Fri, 15 Jan 2027 08:00:05 GMT",
        "Friday, 15-Jan-27 08:00:05 GMT",
        "Fri Jan 15 08:00:05 2027",
        "soon",
        "-1",
        "+1",
    ] {
        files.add(seed);
    }
}
