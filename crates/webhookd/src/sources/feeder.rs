//! Hands lines to the dispatcher.

use super::acks::{AckSender, Acks};
use super::intake::Intake;
use super::lines::{Line, Lines};
use crate::console::{Console, chain};
use crate::signals::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use webhook_dispatch::{Receipt, Refusal, SubmitError, Submitter};

pub(crate) struct Feeder {
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
    ) -> Feeder {
        Feeder {
            submitter,
            console,
            acks: acks.map(Acks::sender),
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
                Some(Line::TooLong(number)) => self.reject(
                    number,
                    "it is longer than maxEventBytes allows; nothing of it was sent",
                ),
                Some(Line::Text(number, line)) => {
                    let event = Arc::from(line);
                    if !self.submit(number, event, signals) {
                        return Ok(());
                    }
                }
            }
            if self.deaf.load(Ordering::SeqCst) {
                // A feeder that hears nothing would send all of it again.
                return Ok(());
            }
        }
    }

    /// Hands over one event, however long that takes; false when a signal came first.
    fn submit(&mut self, number: u64, mut event: Arc<[u8]>, signals: &Signals) -> bool {
        loop {
            let acks = self.acks.clone();
            let intake = Arc::clone(&self.intake);
            let console = self.console.clone();
            let completion = move |result: Result<Receipt, Refusal>| match result {
                Ok(receipt) => {
                    if let Some(acks) = acks.filter(|_| receipt.is_safe()) {
                        acks.send(number, receipt.id);
                    }
                }
                Err(refusal) => {
                    intake.refuse();
                    console.say_sparingly(&format!("line {number}: {}", chain(&refusal)));
                }
            };
            // In steps, so that a signal is seen while there is no room.
            let deadline = Instant::now() + Duration::from_millis(100);
            match self
                .submitter
                .submit_with(event, Some(deadline), completion)
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
                        self.console
                            .say(&format!("line {number} and what follows were not taken"));
                        return false;
                    }
                    event = back;
                }
                Err(error) => {
                    self.reject(number, &chain(&error.refusal));
                    return true;
                }
            }
        }
    }

    fn reject(&mut self, number: u64, why: &str) {
        self.intake.reject();
        self.console.say_sparingly(&format!("line {number}: {why}"));
    }
}
