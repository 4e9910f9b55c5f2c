//! Submits the lines of a source to the dispatcher.

use super::completion::{Completion, Report};
use super::splitter::Line;
use crate::console::chain;
use crate::signals::Signals;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_dispatch::{Receipt, Refusal, Submission, SubmitError, Submitter};
use webhook_queue::QueueError;

/// How often a feeder that waits for room checks for a signal.
const STEP: Duration = Duration::from_millis(100);

/// Whether the queue refuses every event until it is opened again.
fn needs_restart(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Queue(error) => {
            !error.is_retryable() && !matches!(**error, QueueError::TooLarge { .. })
        }
        _ => false,
    }
}

/// Submits lines; one for each source.
pub(crate) struct Feeder {
    submitter: Submitter,
    report: Arc<Report>,
    signals: Arc<Signals>,
}

impl Feeder {
    pub(crate) fn new(submitter: Submitter, report: Report, signals: Arc<Signals>) -> Feeder {
        Feeder {
            submitter,
            report: Arc::new(report),
            signals,
        }
    }

    pub(super) fn report(&self) -> &Arc<Report> {
        &self.report
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Whether to end: a signal has arrived, or acknowledgements can no longer be written. The
    /// process that feeds us would send again whatever is not acknowledged.
    pub(super) fn must_end(&self) -> bool {
        self.signals.end_requested() || self.report.has_lost_acks()
    }

    /// Submits one line, and waits for room if it must. Returns false when a signal arrived first.
    ///
    /// A line with a `key` is read again if it is not accepted. The key then identifies its event.
    pub(super) fn submit<C: Completion>(
        &self,
        line: Line<'_>,
        key: Option<&str>,
        completion: &Arc<C>,
    ) -> bool {
        let (number, text) = match line {
            Line::Text(number, text) => (number, text),
            Line::TooLong(number, _) => {
                let why = "it is longer than maxEventBytes allows, and was not sent";
                completion.rejected(number, why);
                return true;
            }
        };
        let mut event: Arc<[u8]> = Arc::from(text);
        loop {
            let told = Arc::clone(completion);
            let signals = Arc::clone(&self.signals);
            let settle = move |result: Result<Receipt, Refusal>| match result {
                Ok(receipt) => told.accepted(number, &receipt),
                // If it were read again, it would hold up events for other targets.
                Err(refusal @ Refusal::OverQuota { .. }) => {
                    told.rejected(number, &chain(&refusal));
                }
                Err(refusal) => {
                    if needs_restart(&refusal) {
                        // Every line that is read on would be refused.
                        signals.request_end();
                    }
                    told.refused(number, &refusal);
                }
            };
            let mut submission = Submission::new(event);
            if let Some(key) = key {
                submission = submission.idempotency_key(key.as_bytes());
            }
            let deadline = Some(Instant::now() + STEP);
            let error = match self.submitter.submit_with(submission, deadline, settle) {
                Ok(_) => {
                    self.report.stats().event();
                    return true;
                }
                Err(error) => error,
            };
            match error {
                SubmitError {
                    event: back,
                    refusal: Refusal::Full,
                } if !self.signals.end_requested() => event = back,
                SubmitError {
                    refusal: Refusal::Full,
                    ..
                } => {
                    self.report.ended_at(number);
                    return false;
                }
                SubmitError {
                    refusal: Refusal::ShuttingDown,
                    ..
                } if key.is_some() => return false,
                error => {
                    completion.rejected(number, &chain(&error.refusal));
                    return true;
                }
            }
        }
    }
}
