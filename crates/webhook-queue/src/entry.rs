//! What a queue stores, settles and shows.

use std::sync::Arc;

use crate::{Claim, EventId, QueueError, SlotGuard};

/// The queue's handle of a stored event. For events of one key, handles increase in the order
/// accepted. They may have gaps, and are valid in this queue only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub u64);

/// An event to store, once for all its targets.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// The ordering key: events of one key are read in the order accepted.
    pub key: Arc<[u8]>,
    /// The bytes to deliver.
    pub body: Arc<[u8]>,
    /// What the caller wants to know of the event when it reads it back, in an encoding of its own.
    /// Empty ones take no room.
    pub attributes: Arc<[u8]>,
    /// When it was accepted, epoch milliseconds.
    pub accepted_at: u64,
    /// The names of its targets. A repeated name counts once; an event without targets gets a
    /// handle but is not stored.
    pub targets: Arc<[Arc<str>]>,
    /// Opaque bytes that identify a repeated submission. An event whose idempotency key is known to
    /// the queue is not stored; see [`DuplicateWindow`](crate::DuplicateWindow).
    pub idempotency_key: Option<Arc<[u8]>>,
    /// The state that it brings its key to. An event whose state is its key's last one is not stored.
    pub last_state: Option<Box<LastState>>,
}

impl Event {
    /// An event without attributes, idempotency key and state, accepted at this time in epoch
    /// milliseconds.
    ///
    /// ```
    /// use webhook_queue::{Event, EventId};
    ///
    /// let event = Event {
    ///     idempotency_key: Some(b"order-17"[..].into()),
    ///     ..Event::new(EventId([7; 16]), &b"hello-0"[..], &b"{}"[..], 1_464_992_060_258, ["audit"])
    /// };
    /// assert_eq!(*event.targets, ["audit".into()]);
    /// ```
    #[must_use]
    pub fn new(
        id: EventId,
        key: impl Into<Arc<[u8]>>,
        body: impl Into<Arc<[u8]>>,
        accepted_at: u64,
        targets: impl IntoIterator<Item: Into<Arc<str>>>,
    ) -> Event {
        Event {
            id,
            key: key.into(),
            body: body.into(),
            attributes: Arc::default(),
            accepted_at,
            targets: targets.into_iter().map(Into::into).collect(),
            idempotency_key: None,
            last_state: None,
        }
    }

    /// The event as it is stored after the state before it, if that makes a difference.
    #[must_use]
    pub fn after(&self, previous: Option<&[u8]>) -> Option<Event> {
        let last_state = self.last_state.as_deref()?;
        let mut event = self.clone();
        match previous {
            Some(previous) if last_state.append_previous => {
                event.attributes = [&self.attributes, previous].concat().into();
            }
            None if !last_state.changes_only.is_empty() => {
                let targets = self.targets.iter();
                let gets = |target: &&Arc<str>| !last_state.changes_only.contains(*target);
                event.targets = targets.filter(gets).cloned().collect();
            }
            _ => return None,
        }
        Some(event)
    }
}

/// The state that an event brings its key to. An event that does not change the state of its key is
/// not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by callers")]
pub struct LastState {
    /// What has the state, in the caller's own encoding. It need not be the ordering key, but events
    /// of one such key should have one ordering key.
    pub key: Arc<[u8]>,
    /// The state, in the caller's own encoding; two are the same if their bytes are. At most
    /// [`MAX_BYTES`](LastState::MAX_BYTES).
    pub state: Arc<[u8]>,
    /// Whether the state before this one, if it is known, is appended to the attributes of the event.
    pub append_previous: bool,
    /// Targets that do not get the event if the state before this one is not known.
    pub changes_only: Arc<[Arc<str>]>,
}

impl LastState {
    /// The most bytes of a state.
    pub const MAX_BYTES: usize = 256;

    /// The number of last states that a queue knows by default.
    pub const DEFAULT_COUNT: u64 = 100_000;
}

impl LastState {
    /// Checks its length.
    ///
    /// # Errors
    /// [`TooLarge`](QueueError::TooLarge).
    pub fn check(&self) -> Result<(), QueueError> {
        let (size, max) = (self.state.len() as u64, LastState::MAX_BYTES as u64);
        match size <= max {
            true => Ok(()),
            false => Err(QueueError::TooLarge { size, max }),
        }
    }

    /// The most bytes that the previous state adds to the record of the event: the state, and the
    /// length of attributes that were empty.
    pub(crate) fn most_appended(&self) -> usize {
        match self.append_previous {
            true => 4 + LastState::MAX_BYTES,
            false => 0,
        }
    }
}

/// The result of appending an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// Stored under this handle.
    Stored(EntryId),
    /// Stored, but not for all of its targets.
    Partly {
        /// Its handle.
        entry: EntryId,
        /// The targets that are over their quotas and will not get it.
        over_quota: Arc<[Arc<str>]>,
    },
    /// Not stored: all of its targets, which are these, are over their quotas.
    OverQuota(Arc<[Arc<str>]>),
    /// Not stored: an event with the same idempotency key was accepted before, under this id.
    Duplicate(EventId),
    /// Not stored: its [`LastState`] is its key's last one. Its idempotency key is known from now on.
    Unchanged,
    /// It changed the last state of its key.
    Changed {
        /// The state before.
        from: Arc<[u8]>,
        /// The result otherwise: [`Stored`](Accepted::Stored) or [`Partly`](Accepted::Partly).
        accepted: Box<Accepted>,
    },
}

impl Accepted {
    /// The handle, if the event was stored.
    #[must_use]
    pub fn entry(&self) -> Option<EntryId> {
        match self {
            Accepted::Stored(entry) | Accepted::Partly { entry, .. } => Some(*entry),
            Accepted::OverQuota(_) | Accepted::Duplicate(_) | Accepted::Unchanged => None,
            Accepted::Changed { accepted, .. } => accepted.entry(),
        }
    }

    /// The targets that it was not stored for, since they are over their quotas.
    #[must_use]
    pub fn over_quota(&self) -> &[Arc<str>] {
        match self {
            Accepted::Partly { over_quota, .. } | Accepted::OverQuota(over_quota) => over_quota,
            Accepted::Stored(_) | Accepted::Duplicate(_) | Accepted::Unchanged => &[],
            Accepted::Changed { accepted, .. } => accepted.over_quota(),
        }
    }

    /// The id of the first event, if this one is a duplicate.
    #[must_use]
    pub fn duplicate_of(&self) -> Option<EventId> {
        match *self {
            Accepted::Duplicate(first) => Some(first),
            _ => None,
        }
    }

    /// Whether it was dropped, since its state is its key's last one.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        matches!(self, Accepted::Unchanged)
    }

    /// The last state of its key before it, if it changed that.
    #[must_use]
    pub fn previous_state(&self) -> Option<&Arc<[u8]>> {
        match self {
            Accepted::Changed { from, .. } => Some(from),
            _ => None,
        }
    }

    /// As accepted after a change of its key's last state, if that was known.
    pub(crate) fn after(self, previous: Option<impl Into<Arc<[u8]>>>) -> Accepted {
        match previous {
            None => self,
            Some(from) => Accepted::Changed {
                from: from.into(),
                accepted: Box::new(self),
            },
        }
    }
}

/// The outcome of an entry at one target. Settling an entry that the target is not owed has no
/// effect, so a settlement can be repeated.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The target.
    pub target: Arc<str>,
    /// The entry.
    pub entry: EntryId,
    /// The outcome.
    pub outcome: Settled,
    /// The guard under which it was delivered.
    pub guard: SlotGuard,
}

/// What became of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by queues")]
pub struct CommitResult {
    /// One for each append, in order.
    pub accepted: Vec<Accepted>,
    /// One for each settlement, in order.
    pub settled: Vec<SettlementResult>,
}

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettlementResult {
    /// Applied. Two of one entry in one commit may count as one.
    Applied,
    /// Without effect, since the target was not owed the entry.
    NotOwed,
    /// Without effect, since its claim had ended: another process settles the entry.
    Fenced,
}

/// The outcome of an entry at one target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Settled {
    /// Delivered: the entry is owed no longer.
    Delivered,
    /// Delivered: the entry is owed no longer, and is kept within the bounds of
    /// [`Quotas::retained`](crate::Quotas::retained), to be replayed. If the queue has
    /// [little room](crate::has_room_to_keep) left, it is not kept.
    Kept {
        /// Attempts made.
        attempts: u32,
        /// When it was delivered, epoch milliseconds.
        delivered_at: u64,
    },
    /// Given up: the entry is kept as a dead letter.
    Dead {
        /// Attempts made.
        attempts: u32,
        /// When it was given up, epoch milliseconds.
        died_at: u64,
        /// The reason, in the caller's own encoding.
        note: Vec<u8>,
    },
    /// Failed: the entry is still owed.
    Attempted {
        /// Attempts made so far.
        attempts: u32,
        /// The earliest time of the next attempt, epoch milliseconds.
        not_before: u64,
    },
    /// Dropped by an operator: the entry is owed no longer.
    Dropped,
    /// The target gets nothing before a time. The entry does not matter.
    Held {
        /// Epoch milliseconds; 0 ends the hold.
        until: u64,
        /// The reason, in the caller's own encoding.
        note: Vec<u8>,
    },
}

/// Until when a target gets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetHold {
    /// Epoch milliseconds.
    pub until: u64,
    /// The reason, in the caller's own encoding.
    pub note: Vec<u8>,
}

impl TargetHold {
    /// A hold until a time, epoch milliseconds, with its reason.
    #[must_use]
    pub fn new(until: u64, note: Vec<u8>) -> TargetHold {
        TargetHold { until, note }
    }
}

impl Settled {
    /// Whether the entry is kept as a dead letter.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self, Settled::Dead { .. })
    }
}

/// An entry that a target is owed, borrowed from the queue.
#[derive(Clone, Copy, Debug)]
pub struct Owed<'a> {
    /// Its handle.
    pub entry: EntryId,
    /// Its id.
    pub id: EventId,
    /// The ordering key.
    pub key: &'a [u8],
    /// The bytes to deliver.
    pub body: &'a [u8],
    /// What the caller stored of the event besides.
    pub attributes: &'a [u8],
    /// When it was accepted, epoch milliseconds.
    pub accepted_at: u64,
    /// Attempts made so far at this target.
    pub attempts: u32,
    /// The earliest time of the next attempt, epoch milliseconds; 0 if it never failed.
    pub not_before: u64,
    /// The claim under which it was read. A dead letter may have any.
    pub claim: Claim,
}

/// A dead letter or a kept delivery, borrowed from the queue.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// The target that it could not be delivered to, or was delivered to.
    pub target: &'a str,
    /// The event, with the number of attempts made.
    pub owed: Owed<'a>,
    /// When it was given up or delivered, epoch milliseconds.
    pub died_at: u64,
    /// The reason, in the caller's own encoding; empty for a delivery.
    pub note: &'a [u8],
}

/// An entry that was quarantined because its stored record is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined<'a> {
    /// Its handle.
    pub entry: EntryId,
    /// The targets that were owed it, or had it as a dead letter.
    pub targets: Vec<&'a str>,
    /// What is wrong with the record.
    pub reason: &'a str,
    /// The record as found, in the storage's own encoding; empty if it is missing.
    pub record: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(append_previous: bool, changes_only: &[&str]) -> Event {
        let changes_only = changes_only.iter().map(|&target| target.into());
        Event {
            attributes: (*b"of:").into(),
            last_state: Some(Box::new(LastState {
                key: (*b"key").into(),
                state: (*b"LOST").into(),
                append_previous,
                changes_only: changes_only.collect(),
            })),
            ..Event::new(EventId([7; 16]), &b"key"[..], &b"{}"[..], 0, ["a", "b"])
        }
    }

    #[test]
    fn the_state_before_an_event_makes_a_difference_only_where_it_is_asked_for() {
        let after = |event: Event, previous: Option<&[u8]>| {
            let event = event.after(previous)?;
            let targets: Vec<_> = event.targets.iter().map(ToString::to_string).collect();
            Some((event.attributes.to_vec(), targets.join(" ")))
        };
        let previous = Some(&b"RUNNING"[..]);
        let appended = Some((b"of:RUNNING".to_vec(), "a b".to_owned()));
        assert_eq!(after(event(true, &["a"]), previous), appended);
        assert_eq!(after(event(false, &["a"]), previous), None);
        let unknown = Some((b"of:".to_vec(), "b".to_owned()));
        assert_eq!(after(event(true, &["a"]), None), unknown);
        assert_eq!(after(event(true, &[]), None), None);
    }

    #[test]
    fn an_outcome_with_a_dead_letter_is_told_from_the_others() {
        let dead = Settled::Dead {
            attempts: 1,
            died_at: 0,
            note: Vec::new(),
        };
        let kept = Settled::Kept {
            attempts: 1,
            delivered_at: 0,
        };
        assert!(dead.is_dead());
        assert!(!kept.is_dead() && !Settled::Dropped.is_dead());
    }

    #[test]
    fn a_state_has_at_most_its_bound_of_bytes() {
        let mut state = *event(false, &[]).last_state.unwrap();
        state.state = [0; LastState::MAX_BYTES].into();
        state.check().unwrap();
        state.state = [0; LastState::MAX_BYTES + 1].into();
        let error = state.check().unwrap_err();
        assert!(
            matches!(
                error,
                QueueError::TooLarge {
                    size: 257,
                    max: 256
                }
            ),
            "{error}"
        );
    }
}
