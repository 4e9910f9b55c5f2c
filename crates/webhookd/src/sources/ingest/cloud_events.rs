//! CloudEvents over HTTP: their content modes, and binary mode written as one JSON document.

use super::answer::{self, Answer, Complaint};
use super::charset::Charset;
use super::content_kind::is_json;
use crate::sources::cloud_event::{REQUIRED, check_time, check_version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The beginning of the name of a header with an attribute.
const PREFIX: &str = "ce-";
const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// How an event is laid out in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Attributes are headers, and the data is the body.
    Binary,
    /// The body is one JSON document with all of it.
    Structured,
    /// The body is an array of such documents.
    Batch,
}

impl Mode {
    /// A JSON body without attributes in headers is structured, whatever its type is called.
    ///
    /// # Errors
    /// The event is in a format that is not understood, such as Avro.
    pub(super) fn of(headers: &HeaderMap) -> Result<Mode, Complaint> {
        let media_type = media_type(headers);
        match media_type.strip_prefix("application/cloudevents") {
            Some("+json") => Ok(Mode::Structured),
            Some("-batch+json") => Ok(Mode::Batch),
            Some(_) => Err(Complaint::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "Content-Type {} is not understood; send CloudEvents as \
                     application/cloudevents+json, as application/cloudevents-batch+json, or in \
                     binary mode",
                    media_type.escape_debug()
                ),
            )),
            None if headers.contains_key("ce-specversion") => Ok(Mode::Binary),
            None => Ok(Mode::Structured),
        }
    }
}

/// The type in the Content-Type, without parameters and in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let name = text.split(';').next().unwrap_or("").trim();
    name.to_ascii_lowercase()
}

/// An event in binary mode as a JSON document. The same request gives the same document, so that
/// one that is sent twice is recognised.
///
/// # Errors
/// An attribute is missing or cannot be read, or the data is not of its type.
pub(super) fn structured(
    headers: &HeaderMap,
    charset: Charset,
    body: &[u8],
) -> Result<Vec<u8>, Complaint> {
    let mut attributes = attributes(headers)?;
    let mut document = Vec::with_capacity(body.len() + 512);
    document.push(b'{');
    for name in REQUIRED {
        let value = attributes.remove(name).ok_or_else(|| {
            Complaint::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("not a CloudEvent: the header {PREFIX}{name} is missing"),
            )
        })?;
        push_member(&mut document, name, &value);
    }
    for (name, value) in &attributes {
        push_member(&mut document, name, value);
    }
    push_data(&mut document, headers, charset, body)?;
    // After the last member there is a comma.
    document.pop();
    document.push(b'}');
    Ok(document)
}

/// The attributes in the headers, by name, but for the type of the data.
fn attributes(headers: &HeaderMap) -> Result<BTreeMap<&str, String>, Complaint> {
    let mut attributes = BTreeMap::new();
    for (header, value) in headers {
        let Some(name) = header.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        let bad = |why: &str| {
            Complaint::new(
                StatusCode::BAD_REQUEST,
                format!("the header {header} {why}"),
            )
        };
        // The Content-Type says it.
        if name == "datacontenttype" {
            continue;
        }
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if name.is_empty() || name == "data" || !name.bytes().all(is_name) {
            return Err(bad(
                "names no attribute: a name has letters and digits only, and is not `data`",
            ));
        }
        let value = decoded(value.as_bytes()).ok_or_else(|| {
            bad("is not understood: its value is percent-encoded UTF-8, as CloudEvents specifies")
        })?;
        if value.is_empty() {
            return Err(bad("is empty"));
        }
        let valid = match name {
            "specversion" => check_version(&value),
            "time" => check_time(&value),
            _ => Ok(()),
        };
        valid.map_err(|why| {
            let error = format!("not a CloudEvent: {why}");
            Complaint::new(StatusCode::UNPROCESSABLE_ENTITY, error)
        })?;
        if attributes.insert(name, value).is_some() {
            return Err(bad("is there twice"));
        }
    }
    Ok(attributes)
}

/// The text of a header: quotes and backslashes around it removed, then percent-decoded once.
/// `None` if it is not UTF-8, or an encoded byte has no two hexadecimal digits.
fn decoded(value: &[u8]) -> Option<String> {
    let unquoted = match value {
        [b'"', quoted @ .., b'"'] => {
            let mut text = Vec::with_capacity(quoted.len());
            let mut rest = quoted.iter();
            while let Some(byte) = rest.next() {
                text.push(*if *byte == b'\\' { rest.next()? } else { byte });
            }
            text
        }
        plain => plain.to_vec(),
    };
    let mut text = Vec::with_capacity(unquoted.len());
    let mut rest = &unquoted[..];
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            text.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let decoded = digit(digits[0])? * 16 + digit(digits[1])?;
        text.push(u8::try_from(decoded).ok()?);
        rest = after;
    }
    String::from_utf8(text).ok()
}

/// Writes a member, and a comma.
fn push_member(document: &mut Vec<u8>, name: &str, value: &str) {
    push_json(document, name, Value::from(value).to_string().as_bytes());
}

fn push_json(document: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [&b"\""[..], name.as_bytes(), b"\":", value, b","] {
        document.extend_from_slice(part);
    }
}

/// Writes the data and its type: JSON as it is, text as a string, all else in base64.
fn push_data(
    document: &mut Vec<u8>,
    headers: &HeaderMap,
    charset: Charset,
    body: &[u8],
) -> Result<(), Complaint> {
    let media_type = media_type(headers);
    let is_json = is_json(&media_type);
    let is_text = media_type.starts_with("text/")
        || matches!(media_type.strip_prefix("application/"), Some(it) if it == "xml" || it.ends_with("+xml"));
    let (body, transcoded) = match is_json || is_text {
        true => charset.decode(body.into()),
        false => (Arc::from(body), false),
    };
    let content_type = headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    // An attribute is not empty.
    if let Some(content_type) = content_type.filter(|it| !it.is_empty()) {
        // Its charset is no longer that of the data.
        let shown = if transcoded {
            &media_type
        } else {
            content_type
        };
        push_member(document, "datacontenttype", shown);
    }
    if body.is_empty() {
        return Ok(());
    }
    let json: Result<&RawValue, _> = serde_json::from_slice(&body);
    match (json, std::str::from_utf8(&body)) {
        (Ok(json), _) if is_json || media_type.is_empty() => {
            push_json(document, "data", json.get().as_bytes());
        }
        (Err(error), _) if is_json => {
            let byte = error.column().saturating_sub(1);
            return Err(Complaint {
                byte: (error.line() == 1).then_some(byte),
                ..Complaint::new(
                    StatusCode::BAD_REQUEST,
                    format!("the data is not JSON, as its Content-Type says: {error}"),
                )
            });
        }
        (_, Ok(text)) if is_text => push_member(document, "data", text),
        (_, Err(_)) if is_text => {
            return Err(Complaint::new(
                StatusCode::BAD_REQUEST,
                "the data is text by its Content-Type, but not UTF-8",
            ));
        }
        _ => push_member(document, "data_base64", &STANDARD.encode(&body)),
    }
    Ok(())
}

/// The answer to a sender that asks whether it may send events here (CloudEvents' HTTP 1.1 Web
/// Hooks, section 4). `None` if it does not ask.
pub(super) fn permission(headers: &HeaderMap) -> Option<Answer> {
    let origin = headers.get(&REQUEST_ORIGIN)?;
    let mut answer = answer::json(StatusCode::OK, &serde_json::json!({}));
    let all = HeaderValue::from_static("*");
    let permission = [
        (ALLOW, HeaderValue::from_static("OPTIONS, POST")),
        (ALLOWED_ORIGIN, origin.clone()),
        (ALLOWED_RATE, all),
    ];
    answer.headers_mut().extend(permission);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn headers(lines: &[&str]) -> HeaderMap {
        let parts = lines.iter().map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let mut headers = HeaderMap::new();
        for (name, value) in parts {
            headers.append(name, value);
        }
        headers
    }

    const BASE: [&str; 4] = [
        "Ce-Specversion: 1.0",
        "Ce-Id: 1",
        "Ce-Source: /s",
        "Ce-Type: t",
    ];

    fn document(more: &[&str], body: &[u8]) -> Result<Value, Complaint> {
        let lines = [&BASE[..], more].concat();
        let document = structured(&headers(&lines), Charset::Utf8, body)?;
        crate::sources::cloud_event::check(&document).expect("it is a CloudEvent");
        Ok(serde_json::from_slice(&document).unwrap())
    }

    fn check(more: &[&str], body: &[u8], expected: Value) {
        let mut document = document(more, body).unwrap();
        for name in REQUIRED {
            document.as_object_mut().unwrap().remove(name).unwrap();
        }
        assert_eq!(document, expected, "{more:?}");
    }

    #[test]
    fn the_content_type_says_the_mode() {
        for (lines, mode) in [
            (
                &["Content-Type: application/cloudevents+json; charset=UTF-8"][..],
                Mode::Structured,
            ),
            (
                &["Content-Type: Application/CloudEvents-Batch+JSON"],
                Mode::Batch,
            ),
            (
                &["Content-Type: application/json", "ce-specversion: 1.0"],
                Mode::Binary,
            ),
            (&["Content-Type: application/json"], Mode::Structured),
            (&[], Mode::Structured),
        ] {
            assert_eq!(Mode::of(&headers(lines)).unwrap(), mode, "{lines:?}");
        }
        let avro = headers(&["Content-Type: application/cloudevents+avro"]);
        assert_eq!(Mode::of(&avro).unwrap_err().status, 415);
    }

    #[test]
    fn data_is_json_or_text_or_base64() {
        check(&[], b"", json!({}));
        check(&[], b"{\"a\": 1}\n", json!({ "data": { "a": 1 } }));
        check(&[], b"plain", json!({ "data_base64": "cGxhaW4=" }));
        check(
            &["Content-Type: "],
            b"plain",
            json!({ "data_base64": "cGxhaW4=" }),
        );
        for (media_type, body, data) in [
            ("application/json", &b"[1]"[..], json!({ "data": [1] })),
            ("application/vnd.x+json", b"4.50", json!({ "data": 4.50 })),
            (
                "text/plain; charset=utf-8",
                "\"gr\u{fc}\u{df}\"".as_bytes(),
                json!({ "data": "\"gr\u{fc}\u{df}\"" }),
            ),
            ("application/xml", b"<a/>", json!({ "data": "<a/>" })),
            (
                "application/octet-stream",
                b"\x00\xff",
                json!({ "data_base64": "AP8=" }),
            ),
        ] {
            let mut expected = data;
            expected["datacontenttype"] = json!(media_type);
            check(&[&format!("Content-Type: {media_type}")], body, expected);
        }
        for (media_type, body) in [("application/json", &b"{"[..]), ("text/plain", b"\xff")] {
            let refused = document(&[&format!("Content-Type: {media_type}")], body);
            assert_eq!(refused.unwrap_err().status, 400, "{media_type}");
        }
    }

    #[test]
    fn the_digits_of_data_are_kept() {
        let lines = [&BASE[..], &["Content-Type: application/json"]].concat();
        let document = structured(&headers(&lines), Charset::Utf8, b" 4.50 ").unwrap();
        assert!(
            String::from_utf8(document)
                .unwrap()
                .ends_with(r#","data":4.50}"#)
        );
    }

    #[test]
    fn headers_are_unquoted_and_percent_decoded_once() {
        for (value, text) in [
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro \u{20ac} \u{1f600}"),
            ("%e2%82%ac", "\u{20ac}"),
            ("%2541", "%41"),
            ("%41", "A"),
            (r#""a \"b\" \\%20""#, r#"a "b" \ "#),
            ("gr\u{fc}n", "gr\u{fc}n"),
        ] {
            check(
                &[&format!("ce-subject: {value}")],
                b"",
                json!({ "subject": text }),
            );
        }
        for value in ["%C0%A0", "%4", "%zz", "%+1", "%FF"] {
            let refused = document(&[&format!("ce-subject: {value}")], b"");
            assert_eq!(refused.unwrap_err().status, 400, "{value}");
        }
    }

    #[test]
    fn extensions_are_kept_and_bad_attributes_are_named() {
        let more = [
            "ce-kind: Pod",
            "ce-namespace: batch",
            "ce-datacontenttype: a/b",
        ];
        check(&more, b"", json!({ "kind": "Pod", "namespace": "batch" }));
        for (line, status, why) in [
            ("ce-my-name: x", 400, "ce-my-name"),
            ("ce-data: x", 400, "ce-data"),
            ("ce-kind: ", 400, "ce-kind is empty"),
            ("ce-id: 2", 400, "twice"),
            ("ce-time: now", 422, "RFC 3339"),
        ] {
            let refused = document(&[line], b"").unwrap_err();
            assert_eq!(refused.status, status, "{line}");
            assert!(refused.error.contains(why), "{}", refused.error);
        }
        for index in 0..BASE.len() {
            let mut lines = BASE.to_vec();
            let missing = lines
                .remove(index)
                .split(':')
                .next()
                .unwrap()
                .to_lowercase();
            let refused = structured(&headers(&lines), Charset::Utf8, b"").unwrap_err();
            assert_eq!(refused.status, 422);
            assert!(refused.error.contains(&missing), "{}", refused.error);
        }
    }

    #[test]
    fn a_sender_that_asks_may_send() {
        assert!(permission(&HeaderMap::new()).is_none());
        let asked = headers(&["WebHook-Request-Origin: eventemitter.example.com"]);
        let answer = permission(&asked).unwrap();
        assert_eq!(answer.headers()[ALLOWED_ORIGIN], "eventemitter.example.com");
        assert_eq!(answer.headers()[ALLOWED_RATE], "*");
    }
}
