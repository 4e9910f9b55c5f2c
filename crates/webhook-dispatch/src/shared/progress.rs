//! Waiting for settlements.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Notifies waiting threads when an event is settled.
#[derive(Debug, Default)]
pub(crate) struct ProgressNotifier {
    waiting: AtomicUsize,
    progress: Mutex<u64>,
    changed: Condvar,
}

impl ProgressNotifier {
    /// Wakes the waiting threads: an event was settled or a worker ended.
    pub(crate) fn notify(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            *self.progress.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            self.changed.notify_all();
        }
    }

    /// Waits until `done` holds, nothing has been settled for `patience`, or `deadline` has passed.
    /// Returns whether `done` holds. A patience that overflows the clock never ends.
    pub(crate) fn wait(
        &self,
        patience: Option<Duration>,
        deadline: Option<Instant>,
        done: impl Fn() -> bool,
    ) -> bool {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moved_at = Instant::now();
        let finished = loop {
            if done() {
                break true;
            }
            let now = Instant::now();
            let patient_until = patience.and_then(|patience| moved_at.checked_add(patience));
            let give_up = [patient_until, deadline].into_iter().flatten().min();
            // `done` may change without a notification: a flag was set, say.
            let mut wait = Duration::from_millis(100);
            if let Some(give_up) = give_up {
                let Some(left) = give_up.checked_duration_since(now).filter(|d| !d.is_zero())
                else {
                    break false;
                };
                wait = wait.min(left);
            }
            let before = *progress;
            (progress, _) = self
                .changed
                .wait_timeout(progress, wait)
                .unwrap_or_else(PoisonError::into_inner);
            if *progress != before {
                moved_at = Instant::now();
            }
        };
        drop(progress);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patience_that_overflows_the_clock_waits_until_done() {
        let asked = std::cell::Cell::new(0);
        let done = || asked.replace(asked.get() + 1) > 0;
        assert!(ProgressNotifier::default().wait(Some(Duration::MAX), None, done));
    }
}
