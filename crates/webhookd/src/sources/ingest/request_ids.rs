//! The ids that a sender gives its request, so that it may send it twice.

use super::answer::Complaint;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName};
use std::sync::Arc;
use webhook_dispatch::{Submission, WEBHOOK_ID};
use webhook_queue::Sequence;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes of an id, at most.
const LONGEST: usize = 256;

/// The ids of a request.
#[derive(Debug, Default)]
pub(super) struct RequestIds {
    key: Option<String>,
    webhook_id: Option<String>,
    /// The lines of the request: none is accepted after one that is to be sent again.
    sequence: Sequence,
}

impl RequestIds {
    /// # Errors
    /// An id is empty, too long or not ASCII.
    pub(super) fn of(headers: &HeaderMap) -> Result<RequestIds, Complaint> {
        Ok(RequestIds {
            key: id(headers, &IDEMPOTENCY_KEY)?,
            webhook_id: id(headers, &WEBHOOK_ID)?,
            sequence: Sequence::default(),
        })
    }

    /// An event of this request: its only one, or that of a line.
    pub(super) fn submission(&self, event: Arc<[u8]>, line: Option<u64>) -> Submission {
        let of_line = |id: &str| match line {
            None => id.to_owned(),
            Some(line) => format!("{id}#{line}"),
        };
        let mut submission = Submission::new(event).sequence(&self.sequence);
        if let Some(key) = &self.key {
            submission = submission.idempotency_key(of_line(key).into_bytes());
        }
        if let Some(id) = &self.webhook_id {
            submission = submission.webhook_id(&of_line(id));
        }
        submission
    }
}

fn id(headers: &HeaderMap, header: &HeaderName) -> Result<Option<String>, Complaint> {
    let Some(value) = headers.get(header) else {
        return Ok(None);
    };
    let text = value.to_str().map(str::trim).unwrap_or_default();
    if text.is_empty() || text.len() > LONGEST {
        return Err(Complaint::new(
            StatusCode::BAD_REQUEST,
            format!("{header} is 1 to {LONGEST} characters of visible ASCII"),
        ));
    }
    Ok(Some(text.to_owned()))
}
