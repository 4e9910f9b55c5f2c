//! The headers of an attempt: those that are the same for each are written once.

use crate::delivery::Occasion;
use crate::delivery::format;
use crate::delivery::sign::{WEBHOOK_ATTEMPT, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::http::header_lines::HeaderLines;
use crate::shared::event_ids::IdText;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderName, HeaderValue};
use webhook_config::Target;

/// When the request was made, in epoch milliseconds: the name that Aurora gave it from 0.16 on.
const TIMESTAMP: HeaderName = HeaderName::from_static("timestamp");
/// What is told of us to receivers whose target sets no `User-Agent`.
pub(crate) const OUR_NAME: &str = concat!("webhookd/", env!("CARGO_PKG_VERSION"));

/// Makes the headers of a target's attempts.
#[derive(Debug)]
pub(crate) struct Headers {
    /// What does not change, written once.
    prepared: HeaderLines,
}

impl Headers {
    pub(crate) fn new(target: &Target) -> Headers {
        let mut headers = target.headers().clone();
        // What is said of each event is ours to say. But Aurora's own `Timestamp` comes after the
        // file's, even if the file names it too.
        for name in [WEBHOOK_ID, WEBHOOK_ATTEMPT] {
            headers.remove(name);
        }
        if target.signing().is_some() {
            headers.remove(WEBHOOK_TIMESTAMP);
            headers.remove(WEBHOOK_SIGNATURE);
        }
        format::prepare(target.format(), &mut headers);
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(OUR_NAME));
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        Headers {
            prepared: HeaderLines::from(&headers),
        }
    }

    /// Writes the headers of an attempt that is made now, but for those that come with its body.
    pub(crate) fn write(&self, occasion: &Occasion, id: &IdText, fields: &mut HeaderLines) {
        fields.copy(&self.prepared);
        fields.push_number(&TIMESTAMP, occasion.started_at);
        fields.push_text(&WEBHOOK_ID, id.as_str());
        fields.push_number(&WEBHOOK_ATTEMPT, u64::from(occasion.attempt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use webhook_config::TargetUrl;
    use webhook_queue::EventId;

    fn headers(names: &[(&str, &str)], attempt: u32) -> Vec<String> {
        let mut target = Target::builder(TargetUrl::parse("http://localhost/").unwrap());
        for (name, value) in names {
            target = target.header(name, value);
        }
        let occasion = Occasion {
            id: EventId([0xab; 16]),
            attempt,
            accepted_at: 1,
            started_at: 1_699_900_000_000,
        };
        let headers = Headers::new(&target.build().unwrap());
        let id = IdText::new(occasion.id);
        let mut fields = HeaderLines::new();
        headers.write(&occasion, &id, &mut fields);
        let mut lines: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", std::str::from_utf8(value).unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn each_attempt_has_its_time_its_id_and_its_number() {
        let name = format!("user-agent: {OUR_NAME}");
        let id = format!("webhook-id: evt_{}", "ab".repeat(16));
        let expected = [
            "accept: */*",
            "content-type: application/json",
            "timestamp: 1699900000000",
            &name,
            "webhook-attempt: 1",
            &id,
        ];
        assert_eq!(headers(&[], 1), expected);
        let tenth = headers(&[], 10);
        assert!(tenth.contains(&"webhook-attempt: 10".to_owned()));
    }

    #[test]
    fn what_the_file_names_is_kept() {
        let file = [
            ("Content-Type", "text/x"),
            ("User-Agent", "us"),
            ("Accept", "nothing"),
            ("Timestamp", "noon"),
            ("Webhook-Id", "mine"),
        ];
        let lines = headers(&file, 1);
        for line in [
            "content-type: text/x",
            "user-agent: us",
            "accept: nothing",
            "timestamp: noon",
            "timestamp: 1699900000000",
        ] {
            assert!(lines.contains(&line.to_owned()), "{line} in {lines:?}");
        }
        let ids = lines.iter().filter(|line| line.starts_with("webhook-id"));
        assert_eq!(ids.count(), 1, "an id is ours alone");
        assert_eq!(lines.len(), 7);
    }
}
