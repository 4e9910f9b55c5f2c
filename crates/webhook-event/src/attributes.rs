//! The fields of an event that are stored beside it.

use crate::fields::EventFields;
use crate::trace_context::TraceContext;
use serde::{Deserialize, Serialize};

/// The fields of an event that are stored beside its body, so that a delivery needs no schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Attributes {
    /// The trace that the event belongs to. It is stored first: see [`Attributes::split_trace`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
    /// The name of the input; empty for the default one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// The new state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The state before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_state: Option<String>,
    /// The parts of the job's path; empty if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub job: Vec<String>,
    /// When the state changed, epoch milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
}

impl Attributes {
    /// The most bytes of a state in JSON that can be kept as the last one of its key.
    pub const LONGEST_STATE: usize = 256;

    /// What is stored of an event of an input.
    #[must_use]
    pub fn of(input: &str, fields: &EventFields<'_>) -> Attributes {
        Attributes {
            trace: None,
            input: input.to_owned(),
            state: fields.state.as_deref().map(str::to_owned),
            old_state: fields.old_state.as_deref().map(str::to_owned),
            job: fields.job.iter().map(|part| part.to_string()).collect(),
            time: fields.time,
        }
    }

    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A state as it may be appended to stored bytes without an old state, and is read as the old state
    /// then: it is known only when the event is stored.
    #[must_use]
    pub fn encode_old_state(state: &str) -> Vec<u8> {
        serde_json::to_vec(state).unwrap_or_default()
    }

    /// What is stored of an event: its attributes, and its trace. Of an event without attributes, such as
    /// one of Aurora's, the trace is stored alone, in a form that is no JSON. Without a trace, nothing is
    /// parsed.
    #[must_use]
    pub fn split_trace(stored: &[u8]) -> (&[u8], Option<TraceContext>) {
        match stored.first() {
            None => (stored, None),
            Some(b'{') if stored.starts_with(br#"{"trace":"#) => {
                let attributes = Attributes::decode(stored);
                (stored, attributes.and_then(|attributes| attributes.trace))
            }
            Some(b'{') => (stored, None),
            Some(_) => (&[], TraceContext::decode(stored)),
        }
    }

    /// Reads stored bytes; `None` if there are none, as for Aurora's events.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Attributes> {
        let mut values = serde_json::Deserializer::from_slice(bytes);
        let mut attributes = Attributes::deserialize(&mut values).ok()?;
        if attributes.old_state.is_none() {
            attributes.old_state = String::deserialize(&mut values).ok();
        }
        Some(attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_an_event_are_stored_with_the_name_of_its_input() {
        let fields = EventFields {
            key: "17".into(),
            state: Some("FAILED".into()),
            old_state: Some("RUNNING".into()),
            job: vec!["debug".into(), "a/b".into()],
            id: Some("17/FAILED".to_owned()),
            time: Some(1_796_000_052_007),
        };
        let expected = Attributes {
            trace: None,
            input: "slurm".to_owned(),
            state: Some("FAILED".to_owned()),
            old_state: Some("RUNNING".to_owned()),
            job: vec!["debug".to_owned(), "a/b".to_owned()],
            time: Some(1_796_000_052_007),
        };
        let attributes = Attributes::of("slurm", &fields);
        assert_eq!(attributes, expected);
        assert_eq!(Attributes::decode(&attributes.encode()), Some(expected));
    }

    #[test]
    fn an_old_state_may_be_appended() {
        let attributes = Attributes {
            input: "nomad".to_owned(),
            state: Some("running".to_owned()),
            ..Attributes::default()
        };
        let mut stored = attributes.encode();
        assert_eq!(Attributes::decode(&stored), Some(attributes.clone()));
        stored.extend(Attributes::encode_old_state("\"pending\""));
        let old_state = Some("\"pending\"".to_owned());
        let expected = Attributes {
            old_state,
            ..attributes
        };
        assert_eq!(Attributes::decode(&stored), Some(expected));
        assert_eq!(Attributes::decode(b""), None);
    }

    #[test]
    fn a_trace_is_stored_beside_attributes_or_alone() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::parse(parent, ["a=\"1\\"]);
        let mut attributes = Attributes {
            state: Some("running".to_owned()),
            ..Attributes::default()
        };
        let plain = attributes.encode();
        assert_eq!(Attributes::split_trace(&plain), (&*plain, None));
        attributes.trace = trace.clone();
        let mut traced = attributes.encode();
        traced.extend(Attributes::encode_old_state("pending"));
        assert_eq!(Attributes::split_trace(&traced), (&*traced, trace.clone()));
        let read = Attributes::decode(&traced).unwrap();
        assert_eq!(read.old_state.as_deref(), Some("pending"));
        let alone = trace.as_ref().unwrap().encode();
        assert_eq!(Attributes::split_trace(&alone), (&b""[..], trace));
        // An earlier version takes it for an event without attributes.
        assert_eq!(Attributes::decode(&alone), None);
        assert_eq!(Attributes::split_trace(b""), (&b""[..], None));
    }
}
