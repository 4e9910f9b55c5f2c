//! The reference of the file's keys as Markdown tables.

use crate::file::{
    BatchFile, BreakerFile, ConfigFile, DeadLettersFile, Field, FileObject, InputFile,
    KubernetesFile, NoticesFile, OAuth2File, PostgresFile, Presence, QueueFile, ReconnectFile,
    RetainFile, RetryFile, SigningFile, SourceFile, StreamFile, TargetFile, TlsFile,
};
use crate::schema::json_schema;
use serde_json::Value;
use std::fmt::Write as _;

/// A Markdown table for each object of the file, with its keys, their types, defaults and meanings.
///
/// `docs/configuration.md` contains it; a test compares the two.
#[must_use]
pub fn reference() -> String {
    let schema = json_schema();
    let mut text = String::new();
    let of = |name: &str| schema["$defs"][name]["properties"].clone();
    section(
        "The file",
        &ConfigFile::fields(),
        &schema["properties"],
        &mut text,
    );
    section("An input", &InputFile::fields(), &of("Input"), &mut text);
    section("A target", &TargetFile::fields(), &of("Target"), &mut text);
    section("`batch`", &BatchFile::fields(), &of("Batch"), &mut text);
    section("`retry`", &RetryFile::fields(), &of("Retry"), &mut text);
    section(
        "`breaker`",
        &BreakerFile::fields(),
        &of("Breaker"),
        &mut text,
    );
    section("`retain`", &RetainFile::fields(), &of("Retain"), &mut text);
    section(
        "`signing`",
        &SigningFile::fields(),
        &of("Signing"),
        &mut text,
    );
    section("`oauth2`", &OAuth2File::fields(), &of("OAuth2"), &mut text);
    section("`tls`", &TlsFile::fields(), &of("Tls"), &mut text);
    section("`queue`", &QueueFile::fields(), &of("Queue"), &mut text);
    section(
        "`queue.postgres`",
        &PostgresFile::fields(),
        &of("Postgres"),
        &mut text,
    );
    section(
        "`queue.deadLetters`",
        &DeadLettersFile::fields(),
        &of("DeadLetters"),
        &mut text,
    );
    for (title, fields, name) in [
        ("A source", SourceFile::fields(), "Source"),
        ("`stream`", StreamFile::fields(), "Stream"),
        ("`kubernetes`", KubernetesFile::fields(), "Kubernetes"),
        ("`retry` of a source", ReconnectFile::fields(), "Reconnect"),
        ("`notices`", NoticesFile::fields(), "Notices"),
    ] {
        section(title, &fields, &of(name), &mut text);
    }
    text
}

fn section(title: &str, fields: &[Field], properties: &Value, text: &mut String) {
    let mut rows = String::new();
    for field in fields {
        let kind = kind(&properties[field.key]);
        let default = match &field.presence {
            Presence::Required => "required".to_owned(),
            Presence::Optional => String::new(),
            Presence::Default(value) => format!("`{value}`"),
        };
        let description = field.description().replace('|', "\\|");
        // Writing to a string does not fail.
        let _ok = writeln!(
            rows,
            "| `{}` | {kind} | {default} | {description} |",
            field.key
        );
    }
    let _ok = writeln!(
        text,
        "### {title}\n\n| key | type | default | meaning |\n|---|---|---|---|\n{rows}"
    );
}

/// The type of a value in a word or two.
fn kind(property: &Value) -> String {
    if let Some(choices) = property["enum"].as_array() {
        return choices
            .iter()
            .map(|choice| format!("`{choice}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(reference) = property["$ref"].as_str() {
        return match reference.rsplit('/').next() {
            Some("Secret") => "secret".to_owned(),
            Some("Selector") => "selector".to_owned(),
            _ => "object".to_owned(),
        };
    }
    if let Some(choices) = property["anyOf"].as_array() {
        let first = choices.first().map(kind).unwrap_or_default();
        let is_list = choices.iter().any(|choice| choice["items"] == choices[0]);
        return first + if is_list { " or list of them" } else { "" };
    }
    let name = match &property["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    };
    if name == "array" {
        format!("list of {}", kind_of_items(&property["items"]))
    } else {
        name.to_owned()
    }
}

fn kind_of_items(items: &Value) -> &'static str {
    match (&items["anyOf"], items["$ref"].as_str()) {
        (Value::Array(_), _) => "statuses",
        (_, Some(reference)) if reference.ends_with("Condition") => "conditions",
        (_, Some(reference)) if reference.ends_with("Secret") => "secrets",
        (_, Some(reference)) if reference.ends_with("Source") => "sources",
        (_, Some(_)) => "targets",
        _ => "strings",
    }
}
