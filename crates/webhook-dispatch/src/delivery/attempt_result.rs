//! The classified result of an attempt.

use crate::delivery::excerpt::{excerpt, legible};
use crate::delivery::format;
use crate::delivery::outcome::{Verdict, classify};
use crate::http::transport::{Answer, TransportError, TransportErrorKind};
use crate::shared::Outcome;
use webhook_config::{Format, SecretMask};

/// The result of one attempt.
#[derive(Debug)]
pub(crate) struct AttemptResult {
    pub(crate) outcome: Outcome,
    pub(crate) verdict: Verdict,
    /// What happened, as text; empty on success.
    pub(crate) detail: String,
    pub(crate) status: Option<u16>,
    /// The value of `Retry-After` in a failure's answer, or in that of the token endpoint.
    pub(crate) retry_after: Option<Vec<u8>>,
    /// The first KiB of a failure's response.
    pub(crate) response: String,
    /// Whether each event of the request was taken, if a 2xx answer says that some were and others failed;
    /// else empty.
    pub(crate) taken: Vec<bool>,
    /// Whether the attempt was aborted because the transport was stopped.
    pub(crate) stopped: bool,
    /// Whether a kept connection was closed before any byte of an answer.
    pub(crate) stale: bool,
}

impl AttemptResult {
    /// Classifies an answer to a request of so many events, by the target's format, or a transport error.
    /// `mask` hides the target's secrets in its texts.
    pub(crate) fn of(
        format: Format,
        mask: &SecretMask,
        events: usize,
        result: &Result<Answer, TransportError>,
    ) -> AttemptResult {
        let (mut outcome, mut verdict) = classify(result);
        let mut taken = Vec::new();
        let detail = match result {
            Err(error) => error.message.clone(),
            Ok(answer) if verdict == Verdict::Delivered => {
                match format::check_response(format, answer, events) {
                    Ok(()) => String::new(),
                    Err(failed) => {
                        (outcome, verdict) = (Outcome::RecordError, Verdict::Failed);
                        taken = failed.taken;
                        failed.detail
                    }
                }
            }
            Ok(answer) => format!("the receiver answered {}", answer.status),
        };
        let answer = result.as_ref().ok();
        let failure = answer.filter(|_| verdict != Verdict::Delivered);
        let retry_after = match result {
            Ok(_) => failure.and_then(|answer| answer.retry_after.clone()),
            Err(error) => error.retry_after.clone(),
        };
        let is = |kind| result.as_ref().is_err_and(|error| error.kind == kind);
        AttemptResult {
            outcome,
            verdict,
            detail: legible(&mask.apply(&detail)),
            status: answer.map(|answer| answer.status),
            retry_after,
            response: failure.map_or_else(String::new, |answer| excerpt(mask, &answer.body)),
            taken,
            stopped: is(TransportErrorKind::Stopped),
            stale: is(TransportErrorKind::Stale),
        }
    }

    /// The result of an attempt during which the sender panicked.
    pub(crate) fn panicked(text: &str) -> AttemptResult {
        AttemptResult {
            outcome: Outcome::Panic,
            verdict: Verdict::Failed,
            detail: legible(&format!("the sender panicked: {text}")),
            status: None,
            retry_after: None,
            response: String::new(),
            taken: Vec::new(),
            stopped: false,
            stale: false,
        }
    }
}
