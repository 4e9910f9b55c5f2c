//! Bodies of ingested requests: lines of documents, and CloudEvents in binary mode.

#[expect(
    dead_code,
    reason = "a private module of webhookd, of which a part is used here"
)]
#[path = "../../../../crates/webhookd/src/sources/ingest/answer.rs"]
mod answer;
#[expect(
    dead_code,
    reason = "a private module of webhookd, of which a part is used here"
)]
#[path = "../../../../crates/webhookd/src/sources/ingest/budget.rs"]
mod budget;
#[path = "../../../../crates/webhookd/src/sources/ingest/charset.rs"]
mod charset;
#[expect(
    dead_code,
    reason = "a private module of webhookd, of which a part is used here"
)]
#[path = "../../../../crates/webhookd/src/sources/ingest/cloud_events.rs"]
mod cloud_events;
#[path = "../../../../crates/webhookd/src/sources/ingest/content_kind.rs"]
mod content_kind;

use self::charset::Charset;
use self::cloud_events::Mode;
use self::content_kind::ContentKind;
use super::cloud_event;
use super::documents::{Document, check};
use super::splitter::{Line, Splitter};
use crate::seeds::Files;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use webhook_event::{Schema, TraceContext};

/// The longest line, bytes.
const LONGEST: usize = 1024;

static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    let presets = Schema::PRESETS.iter().filter(|name| **name != "pointers");
    let settings = presets.map(|name| json!({ "schema": name })).chain([
        json!({ "schema": "json", "invalidUtf8": "replace" }),
        json!({ "schema": "json", "each": "/events", "omit": ["/a", "/b/0"] }),
    ]);
    let schema = |it| Schema::from_json(&it).expect("the settings are valid");
    settings.map(schema).collect()
});

/// The first bytes choose the length of the pieces, the schema and the encoding; the rest is a body.
///
/// The lines do not depend on the pieces, and are those of a simple reader. The events of a line are
/// parts of it, and each that passes the check is one that the dispatcher can read.
pub(crate) fn lines(input: &[u8]) {
    let [piece, schema, charset, body @ ..] = input else {
        return;
    };
    let expected = simple_lines(body);
    assert_eq!(split(body, body.len().max(1)), expected);
    assert_eq!(split(body, usize::from(*piece).max(1)), expected);
    let schema = &SCHEMAS[usize::from(*schema) % SCHEMAS.len()];
    let charset = [Charset::Utf8, Charset::Latin1, Charset::Guess][usize::from(charset % 3)];
    for (_, line) in expected {
        let Ok(line) = line else { continue };
        let length = line.len();
        let (text, transcoded) = charset.decode(line.into());
        assert!(text.len() <= charset.longest(length));
        assert!(charset == Charset::Utf8 || std::str::from_utf8(&text).is_ok());
        assert!(!transcoded || charset != Charset::Utf8);
        document(schema, text);
    }
}

fn document(schema: &Schema, text: Arc<[u8]>) {
    let document = match Document::read(schema, Arc::clone(&text)) {
        Ok(document) => document,
        Err((back, why)) => {
            assert!(!why.why.is_empty());
            assert!(why.byte.is_none_or(|byte| byte <= back.len()), "{why:?}");
            return;
        }
    };
    assert_eq!(document.several().unwrap_or(1), document.len());
    for index in 0..document.len() {
        let event = document.event(index);
        assert_eq!(document.bytes(index), &*event);
        match check(schema, &event, LONGEST) {
            Ok(()) => assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&event).is_ok()),
            Err(why) => assert!(why.byte.is_none_or(|byte| byte <= event.len()), "{why:?}"),
        }
    }
}

/// A line with its number, or the beginning of one that is too long.
type Split = (u64, Result<Vec<u8>, Vec<u8>>);

fn split(body: &[u8], piece: usize) -> Vec<Split> {
    let mut splitter = Splitter::new(LONGEST);
    let mut lines = Vec::new();
    let own = |line: Line<'_>| match line {
        Line::Text(number, text) => (number, Ok(text.to_vec())),
        Line::TooLong(number, beginning) => (number, Err(beginning.to_vec())),
    };
    for mut piece in body.chunks(piece) {
        while let Some(line) = splitter.next(&mut piece) {
            lines.push(own(line));
        }
        assert!(splitter.kept() <= LONGEST);
    }
    lines.extend(splitter.last().map(own));
    lines
}

/// The same by the standard library.
fn simple_lines(body: &[u8]) -> Vec<Split> {
    let lines = (1..).zip(body.split(|byte| *byte == b'\n'));
    let line = |(number, line): (u64, &[u8])| {
        if line.len() > LONGEST {
            return Some((number, Err(line[..LONGEST].to_vec())));
        }
        let text = line.trim_ascii();
        (!text.is_empty()).then(|| (number, Ok(text.to_vec())))
    };
    lines.filter_map(line).collect()
}

pub(crate) fn lines_seeds(files: &mut Files) {
    for (file, schema) in [
        ("slurm", 1),
        ("nomad", 2),
        ("kubernetes", 3),
        ("airflow", 4),
        ("ray-batches", 5),
    ] {
        let file = format!("schedulers/{file}.ndjson");
        let body = std::fs::read(testkit::fixture(&file)).expect("the file is committed");
        files.add([&[100, schema, 0], &body[..body.len().min(3000)]].concat());
        files.each_line(&file, |line| [&[7, schema, 2], line, b"\n"].concat());
    }
    files.each_line("payloads/escapes.ndjson", |line| {
        [&[50, 0, 1], line].concat()
    });
    files.add(b"\x05\x08\x00 [{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"}]\r\n\n \t\n{}");
    files.add(b"\x01\x09\x00{\"events\":[{\"a\":1,\"b\":[2,3]},7],\"caf\xe9\":null}\n");
    files.add([&[9, 0, 0][..], &[b'x'; 1500], b"\n{}"].concat());
}

/// What is read of a trace is read the same way by the next receiver, and stored within its bound.
fn check_trace(document: &[u8]) {
    let Some(trace) = cloud_event::trace(document) else {
        return;
    };
    let again = TraceContext::parse(trace.traceparent(), trace.tracestate());
    assert_eq!(again.as_ref(), Some(&trace));
    let stored = trace.encode();
    assert!(stored.len() <= 55 + 512, "{trace:?}");
    assert_eq!(TraceContext::decode(&stored), Some(trace));
}

/// Lines of headers, an empty one, and a body.
///
/// An event in binary mode becomes a JSON document that is a CloudEvent with the attributes and the
/// data of the request; the same request gives the same document.
pub(crate) fn cloud_event(input: &[u8]) {
    let (headers, body) = request(input);
    let kinds = [false, true].map(|any| ContentKind::of(&headers, any));
    let [narrow, wide] = &kinds;
    assert!(
        narrow.is_err() || wide.is_ok(),
        "any type is taken: {wide:?}"
    );
    let Ok(charset) = Charset::of(&headers, false) else {
        return;
    };
    match Mode::of(&headers) {
        Ok(Mode::Binary) => {}
        Ok(Mode::Structured | Mode::Batch) => {
            let _verdict = cloud_event::check(body);
            check_trace(body);
            return;
        }
        Err(why) => return assert_eq!(why.status, 415),
    }
    let document = match cloud_events::structured(&headers, charset, body) {
        Ok(document) => document,
        Err(why) => {
            assert!(matches!(why.status.as_u16(), 400 | 422), "{why:?}");
            assert!(
                why.byte.is_none_or(|byte| byte <= 2 * body.len()),
                "{why:?}"
            );
            return;
        }
    };
    check_trace(&document);
    let again = cloud_events::structured(&headers, charset, body);
    assert_eq!(again.ok().as_deref(), Some(&*document));
    let text = String::from_utf8_lossy(&document).into_owned();
    let checked = cloud_event::check(&document);
    assert_eq!(checked, Ok(()), "{text}");
    let Ok(value) = serde_json::from_slice::<Value>(&document) else {
        // serde_json checks the depth and the doubles only here.
        assert!(
            serde_json::from_slice::<serde::de::IgnoredAny>(&document).is_ok(),
            "{text}"
        );
        return;
    };
    let kept = match (&value["data"], &value["data_base64"]) {
        (Value::Null, Value::String(data)) => STANDARD.decode(data).ok(),
        (Value::Null, _) => None,
        (Value::String(data), _) if charset == Charset::Utf8 => Some(data.clone().into_bytes()),
        _ => return,
    };
    if let Some(kept) = kept {
        let json: Result<Value, _> = serde_json::from_slice(body);
        let is_same =
            kept == body || json.is_ok_and(|it| it.as_str().map(str::as_bytes) == Some(&kept));
        assert!(is_same, "{text}");
    }
}

/// The headers, and the body after the empty line. What is no header is left out, as hyper refuses it.
fn request(input: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = input;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}

pub(crate) fn cloud_event_seeds(files: &mut Files) {
    files.each_line("schedulers/knative.ndjson", |line| {
        let request: Value = serde_json::from_slice(line).expect("a line is JSON");
        let headers = request["headers"].as_object().into_iter().flatten();
        let header = |(name, value): (&String, &Value)| {
            format!("{name}: {}\n", value.as_str().unwrap_or_default())
        };
        let headers: String = headers.map(header).collect();
        format!("{headers}\n{}", request["body"]).into_bytes()
    });
    let base = "ce-specversion: 1.0\nce-id: 1\nce-source: /s\nce-type: t\n";
    for more in [
        "content-type: application/json\nce-subject: Euro%20%E2%82%AC\n\n{\"a\": 4.50}",
        "content-type: text/plain; charset=iso-8859-1\n\ncaf\u{e9}",
        "content-type: application/xml\nce-time: 2026-11-29T11:00:00Z\n\n<a/>",
        "ce-subject: \"a \\\"b\\\" \\\\%20\"\nce-kind: Pod\n\n\u{0}plain",
    ] {
        files.add(format!("{base}{more}"));
    }
    files.add("content-type: application/cloudevents+json\n\n{\"specversion\":\"1.0\"}");
    files.add(format!(
        "{CONTENT_TYPE}: application/cloudevents-batch+json\n\n[]"
    ));
}
