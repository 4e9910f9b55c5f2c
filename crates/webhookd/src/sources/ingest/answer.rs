//! Responses: statuses, headers and bodies.

use super::budget::Held;
use crate::sources::documents::{Kind, NotUnderstood};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use webhook_dispatch::{Receipt, Refusal, WEBHOOK_ID};
use webhook_queue::QueueError;

pub(super) type Answer = Response<Full<Bytes>>;

/// The encoding from which the body was transcoded to UTF-8.
const TRANSCODED_FROM: HeaderName = HeaderName::from_static("webhookd-transcoded-from");

/// When to retry after a lack of room: soon, since each delivery makes room.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Characters of an error in the log, and in the response about a line, at most.
const MOST_CHARS: usize = 300;

/// Why an event or a request was not accepted.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) status: StatusCode,
    pub(super) error: String,
    /// The byte of the event where the error is, from 0.
    pub(super) byte: Option<usize>,
    /// The event of a document that the error is about, from 0.
    pub(super) element: Option<usize>,
}

/// The response for an accepted event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted<'a> {
    id: String,
    /// Number of targets that it matches.
    targets: usize,
    /// Number of those that are reliable.
    reliable: usize,
    /// The other reliable ones: they are over their quotas and will not get it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    over_quota: Vec<&'a str>,
    /// Whether it was accepted before, with the same key.
    #[serde(skip_serializing_if = "is_false")]
    duplicate: bool,
    /// Whether its input drops such events.
    #[serde(skip_serializing_if = "is_false")]
    ignored: bool,
}

/// The response for what was accepted though it was not understood.
#[derive(Debug, Serialize)]
struct Kept<'a> {
    unknown: bool,
    error: &'a str,
}

#[derive(Debug, Serialize)]
struct Error<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    element: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    byte: Option<usize>,
    /// Whether it may be accepted when it is sent again.
    retry: bool,
}

impl Complaint {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Complaint {
        Complaint {
            status,
            error: error.into(),
            byte: None,
            element: None,
        }
    }

    /// Names an event of a document in it.
    pub(super) fn of_element(mut self, index: usize) -> Complaint {
        self.error = format!("element {index} of the document: {}", self.error);
        self.element = Some(index);
        self
    }

    /// There is no room now.
    pub(super) fn busy() -> Complaint {
        Complaint::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "there was no room in time, and it was not accepted; send it again later",
        )
    }

    pub(super) fn of(refusal: &Refusal) -> Complaint {
        if let Some(why) = NotUnderstood::of(refusal) {
            return Complaint::from(why);
        }
        let status = match refusal {
            Refusal::KeyReused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            // It would not fit into an empty queue either.
            Refusal::Queue(error) if matches!(**error, QueueError::TooLarge { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Refusal::Unconfirmed => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Complaint::new(status, crate::console::chain(refusal))
    }

    /// The commit did not end in time.
    pub(super) fn unconfirmed() -> Complaint {
        Complaint::new(
            StatusCode::GATEWAY_TIMEOUT,
            "the queue did not confirm it in time, and may still accept it; send it again with the \
             same Idempotency-Key, so that it is not delivered twice",
        )
    }

    /// Whether it may be accepted later.
    pub(super) fn may_retry(&self) -> bool {
        is_passing(self.status)
    }

    pub(super) fn answer(&self) -> Answer {
        let error = Error {
            error: &self.error,
            element: self.element,
            byte: self.byte,
            retry: self.may_retry(),
        };
        json(self.status, &error)
    }
}

impl From<NotUnderstood> for Complaint {
    fn from(why: NotUnderstood) -> Complaint {
        let status = match why.kind {
            Kind::Malformed => StatusCode::BAD_REQUEST,
            Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Complaint {
            byte: why.byte,
            ..Complaint::new(status, why.why)
        }
    }
}

/// The beginning of an error, which may quote what the client sent.
pub(super) fn beginning(text: &str) -> &str {
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// Whether a request with this response may be accepted when it is sent again.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

pub(super) fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The targets that will not get an accepted event.
pub(super) fn over_quota(receipt: &Receipt) -> Vec<&str> {
    receipt.over_quota.iter().map(|name| &**name).collect()
}

/// The status is 200 and not 202, since Aurora counts every other status as a failure.
pub(super) fn settled(settled: &Settled) -> Answer {
    let receipt = match settled {
        Settled::Accepted(receipt) => receipt,
        Settled::Kept(error) => return kept(error),
    };
    let id = receipt.id.to_string();
    let header = HeaderValue::try_from(&id).expect("it is letters and digits");
    let accepted = Accepted {
        id,
        targets: receipt.targets,
        reliable: receipt.reliable,
        over_quota: over_quota(receipt),
        duplicate: receipt.duplicate,
        ignored: receipt.ignored || receipt.unchanged,
    };
    let mut answer = json(StatusCode::OK, &accepted);
    answer.headers_mut().insert(WEBHOOK_ID, header);
    answer
}

/// The response for what was accepted though it was not understood.
fn kept(error: &str) -> Answer {
    let kept = Kept {
        unknown: true,
        error: beginning(error),
    };
    json(StatusCode::OK, &kept)
}

/// What became of an event that need not be sent again.
#[derive(Debug)]
pub(super) enum Settled {
    Accepted(Receipt),
    /// It was not understood, for this reason, and is kept as a reject.
    Kept(String),
}

/// A text, and the memory held for it.
struct HeldText {
    text: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for HeldText {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// Says that the body was transcoded to UTF-8, if it was.
pub(super) fn transcoded(mut answer: Answer, transcoded: bool) -> Answer {
    if transcoded {
        let from = HeaderValue::from_static("ISO-8859-1");
        answer.headers_mut().insert(TRANSCODED_FROM, from);
    }
    answer
}

/// The response to other methods than POST.
pub(super) fn method_not_allowed() -> Answer {
    let complaint = Complaint::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "events are sent by POST, as one JSON document or as lines of application/x-ndjson",
    );
    let mut answer = complaint.answer();
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("POST"));
    answer
}

/// The response to a request that is not authenticated.
pub(super) fn unauthorized(error: &str, challenge: &'static str) -> Answer {
    let mut answer = Complaint::new(StatusCode::UNAUTHORIZED, error).answer();
    answer
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    answer
}

/// Closes the connection after this response.
pub(super) fn closing(mut answer: Answer) -> Answer {
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// A response with a JSON document and a line feed.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    json_held(status, body, Held::default())
}

/// As [`json`], with the memory held for the document. It is released when the peer has read the
/// response, which may take long.
pub(super) fn json_held(status: StatusCode, body: &impl Serialize, held: Held) -> Answer {
    let mut text = serde_json::to_vec(body).expect("it has no maps, so it can be written as JSON");
    text.push(b'\n');
    let text = Bytes::from_owner(HeldText { text, _held: held });
    let mut answer = Response::new(Full::new(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if is_passing(status) {
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;
    use http_body_util::BodyExt;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_a_response_is_held_until_it_is_written() {
        let budget = Budget::new(10);
        let mut held = Held::default();
        let short = Duration::from_secs(2);
        budget.add(&mut held, 10, short).await.unwrap();
        let answer = json_held(StatusCode::OK, &[1, 2, 3], held);
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "[1,2,3]\n");
        let mut other = Held::default();
        assert!(budget.add(&mut other, 1, short).await.is_err());
        drop(text);
        assert!(budget.add(&mut other, 10, short).await.is_ok());
    }
}
