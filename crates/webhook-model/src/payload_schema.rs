//! The JSON Schema of a payload.

use crate::field::FieldValue;
use crate::json_schema::{Definitions, described, nullable};
use crate::{ScheduledTask, StatusName};
use serde_json::{Value, json};

pub(crate) fn payload() -> Value {
    let mut definitions = Definitions::default();
    let task = nullable(ScheduledTask::schema(&mut definitions));
    let status = StatusName::schema(&mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Aurora's task state change",
        "description": "The body of a webhook of Apache Aurora, of any release from 0.14 to 0.22. No \
            member is required, null means absent, and there may be others.",
        "type": "object",
        "properties": {
            "task": described("The task after the change.", task),
            "oldState": {
                "description": "The state before the change: {\"value\": STATE}, or {} in an initial \
                    event and until 0.19.",
                "anyOf": [
                    { "type": "object", "properties": { "value": nullable(status.clone()) } },
                    status,
                    { "type": "null" },
                ],
            },
        },
        "$defs": definitions.0,
    })
}
