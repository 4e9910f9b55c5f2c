//! A submission: an event, its idempotency key and id, and how long it may wait for room.

use crate::shared::clock::epoch_ms;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use webhook_event::{EventFields, TraceContext};
use webhook_queue::{DuplicateWindow, EventId, Sequence};

/// The keys remembered of events for best-effort targets alone: in memory, some 6 MB at most.
pub(crate) const BEST_EFFORT_WINDOW: DuplicateWindow = DuplicateWindow {
    keys: 65_536,
    ..DuplicateWindow::DEFAULT
};

/// An event to be submitted: its bytes and, if it may be submitted twice, an idempotency key.
/// Bytes convert into a submission without a key.
///
/// An event whose key is remembered is not accepted a second time; its [`Receipt`](crate::Receipt)
/// says so, and has the first event's id. Keys are compared as bytes and over all sources, so
/// independent sources need distinct prefixes. Bodies are compared only for a submission with
/// [`reject_reused_key`](Submission::reject_reused_key). Remembered are
///
/// - the keys of events for reliable targets: those of the last 24 hours and at most the last
///   1,000,000, over restarts and crashes ([`DuplicateWindow`]);
/// - the keys of events for best-effort targets alone: at most the last 65,536, in memory. If the
///   target has no room, the key is forgotten, and the event can be submitted again.
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
    /// The name of its input, unless it is the default one.
    pub(crate) input: Option<Arc<str>>,
    /// The fields of an event that was made by [`Submission::of`].
    pub(crate) fields: Option<Arc<GivenFields>>,
    key: Option<Arc<[u8]>>,
    /// The `webhook-id` as a key, for events without another.
    id_key: Option<Arc<[u8]>>,
    /// For events without a key, and in which the schema finds none.
    default_key: Option<Arc<[u8]>>,
    pub(crate) id: Option<EventId>,
    pub(crate) trace: Option<Box<TraceContext>>,
    pub(crate) room_until: Option<Instant>,
    pub(crate) sequence: Option<Sequence>,
    rejects_reused_key: bool,
}

impl Submission {
    /// An event without a key: it is accepted as often as it is submitted.
    #[must_use]
    pub fn new(event: impl Into<Arc<[u8]>>) -> Submission {
        Submission {
            event: event.into(),
            input: None,
            fields: None,
            key: None,
            id_key: None,
            default_key: None,
            id: None,
            trace: None,
            room_until: None,
            sequence: None,
            rejects_reused_key: false,
        }
    }

    /// An event of any shape, with its fields: no schema is needed to read it. `key` orders: events
    /// with the same key are delivered one after the other. `event` is JSON.
    ///
    /// ```
    /// use webhook_dispatch::Submission;
    ///
    /// let event = br#"{"build":17,"result":"failed","log":"https://ci.example/17"}"#;
    /// let submission = Submission::of("17", "failed", &event[..])
    ///     .old_state("running")
    ///     .job(["web", "deploy"]);
    /// # drop(submission);
    /// ```
    #[must_use]
    pub fn of(
        key: impl Into<String>,
        state: impl Into<String>,
        event: impl Into<Arc<[u8]>>,
    ) -> Submission {
        let fields = GivenFields {
            key: key.into(),
            state: state.into(),
            ..GivenFields::default()
        };
        Submission {
            fields: Some(Arc::new(fields)),
            ..Submission::new(event)
        }
    }

    /// Sets the state before the event, for one made by [`Submission::of`]. An event without it is
    /// an initial one.
    #[must_use]
    pub fn old_state(self, state: impl Into<String>) -> Submission {
        self.with_fields(|fields| fields.old_state = Some(state.into()))
    }

    /// Sets the parts of the job's path, which the `jobs` of targets match, for an event made by
    /// [`Submission::of`].
    #[must_use]
    pub fn job(self, parts: impl IntoIterator<Item: Into<String>>) -> Submission {
        let parts = parts.into_iter().map(Into::into).collect();
        self.with_fields(|fields| fields.job = parts)
    }

    /// Sets when the state changed, for an event made by [`Submission::of`].
    #[must_use]
    pub fn time(self, at: SystemTime) -> Submission {
        let at = i64::try_from(epoch_ms(at)).ok();
        self.with_fields(|fields| fields.time = at)
    }

    fn with_fields(mut self, change: impl FnOnce(&mut GivenFields)) -> Submission {
        if let Some(fields) = &mut self.fields {
            change(Arc::make_mut(fields));
        }
        self
    }

    /// Sets the input that the event came in by: the configuration says by its name how the event
    /// is read, and targets may take the events of some inputs only. Without it, the event is one
    /// of the default input.
    #[must_use]
    pub fn input(mut self, name: impl Into<Arc<str>>) -> Submission {
        self.input = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// Sets the trace that the event belongs to. It is stored with the event, and sent on in the headers
    /// `traceparent` and `tracestate`.
    #[must_use]
    pub fn trace(mut self, trace: TraceContext) -> Submission {
        self.trace = Some(Box::new(trace));
        self
    }

    /// Ends the wait for a full queue or a failing disk at this time, with [`Refusal::Full`] or
    /// [`Refusal::Queue`]. Without it, `whenFull: block` waits without end. The commit takes time after this: choose a moment
    /// before the one at which the answer is needed.
    ///
    /// [`Refusal::Full`]: crate::Refusal::Full
    /// [`Refusal::Queue`]: crate::Refusal::Queue
    #[must_use]
    pub fn room_until(mut self, at: Instant) -> Submission {
        self.room_until = Some(at);
        self
    }

    /// Makes the event one of a sequence: once the queue is full or its disk fails for one of
    /// them, all later ones are refused with the same [`Refusal`](crate::Refusal), so that a sender
    /// which repeats what was refused keeps its order.
    #[must_use]
    pub fn sequence(mut self, sequence: &Sequence) -> Submission {
        self.sequence = Some(sequence.clone());
        self
    }

    /// Sets the idempotency key. It takes precedence over the `webhook-id`. An empty key is none.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<Arc<[u8]>>) -> Submission {
        self.key = Some(key.into()).filter(|key| !key.is_empty());
        self
    }

    /// Sets the idempotency key of an event that has no other, neither given nor found in it by the
    /// schema of its input: the place in a file, for example. An empty key is ignored.
    #[must_use]
    pub fn default_key(mut self, key: impl Into<Arc<[u8]>>) -> Submission {
        self.default_key = Some(key.into()).filter(|key| !key.is_empty());
        self
    }

    /// Refuses the event with [`Refusal::KeyReused`](crate::Refusal::KeyReused) if its key belongs
    /// to an earlier event with another body, which would otherwise be taken for the same event.
    #[must_use]
    pub fn reject_reused_key(mut self) -> Submission {
        self.rejects_reused_key = true;
        self
    }

    /// Sets the id under which the event is delivered, instead of a new one. It is also the key,
    /// unless there is an [`idempotency_key`](Submission::idempotency_key).
    #[must_use]
    pub fn id(mut self, id: EventId) -> Submission {
        self.id = Some(id);
        self.id_key = Some(id.to_string().into_bytes().into());
        self
    }

    /// Sets the `webhook-id` with which the event was received. A dispatcher's id (`evt_` and 32
    /// hexadecimal digits) is kept, as by [`id`](Submission::id), so that an event has one id over
    /// a chain of dispatchers. Any other is only the key, unless there is an
    /// [`idempotency_key`](Submission::idempotency_key). An empty one is ignored.
    #[must_use]
    pub fn webhook_id(mut self, text: &str) -> Submission {
        if let Ok(id) = text.parse() {
            return self.id(id);
        }
        self.id_key = Some(Arc::from(text.as_bytes())).filter(|key: &Arc<[u8]>| !key.is_empty());
        self
    }

    /// The bytes of the event.
    #[must_use]
    pub fn event(&self) -> &Arc<[u8]> {
        &self.event
    }

    /// Whether the event is refused if its key belongs to one with another body. The id that a
    /// schema finds in an event is not such a key: a scheduler may repeat an event in other words.
    pub(crate) fn rejects_reused_key(&self) -> bool {
        self.rejects_reused_key && self.key().is_some()
    }

    /// The key by which a second submission is recognized.
    pub(crate) fn key(&self) -> Option<&Arc<[u8]>> {
        self.key.as_ref().or(self.id_key.as_ref())
    }

    /// That key, or else the one that `found` finds in the event, or else the default one.
    pub(crate) fn key_or(&self, found: impl FnOnce() -> Option<Arc<[u8]>>) -> Option<Arc<[u8]>> {
        let key = self.key().cloned();
        key.or_else(found).or_else(|| self.default_key.clone())
    }
}

/// The fields of an event that was made by [`Submission::of`].
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenFields {
    key: String,
    state: String,
    old_state: Option<String>,
    job: Vec<String>,
    time: Option<i64>,
}

impl GivenFields {
    pub(crate) fn borrow(&self) -> EventFields<'_> {
        let mut fields = EventFields::default();
        fields.key = Cow::Borrowed(&self.key);
        fields.state = Some(Cow::Borrowed(&self.state));
        fields.old_state = self.old_state.as_deref().map(Cow::Borrowed);
        fields.job = self.job.iter().map(|part| Cow::Borrowed(&**part)).collect();
        fields.time = self.time;
        fields
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

    #[test]
    fn a_default_key_is_for_an_event_without_another() {
        let key = |submission: Submission, found: Option<&str>| {
            let found = found.map(|key| Arc::from(key.as_bytes()));
            let key = submission.key_or(|| found)?;
            Some(String::from_utf8(key.to_vec()).unwrap())
        };
        let event = || Submission::new(&b"{}"[..]).default_key(&b"place"[..]);
        assert_eq!(key(event(), None).as_deref(), Some("place"));
        assert_eq!(key(event(), Some("id")).as_deref(), Some("id"));
        let named = event().webhook_id("msg_1");
        assert_eq!(key(named, Some("id")).as_deref(), Some("msg_1"));
        assert_eq!(key(event().default_key(&b""[..]), None), None);
    }
}
