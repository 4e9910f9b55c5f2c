//! The fields of an event: read by the schema of its input, or given with it.

use crate::intake::filter::FilterFields;
use crate::intake::input_table::{InputEntry, check_length};
use crate::intake::submission::Submission;
use crate::shared::event_summary::EventSummary;
use crate::shared::{Refusal, queue_key};
use std::borrow::Cow;
use std::sync::Arc;
use webhook_event::{Attributes, EventFields, PointerSet, UnknownEvent};
use webhook_model::{EventHeader, StatusName};
use webhook_queue::LastState;

/// An event, its input and its fields.
pub(crate) struct ReadEvent<'a> {
    pub(crate) input: &'a InputEntry,
    event: &'a Arc<[u8]>,
    fields: Fields<'a>,
    /// Whether the fields were given with the event.
    is_given: bool,
}

enum Fields<'a> {
    /// Of an event as Aurora writes it.
    Header(EventHeader<'a>),
    Read(EventFields<'a>),
}

impl<'a> ReadEvent<'a> {
    /// Reads an event of an input; `None` if the input ignores it.
    ///
    /// # Errors
    /// The event cannot be read by the input's schema.
    pub(crate) fn new(
        submission: &'a Submission,
        input: &'a InputEntry,
    ) -> Result<Option<ReadEvent<'a>>, Refusal> {
        let event = &submission.event;
        let not_understood = |error| Refusal::NotUnderstood {
            input: Arc::clone(&input.name),
            error,
        };
        let fields = if let Some(given) = &submission.fields {
            // Formats put it into other documents.
            let read = PointerSet::default().read(event);
            read.map_err(|error| not_understood(UnknownEvent::Malformed(error)))?;
            Fields::Read(given.borrow())
        } else if input.has_aurora_events() {
            let header = input.read_header(event).map_err(Refusal::NotAnEvent)?;
            if !header.has_task {
                return Err(Refusal::NoTask);
            }
            Fields::Header(header)
        } else {
            match input.schema.read(event).map_err(not_understood)? {
                Some(fields) => Fields::Read(fields),
                None => return Ok(None),
            }
        };
        Ok(Some(ReadEvent {
            input,
            event,
            fields,
            is_given: submission.fields.is_some(),
        }))
    }

    /// The event's own key. Events of Aurora's without a task id share an empty one, so their order
    /// is kept, too.
    pub(crate) fn key(&self) -> &str {
        match &self.fields {
            Fields::Header(header) => header.task_id.as_deref().unwrap_or_default(),
            Fields::Read(fields) => &fields.key,
        }
    }

    /// The key that orders the event in the queue.
    pub(crate) fn queue_key(&self) -> Arc<[u8]> {
        queue_key(&self.input.name, self.key())
    }

    fn state(&self) -> Option<&str> {
        match &self.fields {
            Fields::Header(header) => header.new_state.as_ref().map(StatusName::name),
            Fields::Read(fields) => fields.state.as_deref(),
        }
    }

    /// Whether it has no old state.
    pub(crate) fn is_initial(&self) -> bool {
        match &self.fields {
            Fields::Header(header) => header.old_state.is_none(),
            Fields::Read(fields) => fields.old_state.is_none(),
        }
    }

    /// The state that it brings its key to, if its input drops events without a change.
    ///
    /// # Errors
    /// The state is too long to be kept.
    pub(crate) fn last_state(&self, queue_key: &Arc<[u8]>) -> Result<Option<LastState>, Refusal> {
        let Some(state) = self.state().filter(|_| self.input.schema.only_changes()) else {
            return Ok(None);
        };
        const { assert!(Attributes::LONGEST_STATE <= LastState::MAX_BYTES) };
        let checked = self.input.schema.check_state(Some(state));
        checked.map_err(|error| Refusal::NotUnderstood {
            input: Arc::clone(&self.input.name),
            error,
        })?;
        Ok(Some(LastState {
            key: Arc::clone(queue_key),
            state: Attributes::encode_old_state(state).into(),
            // Nothing is stored of an event of Aurora's but its bytes.
            append_previous: self.is_initial() && matches!(self.fields, Fields::Read(_)),
            changes_only: Arc::default(),
        }))
    }

    /// The id that was found in it.
    pub(crate) fn id(&self) -> Option<&str> {
        match &self.fields {
            Fields::Header(_) => None,
            Fields::Read(fields) => fields.id.as_deref(),
        }
    }

    /// The idempotency key that its id is. Ids of different inputs have nothing to do with each
    /// other.
    pub(crate) fn idempotency_key(&self) -> Option<Arc<[u8]>> {
        let id = self.id()?;
        Some(format!("id:{}:{id}", self.input.name).into_bytes().into())
    }

    /// What is stored of the fields; `None` for an event of Aurora's, whose body has them.
    pub(crate) fn attributes(&self) -> Option<Attributes> {
        match &self.fields {
            Fields::Header(_) => None,
            Fields::Read(fields) => Some(Attributes::of(&self.input.name, fields)),
        }
    }

    /// The summary of an event of Aurora's, which has no stored attributes.
    pub(crate) fn summary(&self) -> Option<Arc<[u8]>> {
        match &self.fields {
            Fields::Header(header) => Some(EventSummary::of_header(header).as_slice().into()),
            Fields::Read(_) => None,
        }
    }

    /// The fields, also those of an event of Aurora's.
    pub(crate) fn described(&self) -> Attributes {
        self.attributes().unwrap_or_else(|| {
            let read = self.input.schema.read(self.event);
            Attributes::of(&self.input.name, &read.ok().flatten().unwrap_or_default())
        })
    }

    /// The body to deliver: the event without what its input omits.
    ///
    /// # Errors
    /// The event is not one JSON document, or longer than `max` bytes without that.
    pub(crate) fn body(&self, max: usize) -> Result<Arc<[u8]>, Refusal> {
        let cut = if self.is_given {
            Cow::Borrowed(&**self.event)
        } else {
            let omitted = self.input.schema.omit(self.event);
            omitted.map_err(|error| Refusal::NotUnderstood {
                input: Arc::clone(&self.input.name),
                error,
            })?
        };
        let body = match cut {
            Cow::Borrowed(_) => Arc::clone(self.event),
            Cow::Owned(cut) => cut.into(),
        };
        check_length(&body, max)?;
        Ok(body)
    }

    /// Calls `look` with what the filters of targets ask for. `is_initial` says whether the event
    /// counts as one without an old state.
    pub(crate) fn filtered<R>(
        &self,
        is_initial: bool,
        look: impl FnOnce(&FilterFields<'_>) -> R,
    ) -> R {
        let (input, event, state) = (&*self.input.name, &**self.event, self.state());
        match &self.fields {
            Fields::Header(header) => {
                let job = match (&header.role, &header.environment, &header.job_name) {
                    (Some(role), Some(environment), Some(name)) => {
                        &[role, environment, name].map(|part| Cow::Borrowed(&**part))[..]
                    }
                    _ => &[],
                };
                look(&FilterFields {
                    input,
                    state,
                    is_initial,
                    job,
                    event,
                })
            }
            Fields::Read(fields) => look(&FilterFields {
                input,
                state,
                is_initial,
                job: &fields.job,
                event,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::input_table::InputTable;
    use webhook_config::Config;

    /// The bytes that an event has as its key's last state, and whether the state before it is appended.
    fn last_state(settings: &str, event: &str) -> (String, bool) {
        let target = r#"{"name": "a", "targetURL": "http://localhost:1/", "timeoutMsec": 1000, "headers": {}}"#;
        let events = format!(r#"{{{settings}, "onlyChanges": true}}"#);
        let text = format!(r#"{{"events": {events}, "targets": [{target}]}}"#);
        let config = Config::parse("webhook.json", text.as_bytes())
            .unwrap()
            .config;
        let inputs = InputTable::new(&config, None);
        let submission = Submission::new(event.as_bytes());
        let input = inputs.of(&submission).unwrap();
        let read = ReadEvent::new(&submission, input).unwrap().unwrap();
        let state = read.last_state(&read.queue_key()).unwrap().unwrap();
        let bytes = String::from_utf8(state.state.to_vec()).unwrap();
        (bytes, state.append_previous)
    }

    #[test]
    fn a_previous_state_is_appended_to_stored_attributes_without_one() {
        let pointers = r#""schema": "pointers", "key": "/k", "state": "/s", "oldState": "/o""#;
        let aurora = r#""schema": "aurora""#;
        let task = r#"{"task":{"assignedTask":{"taskId":"t"},"status":"LOST"}}"#;
        for (settings, event, appended) in [
            (pointers, r#"{"k":1,"s":"LOST"}"#, true),
            (pointers, r#"{"k":1,"s":"LOST","o":"RUNNING"}"#, false),
            // Nothing is stored of it.
            (aurora, task, false),
        ] {
            assert_eq!(
                last_state(settings, event),
                ("\"LOST\"".to_owned(), appended)
            );
        }
    }
}
