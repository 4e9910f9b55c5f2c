//! What a request is answered: statuses, headers and bodies.

use super::budget::Held;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;
use webhook_dispatch::{Receipt, Refusal, WEBHOOK_ID, webhook_id};
use webhook_model::ReadErrorKind;

pub(super) type Answer = Response<Full<Bytes>>;

/// When to try again what there was no room for: soon, since room comes with each delivery.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Why something was not accepted.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) status: StatusCode,
    pub(super) error: String,
    /// The byte of the event at which it shows, from 0.
    pub(super) byte: Option<usize>,
}

/// An accepted event, as JSON.
#[derive(Debug, Serialize)]
struct Accepted {
    id: String,
    /// How many targets it is for.
    targets: usize,
    /// How many of them are reliable.
    reliable: usize,
    /// Whether it was accepted before, under the same key.
    #[serde(skip_serializing_if = "is_false")]
    duplicate: bool,
}

#[derive(Debug, Serialize)]
struct Error<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    byte: Option<usize>,
    /// Whether the same may be sent again, and be accepted then.
    retry: bool,
}

impl Complaint {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Complaint {
        Complaint {
            status,
            error: error.into(),
            byte: None,
        }
    }

    /// There is no room at the moment.
    pub(super) fn busy() -> Complaint {
        Complaint::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "there was no room in time; nothing of it was accepted; send it again later",
        )
    }

    pub(super) fn of(refusal: &Refusal) -> Complaint {
        let status = match refusal {
            Refusal::NotAnEvent(error) => match error.kind() {
                ReadErrorKind::Type | ReadErrorKind::Contradiction => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
                _ => StatusCode::BAD_REQUEST,
            },
            Refusal::NoTask => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Unconfirmed => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let byte = match refusal {
            Refusal::NotAnEvent(error) => Some(error.offset()),
            _ => None,
        };
        Complaint {
            status,
            error: crate::console::chain(refusal),
            byte,
        }
    }

    /// The disk did not answer in time.
    pub(super) fn unconfirmed() -> Complaint {
        Complaint::new(
            StatusCode::GATEWAY_TIMEOUT,
            "the queue did not confirm it in time: it may be accepted yet; send it again, with \
             the same Idempotency-Key lest it be delivered twice",
        )
    }

    /// Whether the same may be accepted later.
    pub(super) fn may_retry(&self) -> bool {
        is_passing(self.status)
    }

    pub(super) fn answer(&self) -> Answer {
        let error = Error {
            error: &self.error,
            byte: self.byte,
            retry: self.may_retry(),
        };
        json(self.status, &error)
    }
}

/// Whether what is answered so may be accepted when it is sent again.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

/// 200, not 202: Aurora's own counters take every other status for a failure.
pub(super) fn accepted(receipt: &Receipt) -> Answer {
    let id = webhook_id(receipt.id);
    let header = HeaderValue::try_from(&id).expect("it is letters and digits");
    let accepted = Accepted {
        id,
        targets: receipt.targets,
        reliable: receipt.reliable,
        duplicate: receipt.duplicate,
    };
    let mut answer = json(StatusCode::OK, &accepted);
    answer.headers_mut().insert(WEBHOOK_ID, header);
    answer
}

/// A text, and the memory that is taken for it.
struct HeldText {
    text: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for HeldText {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// Only POST is served.
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

/// The peer has to show who it is.
pub(super) fn unauthorized(error: &str, challenge: &'static str) -> Answer {
    let mut answer = Complaint::new(StatusCode::UNAUTHORIZED, error).answer();
    answer
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    answer
}

/// Ends the connection after this answer.
pub(super) fn closing(mut answer: Answer) -> Answer {
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// An answer with a JSON document and a line feed, which terminals like.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    json_held(status, body, Held::default())
}

/// As [`json`], of what memory is held for: until the peer has taken it, and not only until it is
/// made, since a peer need not read.
pub(super) fn json_held(status: StatusCode, body: &impl Serialize, held: Held) -> Answer {
    let mut text = serde_json::to_vec(body).expect("it has no map with odd keys");
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

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_an_answer_is_held_until_it_is_written() {
        let budget = Budget::new(10);
        let mut held = Held::default();
        budget.add(&mut held, 10).await.unwrap();
        let answer = json_held(StatusCode::OK, &[1, 2, 3], held);
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "[1,2,3]\n");
        let mut other = Held::default();
        assert!(budget.add(&mut other, 1).await.is_err());
        drop(text);
        assert!(budget.add(&mut other, 10).await.is_ok());
    }
}
