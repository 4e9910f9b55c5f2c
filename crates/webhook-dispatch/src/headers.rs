//! The headers of an attempt: those that are the same for each are prepared once.

use crate::format;
use crate::naming::IdText;
use crate::prepare::Occasion;
use crate::sign::{WEBHOOK_ATTEMPT, WEBHOOK_ID};
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::io::Write as _;
use webhook_config::Target;

/// When the request was made, in epoch milliseconds: the name that Aurora gave it from 0.16 on.
const TIMESTAMP: HeaderName = HeaderName::from_static("timestamp");
/// What is told of us to receivers whose target sets no `User-Agent`.
pub(crate) const OUR_NAME: &str = concat!("webhookd/", env!("CARGO_PKG_VERSION"));

/// Makes the headers of a target's attempts.
#[derive(Debug)]
pub(crate) struct Headers {
    /// All names that each attempt has, with the values that do not change: a copy has the size
    /// that it needs from the start.
    prepared: HeaderMap,
    /// Whether the file names a `Timestamp` of its own.
    stamped: bool,
}

impl Headers {
    pub(crate) fn new(target: &Target) -> Headers {
        let mut prepared = target.headers().clone();
        let stamped = prepared.contains_key(TIMESTAMP);
        format::prepare(target.format(), &mut prepared);
        let empty = HeaderValue::from_static("");
        if !stamped {
            prepared.insert(TIMESTAMP, empty.clone());
        }
        prepared.insert(WEBHOOK_ID, empty.clone());
        prepared.insert(WEBHOOK_ATTEMPT, empty);
        prepared
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(OUR_NAME));
        prepared
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        Headers { prepared, stamped }
    }

    /// The headers of an attempt that is made now, but for those that come with its body.
    pub(crate) fn of(&self, occasion: &Occasion, id: &IdText) -> HeaderMap {
        let mut headers = self.prepared.clone();
        let stamp = decimal(occasion.started_at);
        if self.stamped {
            // Aurora adds its own after the file's, even if the file names it too.
            headers.append(TIMESTAMP, stamp);
        } else {
            headers.insert(TIMESTAMP, stamp);
        }
        let id = HeaderValue::from_str(id.as_str())
            .expect("an id is letters, digits and one underscore");
        headers.insert(WEBHOOK_ID, id);
        let attempt = match occasion.attempt {
            1 => HeaderValue::from_static("1"),
            later => decimal(u64::from(later)),
        };
        headers.insert(WEBHOOK_ATTEMPT, attempt);
        headers
    }
}

/// A number as a header's value, in one allocation.
fn decimal(number: u64) -> HeaderValue {
    let mut digits = [0; 20];
    let mut rest = &mut digits[..];
    write!(rest, "{number}").expect("a u64 has at most 20 digits");
    let unused = rest.len();
    HeaderValue::from_bytes(&digits[..digits.len() - unused]).expect("digits are text")
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
        let mut lines: Vec<String> = headers
            .of(&occasion, &id)
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
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
