//! Waiting for what another program does and does not report.

use std::time::{Duration, Instant};

/// How often a condition is checked.
const INTERVAL: Duration = Duration::from_millis(100);

/// Checks until `find` returns something, and returns that.
///
/// # Panics
///
/// It has returned nothing for `longest`.
pub(crate) fn wait_for<T>(what: &str, longest: Duration, mut find: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(start.elapsed() < longest, "waited {longest:?} for {what}");
        std::thread::park_timeout(INTERVAL);
    }
}
