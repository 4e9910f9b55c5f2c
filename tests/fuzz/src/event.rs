//! Events of every preset, and of any schema: what is read beside what serde_json finds.

use crate::seeds::Files;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::LazyLock;
use webhook_event::{Attributes, EventFields, Schema};

static PRESETS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    let names = Schema::PRESETS.iter().filter(|name| **name != "pointers");
    let schema = |name| Schema::from_json(&json!({ "schema": name })).expect("a preset is valid");
    names.map(schema).collect()
});

/// The first line is the settings of a schema, the rest is a document. A first line of one byte is the
/// index of a preset.
///
/// The events of a document are parts of it; a field whose setting is a plain pointer has what
/// serde_json finds there; what is left of an event without its omitted members is JSON; an error of
/// its content names a place; the attributes to store are read back.
pub(crate) fn run(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (settings, document) = (&input[..end], &input[end + 1..]);
    let custom;
    let schema = match settings {
        [index] => &PRESETS[usize::from(*index) % PRESETS.len()],
        _ => {
            let Ok(settings) = serde_json::from_slice::<Value>(settings) else {
                return;
            };
            match Schema::from_json(&settings) {
                Ok(schema) => {
                    custom = schema;
                    &custom
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    return;
                }
            }
        }
    };
    check(schema, document);
}

fn check(schema: &Schema, document: &[u8]) {
    let Ok(events) = schema.split(document) else {
        return;
    };
    for event in events {
        let bytes = event.bytes();
        assert_eq!(
            document.get(event.at()..event.at() + bytes.len()),
            Some(bytes)
        );
        let fields = match schema.read(bytes) {
            Ok(fields) => fields,
            Err(error) => {
                let text = error.to_string();
                assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
                continue;
            }
        };
        let kept = schema.omit(bytes).expect("an event that is read is JSON");
        let value: Result<Value, _> = serde_json::from_slice(bytes);
        let Ok(value) = value else {
            continue;
        };
        let left: Value = serde_json::from_slice(&kept).expect("what is left is JSON");
        assert_eq!(left.is_object(), value.is_object());
        if let Some(fields) = fields {
            check_fields(schema, &fields, &value);
            let attributes = Attributes::of("input", &fields);
            let stored = Attributes::decode(&attributes.encode());
            assert_eq!(stored.as_ref(), Some(&attributes));
        }
    }
}

/// Compares the fields whose settings are one pointer, or a list of pointers.
fn check_fields(schema: &Schema, fields: &EventFields<'_>, value: &Value) {
    if schema.has_aurora_fields() {
        return;
    }
    let settings = schema.settings();
    let state = |name: &str, found: Option<&str>| {
        if let Some(pointer) = settings[name].as_str()
            && let Some(expected) = text(value, pointer)
        {
            assert_eq!(found, expected.as_deref(), "{name}");
        }
    };
    state("state", fields.state.as_deref());
    state("oldState", fields.old_state.as_deref());
    if let Some(key) = joined(&settings["key"], value) {
        assert_eq!(Some(&*fields.key), key.as_deref(), "key");
    }
    if let Some(job) = joined(&settings["job"], value) {
        let found = (!fields.job.is_empty()).then(|| fields.job.join("/"));
        assert_eq!(found, job, "job");
    }
}

/// The text at a pointer, if there is one; `None` if only the event's bytes tell it.
fn text(value: &Value, pointer: &str) -> Option<Option<String>> {
    match value.pointer(pointer) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone())),
        Some(Value::Bool(flag)) => Some(Some(flag.to_string())),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
            Some(Some(number.to_string()))
        }
        _ => None,
    }
}

/// The texts at a list of pointers, joined; `None` if a setting is something else.
fn joined(setting: &Value, value: &Value) -> Option<Option<String>> {
    let pointers = match setting {
        Value::String(pointer) => vec![pointer.as_str()],
        Value::Array(pointers) => pointers.iter().map(Value::as_str).collect::<Option<_>>()?,
        _ => return None,
    };
    let texts: Option<Vec<_>> = pointers.iter().map(|it| text(value, it)).collect();
    let texts: Option<Vec<_>> = texts?.into_iter().collect();
    Some(texts.map(|texts| texts.join("/")))
}

pub(crate) fn seeds(files: &mut Files) {
    let index: HashMap<_, _> = (0_u8..)
        .zip(PRESETS.iter())
        .map(|(at, it)| (it.name(), at))
        .collect();
    for (file, preset) in [
        ("airflow", "airflow"),
        ("knative", "cloudevents"),
        ("kubernetes", "kubernetes"),
        ("kubernetes-events", "kubernetes"),
        ("nomad", "nomad"),
        ("ray", "ray"),
        ("ray-batches", "ray"),
        ("slurm", "slurm"),
    ] {
        let at = index
            .get(preset)
            .unwrap_or_else(|| panic!("no preset {preset}"));
        files.each_line(&format!("schedulers/{file}.ndjson"), |line| {
            [&[*at, b'\n'], line].concat()
        });
    }
    // The examples of the page: settings, and the event after them.
    let blocks = files.blocks("docs/schemas.md", "json");
    for pair in blocks.windows(2) {
        let values = [0, 1].map(|at| serde_json::from_str::<Value>(&pair[at]));
        if let [Ok(settings), Ok(_)] = &values
            && settings.get("schema").is_some()
        {
            files.add(format!("{settings}\n{}", pair[1]));
        }
    }
}
