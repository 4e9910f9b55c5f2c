//! What the queue keeps beside a body, and ids as texts.

use crate::seeds::Files;
use webhook_dispatch::{FailureRecord, event_key};
use webhook_event::Attributes;
use webhook_queue::EventId;

/// What is read of stored bytes is read again from what is written of it. An id has one text.
pub(crate) fn run(input: &[u8]) {
    if let Some(attributes) = Attributes::decode(input) {
        assert_eq!(
            Attributes::decode(&attributes.encode()),
            Some(attributes.clone())
        );
        if let (None, Some(state)) = (&attributes.old_state, &attributes.state) {
            let appended = [attributes.encode(), Attributes::encode_old_state(state)].concat();
            let old = Attributes::decode(&appended).and_then(|it| it.old_state);
            assert_eq!(old.as_ref(), Some(state));
        }
    }
    if let Ok(record) = FailureRecord::from_note(input) {
        assert_eq!(
            FailureRecord::from_note(&record.to_note()).ok(),
            Some(record)
        );
    }
    let key = event_key(input);
    assert!(input.ends_with(key), "a key is the end of what is stored");
    if let Some(id) = std::str::from_utf8(input)
        .ok()
        .and_then(|it| it.parse::<EventId>().ok())
    {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}

pub(crate) fn seeds(files: &mut Files) {
    for seed in [
        "{\"input\":\"nomad\",\"state\":\"running\",\"job\":[\"a\",\"b\"],\"time\":1}\"pending\"",
        "{\"oldState\":\"a\"}",
        "{\"reason\":\"attempts-exhausted\",\"outcome\":\"server-error\",\"status\":503,\"detail\":\"d\"}",
        "{\"reason\":\"too-old\"}",
        "evt_0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
        "task-1",
    ] {
        files.add(seed);
    }
    files.add(b"\xffnomad\xff1");
}
