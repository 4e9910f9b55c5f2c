//! The requests to one target: their common parts are prepared once.

use crate::delivery::event_parts::EventParts;
use crate::delivery::format;
use crate::delivery::headers::{AttemptInfo, Headers};
use crate::delivery::sign::Signer;
use crate::http::header_lines::HeaderLines;
use crate::http::transport::{TransportError, TransportErrorKind};
use crate::shared::event_ids::WebhookIdText;
use std::borrow::Cow;
use std::sync::Arc;
use webhook_config::{SecretMask, Target};

/// Makes the requests of one target's attempts.
#[derive(Debug)]
pub(crate) struct RequestTemplate {
    pub(crate) target: Arc<Target>,
    headers: Headers,
    signer: Option<Signer>,
    /// Masks the secrets of the requests in what receivers answer.
    pub(crate) mask: SecretMask,
}

impl RequestTemplate {
    /// # Errors
    /// A signing secret cannot be used.
    pub(crate) fn new(target: Arc<Target>) -> Result<RequestTemplate, String> {
        Ok(RequestTemplate {
            headers: Headers::new(&target),
            signer: target.signing().map(Signer::new).transpose()?,
            mask: SecretMask::of(&target),
            target,
        })
    }

    /// Makes the request of an attempt: writes its headers to `lines`, and returns its body.
    ///
    /// # Errors
    /// No body can be made of the event, or it cannot be signed.
    pub(crate) fn prepare<'a>(
        &self,
        event: EventParts<'a>,
        info: &AttemptInfo,
        lines: &mut HeaderLines,
    ) -> Result<Cow<'a, [u8]>, TransportError> {
        let id = WebhookIdText::new(info.id);
        self.headers.write(info, &id, lines);
        let id = id.as_str();
        let unsendable =
            |message: String| TransportError::new(TransportErrorKind::Unsendable, message);
        let body = format::encode(&self.target, event, id, info.accepted_at, lines)
            .map_err(|error| unsendable(error.to_string()))?;
        if let Some(signer) = &self.signer {
            let seconds = i64::try_from(info.started_at / 1000).unwrap_or(i64::MAX);
            signer.sign(id, seconds, &body, lines).map_err(unsendable)?;
        }
        Ok(body)
    }
}
