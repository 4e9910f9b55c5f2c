//! Logs when commits begin to fail, and when they succeed again.

use std::time::{Duration, Instant};
use webhook_queue::WriterStatistics;

/// How often a failure that lasts is logged.
const REPEAT: Duration = Duration::from_secs(60);

/// What was logged of the queue's writer.
#[derive(Default)]
pub(super) struct QueueLog {
    /// When the last failure was logged, if commits have failed since.
    failing: Option<Instant>,
}

impl QueueLog {
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
