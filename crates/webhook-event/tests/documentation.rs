//! The examples of docs/schemas.md: settings, an event, and what is read of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write;
use webhook_event::{EventFields, Schema};

/// The blocks of code: what their fences say they are, and their text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut parts = page.split("```");
    parts.next();
    let mut blocks = Vec::new();
    while let (Some(block), Some(_text)) = (parts.next(), parts.next()) {
        blocks.push(block.split_once('\n').unwrap());
    }
    blocks
}

fn shown(fields: &EventFields<'_>) -> String {
    let mut text = format!("key {}", fields.key);
    let job = fields.job.join("/");
    for (name, field) in [
        ("state", fields.state.as_deref()),
        ("old state", fields.old_state.as_deref()),
        ("job", Some(&*job).filter(|job| !job.is_empty())),
        ("id", fields.id.as_deref()),
    ] {
        if let Some(field) = field {
            write!(text, ", {name} {field}").unwrap();
        }
    }
    if let Some(time) = fields.time {
        write!(text, ", time {time}").unwrap();
    }
    text
}

/// A line for each event of a document.
fn read(schema: &Schema, document: &str) -> String {
    let events = schema.split(document.as_bytes()).unwrap();
    let lines = events.iter().map(|event| match schema.read(event.bytes()) {
        Ok(Some(fields)) => shown(&fields) + "\n",
        Ok(None) => "ignored\n".to_owned(),
        Err(error) => format!("{error}\n"),
    });
    lines.collect()
}

#[test]
fn the_examples_of_schemas_are_read_as_the_page_says() {
    let page = include_str!("../../../docs/schemas.md");
    let mut count = 0;
    for example in blocks(page).windows(3) {
        let [("json", settings), ("json", event), ("text", expected)] = example else {
            continue;
        };
        let settings = serde_json::from_str(settings).unwrap();
        let schema = Schema::from_json(&settings).unwrap();
        assert_eq!(read(&schema, event), *expected, "{settings}");
        count += 1;
    }
    assert!(count >= 9, "{count} examples");
}

#[test]
fn each_preset_is_in_the_table_of_the_page() {
    let page = include_str!("../../../docs/schemas.md");
    for name in Schema::PRESETS {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name}");
    }
}
