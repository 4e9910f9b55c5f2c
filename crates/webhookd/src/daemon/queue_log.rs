//! Logs when commits begin to fail, and when they succeed again.

use crate::console::chain;
use std::time::{Duration, Instant};
use webhook_queue::{QueueError, WriterStatistics};

/// How often a failure that lasts is logged.
const REPEAT: Duration = Duration::from_secs(60);

/// What was logged of the queue's writer.
#[derive(Default)]
pub(super) struct QueueLog {
    /// When the last failure was logged, if commits have failed since.
    failing: Option<Instant>,
    /// The last error of a check of the queue.
    unusable: Option<String>,
}

impl QueueLog {
    /// Logs when the queue begins to take no events, and when it takes them again.
    pub(super) fn observe_check(&mut self, error: Option<&QueueError>) {
        let error = error.map(|error| chain(error));
        if error == self.unusable {
            return;
        }
        match &error {
            Some(error) => tracing::error!(error, "the queue takes no events: {error}"),
            None => tracing::info!("the queue takes events again"),
        }
        self.unusable = error;
    }

    /// Logs what has changed.
    pub(super) fn observe(&mut self, writer: &WriterStatistics) {
        match (&writer.failing, self.failing) {
            (Some(_), Some(at)) if at.elapsed() < REPEAT => {}
            (Some(error), _) => {
                self.failing = Some(Instant::now());
                tracing::error!(
                    error,
                    failures = writer.failures,
                    "commits to the queue fail: {error}"
                );
            }
            (None, Some(_)) => {
                self.failing = None;
                tracing::info!("commits to the queue succeed again");
            }
            (None, None) => {}
        }
    }
}
