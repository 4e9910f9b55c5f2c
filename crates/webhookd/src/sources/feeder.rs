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
    submitter: Submitter,
    /// Whether nobody takes acknowledgements any more.
    deaf: Arc<AtomicBool>,
    told: Arc<Told>,
}

/// Who is told of lines, also after they were handed over.
struct Told {
    /// What lines are told to be of, if there are several sources.
    of: String,
    console: Console,
    acks: Option<AckSender>,
    intake: Arc<Intake>,
}

/// A line of a followed file, until it is known what became of it.
type Tracked = Option<(Arc<Tracker>, u64)>;

impl Told {
    /// A line that was handed over was accepted, or was not after all.
    fn hear(&self, number: u64, tracked: Tracked, result: Result<Receipt, Refusal>) {
        match result {
            Ok(receipt) => {
                if let Some((tracker, number)) = tracked {
                    tracker.finish(number, true);
                }
                if let Some(acks) = self.acks.as_ref().filter(|_| receipt.is_safe()) {
                    acks.send(number, receipt.id);
                }
            }
            Err(refusal) => {
                if let Some((tracker, number)) = tracked {
                    // It is read again, at once or after the next start.
                    tracker.finish(number, false);
                } else {
                    self.intake.refuse();
                }
                self.say_sparingly(number, &chain(&refusal));
            }
        }
    }

    fn say_sparingly(&self, number: u64, what: &str) {
        self.console
            .say_sparingly(&format!("{}line {number}: {what}", self.of));
    }
}

impl Feeder {
    pub(crate) fn new(
        submitter: Submitter,
        console: Console,
        acks: Option<&Acks>,
        intake: Arc<Intake>,
        source: Option<&str>,
    ) -> Feeder {
        let told = Told {
            of: source.map_or_else(String::new, |source| format!("{source}: ")),
            console,
            acks: acks.map(|acks| acks.sender(source)),
            intake,
        };
        Feeder {
            submitter,
            deaf: acks.map_or_else(Arc::default, Acks::failure),
            told: Arc::new(told),
        }
    }

    /// Feeds until the lines have ended, or a signal has come.
    ///
    /// # Errors
    /// The lines cannot be read any further.
    pub(crate) fn feed(&mut self, mut lines: Lines, signals: &Signals) -> std::io::Result<()> {
        let mut shown = 0;
        loop {
            if lines.read() > shown {
                self.count_bytes(lines.read() - shown);
                shown = lines.read();
            }
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
        self.told.console.say_sparingly(text);
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::SeqCst)
    }

    pub(super) fn count_bytes(&self, bytes: u64) {
        self.told.intake.read_bytes(bytes);
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
            let tracked = source.map(|source| (Arc::clone(&source.tracker), source.number));
            let told = Arc::clone(&self.told);
            let completion = move |result| told.hear(number, tracked, result);
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
                    self.told.intake.event();
                    return true;
                }
                Err(SubmitError {
                    event: back,
                    refusal: Refusal::Full,
                }) => {
                    if signals.asked_to_end() {
                        self.told.console.say(&format!(
                            "{}line {number} and what follows were not taken",
                            self.told.of
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
        self.told.intake.reject();
        self.told.say_sparingly(number, why);
    }
}
