//! What one attempt sends, and what is made of its answer: the same for senders and for a trial.

use crate::format;
use crate::naming::webhook_id;
use crate::outcome::{Outcome, Verdict, judge};
use crate::sign::{Signer, WEBHOOK_ATTEMPT, WEBHOOK_ID};
use crate::transport::{Answer, TransportError, TransportErrorKind};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use webhook_config::{Format, Target};
use webhook_queue::EventId;

/// When the request was made, in epoch milliseconds: the name that Aurora gave it from 0.16 on.
const TIMESTAMP: HeaderName = HeaderName::from_static("timestamp");

/// Which attempt it is, of which event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion {
    pub(crate) id: EventId,
    /// From 1.
    pub(crate) attempt: u32,
    /// When the event was accepted, epoch milliseconds.
    pub(crate) accepted_at: u64,
    /// When the attempt began, epoch milliseconds.
    pub(crate) started_at: u64,
}

/// What is sent.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Cow<'a, [u8]>,
}

/// Makes the request of an attempt.
///
/// # Errors
/// It cannot be signed.
pub(crate) fn prepare<'a>(
    target: &Target,
    signer: Option<&Signer>,
    event: &'a [u8],
    occasion: &Occasion,
) -> Result<Prepared<'a>, TransportError> {
    let mut headers = target.headers().clone();
    // Aurora adds its own after the file's, even if the file names it too.
    headers.append(TIMESTAMP, HeaderValue::from(occasion.started_at));
    let id = webhook_id(occasion.id);
    let value =
        HeaderValue::try_from(id.as_str()).expect("an id is letters, digits and one underscore");
    headers.insert(WEBHOOK_ID, value);
    headers.insert(WEBHOOK_ATTEMPT, HeaderValue::from(occasion.attempt));
    let accepted_at = occasion.accepted_at;
    let encoded = format::encode(target.format(), event, &id, accepted_at, &mut headers);
    if let Some(signer) = signer {
        let seconds = i64::try_from(occasion.started_at / 1000).unwrap_or(i64::MAX);
        signer
            .sign(&id, seconds, &encoded.body, &mut headers)
            .map_err(|message| TransportError {
                kind: TransportErrorKind::Io,
                message,
            })?;
    }
    Ok(Prepared {
        headers,
        body: encoded.body,
    })
}

/// What an attempt came to, and what happened, for people; that is empty on success.
pub(crate) fn assess(
    format: Format,
    result: &Result<Answer, TransportError>,
) -> (Outcome, Verdict, String) {
    let (outcome, verdict) = judge(result);
    match result {
        Err(error) => (outcome, verdict, error.message.clone()),
        Ok(answer) if verdict != Verdict::Delivered => {
            let detail = format!("the receiver answered {}", answer.status);
            (outcome, verdict, detail)
        }
        Ok(answer) => match format::look_inside(format, answer) {
            Ok(()) => (outcome, verdict, String::new()),
            Err(inside) => inside,
        },
    }
}
