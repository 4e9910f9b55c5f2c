//! What one attempt sends, and what is made of its answer: the same for senders and for a trial.

pub(crate) mod format;
pub(crate) mod headers;
pub(crate) mod outcome;
pub(crate) mod sign;

use crate::delivery::headers::Headers;
use crate::delivery::outcome::{Outcome, Verdict, classify};
use crate::delivery::sign::Signer;
use crate::http::header_lines::HeaderLines;
use crate::http::transport::{Answer, TransportError, TransportErrorKind};
use crate::shared::event_ids::IdText;
use std::borrow::Cow;
use webhook_config::{Format, Target};
use webhook_queue::EventId;

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

/// Makes the request of an attempt: writes its headers to `fields`, and returns its body.
///
/// # Errors
/// It cannot be signed.
pub(crate) fn prepare<'a>(
    target: &Target,
    headers: &Headers,
    signer: Option<&Signer>,
    event: &'a [u8],
    occasion: &Occasion,
    fields: &mut HeaderLines,
) -> Result<Cow<'a, [u8]>, TransportError> {
    let id = IdText::new(occasion.id);
    headers.write(occasion, &id, fields);
    let id = id.as_str();
    let accepted_at = occasion.accepted_at;
    let encoded = format::encode(target.format(), event, id, accepted_at, fields);
    if let Some(signer) = signer {
        let seconds = i64::try_from(occasion.started_at / 1000).unwrap_or(i64::MAX);
        signer
            .sign(id, seconds, &encoded.body, fields)
            .map_err(|message| TransportError {
                kind: TransportErrorKind::Io,
                message,
            })?;
    }
    Ok(encoded.body)
}

/// What an attempt came to, and what happened, for people; that is empty on success.
pub(crate) fn assess(
    format: Format,
    result: &Result<Answer, TransportError>,
) -> (Outcome, Verdict, String) {
    let (outcome, verdict) = classify(result);
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
