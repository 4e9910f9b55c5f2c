//! Reads a queue as a whole: its events in the order accepted, each with its targets.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use webhook_queue::{EntryId, Event, EventId, Owed, Queue, Settled, kept_name};

/// Events of one target that are read at once, at most.
const PAGE: usize = 256;
/// Bytes of them, about.
const PAGE_BYTES: usize = 1 << 20;

/// What a queue has of an event for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Owed.
    Owed { attempts: u32, not_before: u64 },
    /// Given up.
    Dead {
        attempts: u32,
        died_at: u64,
        note: Vec<u8>,
    },
    /// Delivered, and kept.
    Kept { attempts: u32, delivered_at: u64 },
}

/// An event, and what the queue has of it for each of its targets.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) entry: EntryId,
    pub(super) event: Event,
    pub(super) states: BTreeMap<Arc<str>, State>,
}

/// The events of a queue in the order accepted. What is settled meanwhile may be missing.
pub(super) struct Content<'q> {
    queue: &'q dyn Queue,
    parts: Vec<Part>,
}

/// What one target is owed, its dead letters, or what is kept of its deliveries.
struct Part {
    target: Arc<str>,
    kind: Kind,
    page: VecDeque<(EntryId, Event, State)>,
    after: Option<EntryId>,
    is_read: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Owed,
    Dead,
    Kept,
}

impl State {
    /// Whether nothing is to be done to bring a stored entry from this state to that of the source.
    /// Times may differ by a millisecond, since a database keeps those of its own clock.
    pub(super) fn is_like(&self, wanted: &State) -> bool {
        match (self, wanted) {
            (
                State::Owed { attempts, .. },
                State::Owed {
                    attempts: other, ..
                },
            ) => attempts == other,
            (State::Dead { .. } | State::Kept { .. }, _) => true,
            (State::Owed { .. }, _) => false,
        }
    }

    /// The outcome of a new entry that leads to this state.
    pub(super) fn outcome(&self) -> Settled {
        match self.clone() {
            State::Owed {
                attempts,
                not_before,
            } => Settled::Attempted {
                attempts,
                not_before,
            },
            State::Dead {
                attempts,
                died_at,
                note,
            } => Settled::Dead {
                attempts,
                died_at,
                note,
            },
            State::Kept {
                attempts,
                delivered_at,
            } => Settled::Kept {
                attempts,
                delivered_at,
            },
        }
    }
}

impl<'q> Content<'q> {
    /// # Errors
    /// The queue cannot be read.
    pub(super) fn of(queue: &'q dyn Queue) -> Result<Content<'q>> {
        let statistics = queue.statistics().context("cannot read the queue")?;
        let targets = statistics.targets.iter().map(|it| Arc::from(&*it.target));
        let parts = targets.flat_map(|target: Arc<str>| {
            [Kind::Owed, Kind::Dead, Kind::Kept].map(|kind| Part {
                target: Arc::clone(&target),
                kind,
                page: VecDeque::new(),
                after: None,
                is_read: false,
            })
        });
        Ok(Content {
            queue,
            parts: parts.collect(),
        })
    }

    /// The next event; `None` after the last one.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<Stored>> {
        for part in &mut self.parts {
            if part.page.is_empty() && !part.is_read {
                part.read(self.queue)?;
            }
        }
        let first = |part: &Part| part.page.front().map(|(entry, ..)| *entry);
        let Some(entry) = self.parts.iter().filter_map(first).min() else {
            return Ok(None);
        };
        let mut found: Option<Stored> = None;
        for part in &mut self.parts {
            if first(part) != Some(entry) {
                continue;
            }
            let Some((_, event, state)) = part.page.pop_front() else {
                continue;
            };
            let stored = found.get_or_insert(Stored {
                entry,
                event,
                states: BTreeMap::new(),
            });
            stored.states.insert(Arc::clone(&part.target), state);
        }
        if let Some(stored) = &mut found {
            stored.event.targets = stored.states.keys().cloned().collect();
        }
        Ok(found)
    }
}

impl Part {
    /// Reads the next page.
    fn read(&mut self, queue: &dyn Queue) -> Result<()> {
        let (page, mut bytes) = (&mut self.page, 0);
        let mut take = |owed: &Owed<'_>, state: State| {
            bytes += owed.body.len() + owed.key.len() + owed.attributes.len();
            page.push_back((owed.entry, event(owed), state));
            match page.len() < PAGE && bytes < PAGE_BYTES {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        let read = match self.kind {
            Kind::Owed => queue.owed(&self.target, self.after, &mut |owed| {
                let (attempts, not_before) = (owed.attempts, owed.not_before);
                take(
                    &owed,
                    State::Owed {
                        attempts,
                        not_before,
                    },
                )
            }),
            Kind::Dead => queue.dead_letters(Some(&self.target), self.after, &mut |letter| {
                let state = State::Dead {
                    attempts: letter.owed.attempts,
                    died_at: letter.died_at,
                    note: letter.note.to_vec(),
                };
                take(&letter.owed, state)
            }),
            Kind::Kept => {
                let name = kept_name(&self.target);
                queue.dead_letters(Some(&name), self.after, &mut |letter| {
                    let state = State::Kept {
                        attempts: letter.owed.attempts,
                        delivered_at: letter.died_at,
                    };
                    take(&letter.owed, state)
                })
            }
        };
        read.context("cannot read the queue")?;
        self.after = page.back().map(|(entry, ..)| *entry).or(self.after);
        self.is_read = page.is_empty();
        Ok(())
    }
}

/// The event of an entry, for no target yet.
fn event(owed: &Owed<'_>) -> Event {
    Event {
        id: EventId(owed.id.0),
        key: owed.key.into(),
        body: owed.body.into(),
        attributes: owed.attributes.into(),
        accepted_at: owed.accepted_at,
        targets: Arc::default(),
        idempotency_key: None,
        last_state: None,
    }
}
