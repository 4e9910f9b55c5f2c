//! CloudEvents 1.0 in JSON: whether a document is one.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use webhook_event::TraceContext;

/// The version of the specification that is understood.
const VERSION: &str = "1.0";
/// Attributes that every event has.
pub(super) const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];
/// Optional attributes, which are strings.
const OPTIONAL: [&str; 4] = ["subject", "time", "datacontenttype", "dataschema"];

/// The members of an event; the last of those with one name counts.
#[derive(Deserialize)]
#[serde(transparent)]
struct Members<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

impl Members<'_> {
    /// A member, which is absent if it is null.
    fn get(&self, name: &str) -> Option<&str> {
        let text = self.0.get(name)?.get();
        (text != "null").then_some(text)
    }

    /// An attribute that is a string, and not empty.
    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let Some(json) = self.get(name) else {
            return Ok(None);
        };
        let text: Result<String, _> = serde_json::from_str(json);
        match text {
            Ok(text) if !text.is_empty() => Ok(Some(text)),
            _ => Err(format!(
                "its attribute `{name}` is not a string with content"
            )),
        }
    }
}

/// The trace in an event's extension attributes (Distributed Tracing), if it is valid.
pub(super) fn trace(document: &[u8]) -> Option<TraceContext> {
    // Most events have none, and are not parsed for it.
    memchr::memmem::find(document, b"\"traceparent\"")?;
    let members: Members<'_> = serde_json::from_slice(document).ok()?;
    let parent = members.text("traceparent").ok()??;
    let state = members.text("tracestate").ok().flatten();
    TraceContext::parse(&parent, state.as_deref())
}

/// Checks that a JSON document is an event by the specification: its required attributes, their
/// types, and at most one form of data.
///
/// # Errors
/// Says what is missing or wrong.
pub(super) fn check(document: &[u8]) -> Result<(), String> {
    let not = |why: &str| format!("not a CloudEvent: {why}");
    let members: Members<'_> = serde_json::from_slice(document)
        .map_err(|error| not(&format!("expected a JSON object: {error}")))?;
    check_members(&members).map_err(|why| not(&why))
}

fn check_members(members: &Members<'_>) -> Result<(), String> {
    for name in REQUIRED {
        if members.text(name)?.is_none() {
            return Err(format!("its attribute `{name}` is missing"));
        }
    }
    check_version(&members.text("specversion")?.unwrap_or_default())?;
    for name in OPTIONAL {
        members.text(name)?;
    }
    if let Some(time) = members.text("time")? {
        check_time(&time)?;
    }
    if members.get("data").is_some() && members.get("data_base64").is_some() {
        return Err("it has both `data` and `data_base64`".to_owned());
    }
    if let Some(data) = members.get("data_base64")
        && !data.starts_with('"')
    {
        return Err("its `data_base64` is not a string".to_owned());
    }
    for (name, value) in &members.0 {
        let is_data = matches!(&**name, "data" | "data_base64");
        if !is_data && value.get().starts_with(['{', '[']) {
            return Err(format!("its attribute `{name}` is an object or an array"));
        }
    }
    Ok(())
}

pub(super) fn check_version(version: &str) -> Result<(), String> {
    if version == VERSION {
        return Ok(());
    }
    Err(format!(
        "its `specversion` is {}; only {VERSION} is understood",
        Value::from(version)
    ))
}

pub(super) fn check_time(time: &str) -> Result<(), String> {
    match time.parse::<jiff::Timestamp>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "its `time` is {}; write it as RFC 3339 does: 2026-11-29T11:00:00Z",
            Value::from(time)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_specification_requires_is_required() {
        let event = |more: &str| {
            format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{more}}}"#)
        };
        for more in [
            "",
            r#","subject":"s","time":"2026-11-29T11:00:00.5+02:00","data":{"a":[1]}"#,
            r#","data_base64":"AAE=","data":null,"traceparent":"x","count":3,"flag":true"#,
        ] {
            assert_eq!(check(event(more).as_bytes()), Ok(()), "{more}");
        }
        for (document, why) in [
            ("[]".to_owned(), "expected a JSON object"),
            (r#"{"specversion":"1.0"}"#.to_owned(), "`id` is missing"),
            (event(r#","source":null"#), "`source` is missing"),
            (event(r#","id":1"#), "`id` is not a string"),
            (
                event(r#","type":"""#),
                "`type` is not a string with content",
            ),
            (event(r#","specversion":"0.3""#), "only 1.0 is understood"),
            (event(r#","time":"yesterday""#), "RFC 3339"),
            (event(r#","subject":{}"#), "`subject` is not a string"),
            (event(r#","data":1,"data_base64":"AAE=""#), "both"),
            (
                event(r#","data_base64":1"#),
                "`data_base64` is not a string",
            ),
            (event(r#","extension":{"a":1}"#), "an object or an array"),
        ] {
            let told = check(document.as_bytes()).unwrap_err();
            assert!(told.contains(why), "{document}: {told}");
        }
    }
}
