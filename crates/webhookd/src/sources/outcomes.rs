//! The outcomes of a document's events, for the one outcome of the document.

use super::completion::{Accepted, Completion};
use std::sync::{Arc, Mutex, PoisonError};
use webhook_dispatch::Receipt;
use webhook_queue::Sequence;

/// Collects the outcome of each event of a line, and completes the line after the last one.
pub(super) struct Outcomes<C> {
    completion: Arc<C>,
    line: u64,
    /// `None` if the line is one event.
    events: Option<usize>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Events without an outcome.
    left: usize,
    receipts: Vec<Receipt>,
    /// The first event that the queue did not accept: the line is read again.
    refused: Option<String>,
    /// The first event that was skipped.
    rejected: Option<String>,
}

impl<C: Completion> Outcomes<C> {
    /// Without events the line is complete at once. `None` events mean that the line is one.
    pub(super) fn new(completion: &Arc<C>, line: u64, events: Option<usize>) -> Arc<Outcomes<C>> {
        if events == Some(0) {
            completion.accepted(line, Accepted::Document(Vec::new()));
        }
        Arc::new(Outcomes {
            completion: Arc::clone(completion),
            line,
            events,
            state: Mutex::new(State {
                left: events.unwrap_or(1),
                ..State::default()
            }),
        })
    }

    /// See [`Completion::sequence`].
    pub(super) fn sequence(&self) -> Option<&Sequence> {
        self.completion.sequence()
    }

    pub(super) fn accepted(&self, receipt: Receipt) {
        self.settle(|state| state.receipts.push(receipt));
    }

    /// It is not understood, and kept as a reject.
    pub(super) fn kept(&self) {
        self.settle(|_| {});
    }

    /// The event at this place must be submitted again.
    pub(super) fn refused(&self, index: usize, why: &str) {
        let why = self.with_place(index, why);
        self.settle(|state| state.refused = state.refused.take().or(Some(why)));
    }

    /// The event at this place is skipped.
    pub(super) fn rejected(&self, index: usize, why: &str) {
        let why = self.with_place(index, why);
        self.settle(|state| state.rejected = state.rejected.take().or(Some(why)));
    }

    /// An error, with the place of the event if there are several.
    pub(super) fn with_place(&self, index: usize, why: &str) -> String {
        match self.events {
            Some(events) => format!("event {} of {events}: {why}", index + 1),
            None => why.to_owned(),
        }
    }

    fn settle(&self, change: impl FnOnce(&mut State)) {
        let state = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut state);
            state.left -= 1;
            if state.left > 0 {
                return;
            }
            std::mem::take(&mut *state)
        };
        let (line, completion) = (self.line, &self.completion);
        match (state.refused, state.rejected) {
            (Some(why), _) => completion.refused(line, &why),
            (None, Some(why)) => completion.rejected(line, &why),
            (None, None) => completion.accepted(line, self.total(state.receipts)),
        }
    }

    fn total(&self, mut receipts: Vec<Receipt>) -> Accepted {
        match (self.events, receipts.pop()) {
            (None, Some(receipt)) => Accepted::Event(receipt),
            (_, last) => {
                receipts.extend(last);
                Accepted::Document(receipts)
            }
        }
    }
}
