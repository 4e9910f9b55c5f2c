//! What a body is said to hold.

use super::answer::Complaint;
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON document.
    Event,
    /// A JSON document a line.
    Lines,
}

impl Form {
    /// # Errors
    /// It is nothing that events come in.
    pub(super) fn of(headers: &HeaderMap) -> Result<Form, Complaint> {
        let unsupported = |error: String| Complaint::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error);
        if let Some(encoding) = headers.get(CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            let shown = encoding.to_str().unwrap_or("unreadable").escape_debug();
            return Err(unsupported(format!(
                "Content-Encoding {shown} is not understood; send the body as it is"
            )));
        }
        let Some(kind) = headers.get(CONTENT_TYPE) else {
            return Ok(Form::Event);
        };
        let text = kind.to_str().unwrap_or("");
        Form::of_type(text).ok_or_else(|| {
            unsupported(format!(
                "Content-Type {} is not understood; send application/json for one event, \
                 application/x-ndjson for one a line",
                if text.is_empty() { "unreadable" } else { text }.escape_debug()
            ))
        })
    }

    /// Types of JSON, by name or by ending, are one event: Aurora's sample sends a type of Kafka's
    /// REST proxy. So is text, and what has no type.
    fn of_type(text: &str) -> Option<Form> {
        let name = text.split(';').next().unwrap_or("").trim();
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines" => return Some(Form::Lines),
            "text/plain" | "text/json" | "application/octet-stream" => return Some(Form::Event),
            _ => {}
        }
        let (kind, subtype) = name.split_once('/')?;
        // vnd.kafka.json.v1+json, cloudevents+json, json
        let json = subtype == "json" || subtype.ends_with("+json");
        // An envelope of CloudEvents or a batch is no event of ours.
        let wrapped = subtype.starts_with("cloudevents");
        (kind == "application" && json && !wrapped).then_some(Form::Event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_says_whether_there_is_one_event_or_many() {
        for (kind, form) in [
            ("application/json", Some(Form::Event)),
            ("Application/JSON; charset=utf-8", Some(Form::Event)),
            ("application/vnd.kafka.json.v1+json", Some(Form::Event)),
            ("text/plain", Some(Form::Event)),
            ("application/x-ndjson", Some(Form::Lines)),
            ("application/jsonl; charset=utf-8", Some(Form::Lines)),
            ("application/x-www-form-urlencoded", None),
            ("multipart/form-data; boundary=x", None),
            ("application/cloudevents+json", None),
            ("application/xml", None),
            ("image/png", None),
            ("json", None),
            ("", None),
        ] {
            assert_eq!(Form::of_type(kind), form, "{kind}");
        }
    }

    #[test]
    fn a_body_that_is_packed_is_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(Form::of(&headers).unwrap(), Form::Event);
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        let status = Form::of(&headers).unwrap_err().status;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
