//! What a body holds, by its headers.

use super::answer::Complaint;
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentKind {
    /// One JSON document.
    Event,
    /// One JSON document per line.
    Lines,
}

impl ContentKind {
    /// What a body of Aurora's events holds, or one of another input, which may be of `any_type`.
    ///
    /// # Errors
    /// Events do not come in bodies of this type.
    pub(super) fn of(headers: &HeaderMap, any_type: bool) -> Result<ContentKind, Complaint> {
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
            return Ok(ContentKind::Event);
        };
        let text = kind.to_str().unwrap_or("");
        let known = ContentKind::of_type(text);
        known
            .or(any_type.then_some(ContentKind::Event))
            .ok_or_else(|| {
                unsupported(format!(
                    "Content-Type {} is not understood; send application/json for one event, \
                 application/x-ndjson for one a line",
                    if text.is_empty() { "unreadable" } else { text }.escape_debug()
                ))
            })
    }

    /// JSON types, by name or suffix, are one event: Aurora's sample sends a type of Kafka's REST
    /// proxy. So are text, and a body without a type.
    fn of_type(text: &str) -> Option<ContentKind> {
        if text == "application/json" {
            return Some(ContentKind::Event);
        }
        let name = text.split(';').next().unwrap_or("").trim();
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines" => return Some(ContentKind::Lines),
            "text/plain" | "text/json" | "application/octet-stream" => {
                return Some(ContentKind::Event);
            }
            _ => {}
        }
        // An envelope or batch of CloudEvents is not an event.
        let wrapped = name.starts_with("application/cloudevents");
        (is_json(&name) && !wrapped).then_some(ContentKind::Event)
    }
}

/// Whether a type, in lower case and without parameters, is JSON: `application/json`,
/// `application/vnd.kafka.json.v1+json`.
pub(super) fn is_json(media_type: &str) -> bool {
    let subtype = media_type.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_says_whether_there_is_one_event_or_many() {
        for (text, kind) in [
            ("application/json", Some(ContentKind::Event)),
            ("Application/JSON; charset=utf-8", Some(ContentKind::Event)),
            (
                "application/vnd.kafka.json.v1+json",
                Some(ContentKind::Event),
            ),
            ("text/plain", Some(ContentKind::Event)),
            ("application/x-ndjson", Some(ContentKind::Lines)),
            ("application/jsonl; charset=utf-8", Some(ContentKind::Lines)),
            ("application/x-www-form-urlencoded", None),
            ("multipart/form-data; boundary=x", None),
            ("application/cloudevents+json", None),
            ("application/xml", None),
            ("image/png", None),
            ("json", None),
            ("", None),
        ] {
            assert_eq!(ContentKind::of_type(text), kind, "{text}");
        }
    }

    #[test]
    fn an_input_may_take_any_type_but_no_compressed_body() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            ContentKind::of(&headers, false).unwrap(),
            ContentKind::Event
        );
        headers.insert(CONTENT_TYPE, "a/b".parse().unwrap());
        assert!(ContentKind::of(&headers, false).is_err());
        assert_eq!(ContentKind::of(&headers, true).unwrap(), ContentKind::Event);
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        let status = ContentKind::of(&headers, true).unwrap_err().status;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
