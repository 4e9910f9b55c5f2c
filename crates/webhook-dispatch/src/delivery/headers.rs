//! The headers of an attempt. Those that are the same for each attempt are written once.

use crate::delivery::format;
use crate::delivery::sign::{WEBHOOK_ATTEMPT, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::http::header_lines::HeaderLines;
use crate::shared::DEFAULT_USER_AGENT;
use crate::shared::event_ids::WebhookIdText;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderName, HeaderValue};
use webhook_config::Target;
use webhook_queue::EventId;

/// When the request was made, in epoch milliseconds: the name that Aurora gave it from 0.16 on.
const TIMESTAMP: HeaderName = HeaderName::from_static("timestamp");

/// Which attempt it is, of which event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptInfo {
    pub(crate) id: EventId,
    /// From 1.
    pub(crate) attempt: u32,
    /// When the event was accepted, epoch milliseconds.
    pub(crate) accepted_at: u64,
    /// When the attempt began, epoch milliseconds.
    pub(crate) started_at: u64,
}

/// Makes the headers of a target's attempts.
#[derive(Debug)]
pub(crate) struct Headers {
    /// What does not change, written once.
    prepared: HeaderLines,
}

impl Headers {
    pub(crate) fn new(target: &Target) -> Headers {
        let mut headers = target.headers().clone();
        // The file cannot set what differs for each event. Aurora's own `Timestamp` is sent after
        // the file's, as Aurora did.
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
            .or_insert(HeaderValue::from_static(DEFAULT_USER_AGENT));
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        Headers {
            prepared: HeaderLines::from(&headers),
        }
    }

    /// Writes the headers of an attempt that is made now, but for those that come with its body.
    pub(crate) fn write(&self, info: &AttemptInfo, id: &WebhookIdText, lines: &mut HeaderLines) {
        lines.copy(&self.prepared);
        lines.push_number(&TIMESTAMP, info.started_at);
        lines.push_text(&WEBHOOK_ID, id.as_str());
        lines.push_number(&WEBHOOK_ATTEMPT, u64::from(info.attempt));
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
        let info = AttemptInfo {
            id: EventId([0xab; 16]),
            attempt,
            accepted_at: 1,
            started_at: 1_699_900_000_000,
        };
        let prepared = Headers::new(&target.build().unwrap());
        let id = WebhookIdText::new(info.id);
        let mut written = HeaderLines::new();
        prepared.write(&info, &id, &mut written);
        let mut lines: Vec<String> = written
            .iter()
            .map(|(name, value)| format!("{name}: {}", std::str::from_utf8(value).unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn each_attempt_has_its_time_its_id_and_its_number() {
        let name = format!("user-agent: {DEFAULT_USER_AGENT}");
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
