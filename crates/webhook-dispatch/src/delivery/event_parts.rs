//! The events of a request, and the parts of them that it is made of.

use std::borrow::Cow;
use webhook_event::{Attributes, TraceContext};
use webhook_model::{EventHeader, StatusName};
use webhook_queue::EventId;

/// One event of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestEvent<'a> {
    pub(crate) parts: EventParts<'a>,
    /// The trace that it belongs to.
    pub(crate) trace: Option<TraceContext>,
    pub(crate) id: EventId,
    /// When the event was accepted, epoch milliseconds.
    pub(crate) accepted_at: u64,
}

/// An event, borrowed for one attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventParts<'a> {
    /// Its bytes.
    pub(crate) body: &'a [u8],
    /// Its own key, without its input's name.
    pub(crate) key: &'a [u8],
    /// Its encoded attributes; empty for one that has none, such as an event of Aurora's.
    pub(crate) attributes: &'a [u8],
}

impl<'a> EventParts<'a> {
    /// The key and the other fields. Those of an event of Aurora's are read from its body.
    pub(crate) fn fields(self) -> (Cow<'a, str>, Attributes) {
        if let Some(attributes) = Attributes::decode(self.attributes) {
            return (String::from_utf8_lossy(self.key), attributes);
        }
        let mut attributes = Attributes::default();
        let Ok(header) = EventHeader::read(self.body) else {
            return (Cow::default(), attributes);
        };
        let name = |status: &StatusName<'_>| status.name().to_owned();
        attributes.state = header.new_state.as_ref().map(name);
        attributes.old_state = header.old_state.as_ref().map(name);
        if let (Some(role), Some(environment), Some(job)) =
            (header.role, header.environment, header.job_name)
        {
            attributes.job = [role, environment, job].map(Cow::into_owned).into();
        }
        attributes.time = header.last_event_at;
        (header.task_id.unwrap_or_default(), attributes)
    }
}
