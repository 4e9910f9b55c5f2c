//! What is submitted: an event, and what its sender says of it.

use crate::shared::event_ids::{parse_webhook_id, webhook_id};
use std::sync::Arc;
use std::time::Instant;
use webhook_queue::{DuplicateWindow, EventId};

/// How long an event that only best-effort targets want is known, in memory: some 6 MB at most.
pub(crate) const BEST_EFFORT_WINDOW: DuplicateWindow = DuplicateWindow {
    keys: 65_536,
    ..DuplicateWindow::DEFAULT
};

/// An event to be submitted: its bytes, and, if its sender may send it twice, what it is known by.
/// Bytes alone turn into one.
///
/// An event whose key is known is not accepted a second time; its [`Receipt`](crate::Receipt) says
/// so, and names the first. Keys of all senders are compared with each other, by their bytes: who
/// takes events from several that do not know of each other puts a name before their keys. The
/// events themselves are not compared. Known are
///
/// - the keys of events that reliable targets want: those of the last 24 hours and at most the
///   last 1,000,000, over restarts and crashes ([`DuplicateWindow`]);
/// - the keys of those that only best-effort targets want: at most the last 65,536, in memory.
///   Where such a target has no room, the key is forgotten, and the event can be sent again.
///
/// ```
/// use webhook_dispatch::Submission;
///
/// let event = br#"{"task":{"assignedTask":{"taskId":"hello-0"},"status":"LOST"}}"#;
/// let submission = Submission::new(&event[..]).idempotency_key(&b"order-17"[..]);
/// # drop(submission);
/// ```
#[derive(Clone, Debug)]
pub struct Submission {
    pub(crate) event: Arc<[u8]>,
    key: Option<Arc<[u8]>>,
    /// The key if there is no other.
    name: Option<Arc<[u8]>>,
    pub(crate) id: Option<EventId>,
    pub(crate) room_until: Option<Instant>,
}

impl Submission {
    /// An event of which nothing more is said: it is accepted as often as it is submitted.
    #[must_use]
    pub fn new(event: impl Into<Arc<[u8]>>) -> Submission {
        Submission {
            event: event.into(),
            key: None,
            name: None,
            id: None,
            room_until: None,
        }
    }

    /// Ends the wait for room in a full queue at this time, with [`Refusal::Full`]. Without one,
    /// `whenFull: block` waits as long as it takes. Leave time for the commit between this and the
    /// moment at which the answer is needed.
    ///
    /// [`Refusal::Full`]: crate::Refusal::Full
    #[must_use]
    pub fn room_until(mut self, at: Instant) -> Submission {
        self.room_until = Some(at);
        self
    }

    /// What makes a second submission known, whatever its `webhook-id`. An empty one counts as
    /// none.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<Arc<[u8]>>) -> Submission {
        self.key = Some(key.into()).filter(|key| !key.is_empty());
        self
    }

    /// The name under which it is delivered, instead of a new one. It is the key as well, unless
    /// there is an [`idempotency_key`](Submission::idempotency_key).
    #[must_use]
    pub fn id(mut self, id: EventId) -> Submission {
        self.id = Some(id);
        self.name = Some(webhook_id(id).into_bytes().into());
        self
    }

    /// The `webhook-id` that it came with. One that a dispatcher gave (`evt_` and 32 hexadecimal
    /// digits) is kept, as by [`id`](Submission::id): over a chain of dispatchers an event has one
    /// name. Any other is the key only, unless there is an
    /// [`idempotency_key`](Submission::idempotency_key); an empty one counts as none.
    #[must_use]
    pub fn webhook_id(mut self, text: &str) -> Submission {
        if let Some(id) = parse_webhook_id(text) {
            return self.id(id);
        }
        self.name = Some(Arc::from(text.as_bytes())).filter(|name: &Arc<[u8]>| !name.is_empty());
        self
    }

    /// What a second submission of it is known by.
    pub(crate) fn key(&self) -> Option<&Arc<[u8]>> {
        self.key.as_ref().or(self.name.as_ref())
    }
}

impl<T: Into<Arc<[u8]>>> From<T> for Submission {
    fn from(event: T) -> Submission {
        Submission::new(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(submission: &Submission, key: Option<&str>, id: Option<EventId>) {
        let found = submission.key().map(|key| &key[..]);
        assert_eq!((found, submission.id), (key.map(str::as_bytes), id));
    }

    #[test]
    fn a_webhook_id_of_ours_is_kept_and_any_other_is_a_key() {
        let ours = "evt_0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";
        let id = EventId([10; 16]);
        let event = || Submission::new(&b"{}"[..]);
        check(&event(), None, None);
        check(&event().webhook_id(ours), Some(ours), Some(id));
        check(
            &event().webhook_id(&ours.replace('a', "A")),
            Some(ours),
            Some(id),
        );
        check(&event().id(id), Some(ours), Some(id));
        check(&event().webhook_id("msg_1"), Some("msg_1"), None);
        check(&event().webhook_id(""), None, None);
        check(&event().idempotency_key(&b""[..]), None, None);
        let both = event().idempotency_key(&b"key"[..]).webhook_id(ours);
        check(&both, Some("key"), Some(id));
        let both = event().webhook_id("msg_1").idempotency_key(&b"key"[..]);
        check(&both, Some("key"), None);
    }
}
