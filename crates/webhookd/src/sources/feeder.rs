//! Submits the lines of a source to the dispatcher.

use super::completion::{Completion, Report};
use super::documents::{Document, Kind, NotUnderstood, check_cloud_event};
use super::inputs::{Inputs, NamedInput};
use super::outcomes::Outcomes;
use super::rejects::{Reject, RejectSender};
use super::splitter::Line;
use crate::console::chain;
use crate::signals::Signals;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_dispatch::{Receipt, Refusal, Submitter};
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
    inputs: Inputs,
    /// The input's name; empty for the default one.
    input: Arc<str>,
    rejects: RejectSender,
}

/// An event of a line, on its way.
struct LineEvent<'a, C> {
    input: &'a NamedInput,
    outcomes: &'a Arc<Outcomes<C>>,
    line: u64,
    /// Its place in the line, from 0.
    index: usize,
}

impl<C> Clone for LineEvent<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for LineEvent<'_, C> {}

impl Feeder {
    pub(crate) fn new(
        submitter: Submitter,
        report: Report,
        signals: Arc<Signals>,
        (inputs, input): (Inputs, Arc<str>),
        rejects: RejectSender,
    ) -> Feeder {
        Feeder {
            submitter,
            report: Arc::new(report),
            signals,
            inputs,
            input,
            rejects,
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

    /// Submits the events of one line, and waits for room if it must. Returns false when a signal
    /// arrived first.
    ///
    /// A line with a `key` is read again if it is not accepted. The key identifies those of its events
    /// that have no id.
    pub(super) fn submit<C: Completion>(
        &self,
        line: Line<'_>,
        key: Option<&str>,
        completion: &Arc<C>,
    ) -> bool {
        let (Line::Text(number, text) | Line::TooLong(number, text)) = line;
        // A reload that would remove it is refused.
        let input = match self.inputs.find(&self.input) {
            Ok(input) => input,
            Err(why) => {
                completion.rejected(number, &why);
                return true;
            }
        };
        let bytes = Arc::from(text);
        let read = match line {
            Line::Text(..) => Document::read(input.schema(), bytes),
            Line::TooLong(..) => Err((bytes, too_long())),
        };
        let document = match read {
            Ok(document) => document,
            Err((bytes, why)) => {
                let outcomes = Outcomes::new(completion, number, None);
                let event = LineEvent {
                    input: &input,
                    outcomes: &outcomes,
                    line: number,
                    index: 0,
                };
                return self.not_understood(event, bytes, &why);
            }
        };
        let events = document.several();
        let outcomes = Outcomes::new(completion, number, events);
        (0..document.len()).all(|index| {
            let event = LineEvent {
                input: &input,
                outcomes: &outcomes,
                line: number,
                index,
            };
            let key = key.map(|key| match events {
                Some(_) => format!("{key}#{index}").into_bytes(),
                None => key.as_bytes().to_vec(),
            });
            self.submit_event(event, document.event(index), key)
        })
    }

    fn submit_event<C: Completion>(
        &self,
        event: LineEvent<'_, C>,
        mut bytes: Arc<[u8]>,
        key: Option<Vec<u8>>,
    ) -> bool {
        let (line, index) = (event.line, event.index);
        if let Err(why) = check_cloud_event(event.input.schema(), &bytes) {
            return self.not_understood(event, bytes, &why);
        }
        loop {
            let outcomes = Arc::clone(event.outcomes);
            let signals = Arc::clone(&self.signals);
            let settle = move |result: Result<Receipt, Refusal>| match result {
                Ok(receipt) => outcomes.accepted(receipt),
                // If it were read again, it would hold up events for other targets.
                Err(refusal @ Refusal::OverQuota { .. }) => {
                    outcomes.rejected(index, &chain(&refusal));
                }
                Err(refusal) => {
                    if needs_restart(&refusal) {
                        // Every line that is read on would be refused.
                        signals.request_end();
                    }
                    outcomes.refused(index, &chain(&refusal));
                }
            };
            let mut submission = event.input.submission(bytes);
            if let Some(key) = &key {
                submission = submission.default_key(&key[..]);
            }
            if let Some(sequence) = event.outcomes.sequence() {
                submission = submission.sequence(sequence);
            }
            let deadline = Some(Instant::now() + STEP);
            let error = match self.submitter.submit_with(submission, deadline, settle) {
                Ok(_) => {
                    self.report.event();
                    return true;
                }
                Err(error) => error,
            };
            let back = Arc::clone(error.submission.event());
            match error.refusal {
                Refusal::Full if !self.signals.end_requested() => bytes = back,
                Refusal::Full => {
                    self.report.ended_at(line);
                    return false;
                }
                Refusal::ShuttingDown if key.is_some() => return false,
                refusal => {
                    if let Some(why) = NotUnderstood::of(&refusal) {
                        return self.not_understood(event, back, &why);
                    }
                    event.outcomes.rejected(index, &chain(&refusal));
                    return true;
                }
            }
        }
    }

    /// Skips what is not understood, or keeps it as a reject. Returns false when a signal arrived
    /// before there was room for it.
    fn not_understood<C: Completion>(
        &self,
        event: LineEvent<'_, C>,
        bytes: Arc<[u8]>,
        why: &NotUnderstood,
    ) -> bool {
        let (line, index) = (event.line, event.index);
        if !event.input.keeps_unknown() {
            event.outcomes.rejected(index, &why.why);
            return true;
        }
        let reason = event.outcomes.with_place(index, &why.why);
        let mut reject = Reject {
            input: Arc::clone(&event.input.name),
            source: self.report.place(line),
            reason: reason.clone(),
            // Only the beginning of a line that is too long was read.
            length: (why.kind != Kind::TooLong).then_some(bytes.len() as u64),
            body: bytes,
        };
        loop {
            let (outcomes, report) = (Arc::clone(event.outcomes), Arc::clone(&self.report));
            let reason = reason.clone();
            let written = move |result: Result<(), String>| match result {
                Ok(()) => {
                    report.unknown(line, &reason);
                    outcomes.kept();
                }
                Err(why) => outcomes.refused(index, &why),
            };
            match self.rejects.send(reject, written, STEP) {
                Ok(()) => return true,
                Err(_) if self.signals.end_requested() => {
                    self.report.ended_at(line);
                    return false;
                }
                Err(back) => reject = back,
            }
        }
    }
}

fn too_long() -> NotUnderstood {
    NotUnderstood {
        kind: Kind::TooLong,
        why: "it is longer than maxEventBytes allows, and was not sent".to_owned(),
        byte: None,
    }
}
