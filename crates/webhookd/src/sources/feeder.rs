//! Hands lines to the dispatcher.

use super::acks::{AckSender, Acks};
use super::follow::Tracker;
use super::intake::Intake;
use super::lines::{Line, Lines};
use crate::console::{Console, chain};
use crate::signals::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use webhook_dispatch::{Receipt, Refusal, Submission, SubmitError, Submitter};

/// Where a line of a followed file came from.
pub(super) struct Source {
    pub(super) tracker: Arc<Tracker>,
    /// The line's number there.
    pub(super) number: u64,
    /// What it is known by, should it be read again.
    pub(super) key: String,
}

pub(crate) struct Feeder {
    /// What lines are told to be of, if there are several sources.
    of: String,
    submitter: Submitter,
    console: Console,
    acks: Option<AckSender>,
    /// Whether nobody takes acknowledgements any more.
    deaf: Arc<AtomicBool>,
    intake: Arc<Intake>,
}

impl Feeder {
    pub(crate) fn new(
        submitter: Submitter,
        console: Console,
        acks: Option<&Acks>,
        intake: Arc<Intake>,
        source: Option<&str>,
    ) -> Feeder {
        Feeder {
            of: source.map_or_else(String::new, |source| format!("{source}: ")),
            submitter,
            console,
            acks: acks.map(|acks| acks.sender(source)),
            deaf: acks.map_or_else(Arc::default, Acks::failure),
            intake,
        }
    }

    /// Feeds until the lines have ended, or a signal has come.
    ///
    /// # Errors
    /// The lines cannot be read any further.
    pub(crate) fn feed(&mut self, mut lines: Lines, signals: &Signals) -> std::io::Result<()> {
        let mut shown = 0;
        loop {
            self.intake.read_bytes(lines.read() - shown);
            shown = lines.read();
            match lines.next_line(signals)? {
                None => return Ok(()),
                Some(Line::TooLong(number)) => self.reject_too_long(number),
                Some(Line::Text(number, line)) => {
                    let event = Arc::from(line);
                    if !self.submit(number, event, None, signals) {
                        return Ok(());
                    }
                }
            }
            if self.is_deaf() {
                // A feeder that hears nothing would send all of it again.
                return Ok(());
            }
        }
    }

    /// Whether nobody takes acknowledgements any more.
    pub(super) fn say_sparingly(&self, text: &str) {
        self.console.say_sparingly(text);
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::SeqCst)
    }

    pub(super) fn count_bytes(&self, bytes: u64) {
        self.intake.read_bytes(bytes);
    }

    pub(super) fn reject_too_long(&self, number: u64) {
        self.reject(
            number,
            "it is longer than maxEventBytes allows; nothing of it was sent",
        );
    }

    /// Hands over one event, however long that takes; false when a signal came first.
    pub(super) fn submit(
        &self,
        number: u64,
        mut event: Arc<[u8]>,
        source: Option<&Source>,
        signals: &Signals,
    ) -> bool {
        loop {
            let of = self.of.clone();
            let tracked = source.map(|source| (Arc::clone(&source.tracker), source.number));
            let acks = self.acks.clone();
            let intake = Arc::clone(&self.intake);
            let console = self.console.clone();
            let completion = move |result: Result<Receipt, Refusal>| match result {
                Ok(receipt) => {
                    if let Some((tracker, number)) = tracked {
                        tracker.finish(number, true);
                    }
                    if let Some(acks) = acks.filter(|_| receipt.is_safe()) {
                        acks.send(number, receipt.id);
                    }
                }
                Err(refusal) => {
                    if let Some((tracker, number)) = tracked {
                        // It is read again, at once or after the next start.
                        tracker.finish(number, false);
                    } else {
                        intake.refuse();
                    }
                    console.say_sparingly(&format!("{of}line {number}: {}", chain(&refusal)));
                }
            };
            // In steps, so that a signal is seen while there is no room.
            let deadline = Instant::now() + Duration::from_millis(100);
            let mut submission = Submission::new(event);
            if let Some(source) = source {
                submission = submission.idempotency_key(source.key.as_bytes());
            }
            match self
                .submitter
                .submit_with(submission, Some(deadline), completion)
            {
                Ok(_) => {
                    self.intake.event();
                    return true;
                }
                Err(SubmitError {
                    event: back,
                    refusal: Refusal::Full,
                }) => {
                    if signals.asked_to_end() {
                        self.console.say(&format!(
                            "{}line {number} and what follows were not taken",
                            self.of
                        ));
                        return false;
                    }
                    event = back;
                }
                Err(SubmitError {
                    refusal: Refusal::ShuttingDown,
                    ..
                }) if source.is_some() => return false,
                Err(error) => {
                    if let Some(source) = source {
                        source.tracker.finish(source.number, true);
                    }
                    self.reject(number, &chain(&error.refusal));
                    return true;
                }
            }
        }
    }

    fn reject(&self, number: u64, why: &str) {
        self.intake.reject();
        self.console
            .say_sparingly(&format!("{}line {number}: {why}", self.of));
    }
}
