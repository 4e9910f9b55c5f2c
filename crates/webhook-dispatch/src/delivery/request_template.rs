//! The requests to one target: their common parts are prepared once.

use crate::delivery::access_token::AccessTokens;
use crate::delivery::event_parts::RequestEvent;
use crate::delivery::format;
use crate::delivery::headers::{AttemptInfo, Headers};
use crate::delivery::sign::Signer;
use crate::http::header_lines::HeaderLines;
use crate::http::transport::{TransportError, TransportErrorKind};
use crate::shared::event_ids::{WebhookIdText, batch_id};
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

    /// The access tokens of the target's requests, if it has OAuth 2.0.
    ///
    /// # Errors
    /// The token endpoint's settings cannot be used.
    pub(crate) fn access_tokens(&self) -> Result<Option<AccessTokens>, String> {
        let oauth2 = self.target.oauth2();
        oauth2
            .map(|oauth2| AccessTokens::new(&self.target, oauth2, &self.mask))
            .transpose()
    }

    /// Makes the request of an attempt: writes its headers to `lines`, and returns its body. A format
    /// without [`Format::can_batch`](webhook_config::Format::can_batch) takes one event.
    ///
    /// # Errors
    /// No body can be made of the events, or it cannot be signed.
    pub(crate) fn prepare<'a>(
        &self,
        events: &[RequestEvent<'a>],
        info: &AttemptInfo,
        lines: &mut HeaderLines,
    ) -> Result<Cow<'a, [u8]>, TransportError> {
        let id = match events {
            [event] => WebhookIdText::new(event.id),
            _ => WebhookIdText::of_batch(batch_id(events.iter().map(|event| event.id))),
        };
        self.headers.write(events, info, &id, lines);
        let unsendable = |message| TransportError::new(TransportErrorKind::Unsendable, message);
        let body = format::encode(&self.target, events, lines).map_err(unsendable)?;
        if let Some(signer) = &self.signer {
            let seconds = i64::try_from(info.started_at / 1000).unwrap_or(i64::MAX);
            signer
                .sign(id.as_str(), seconds, &body, lines)
                .map_err(unsendable)?;
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::EventParts;
    use webhook_config::{Format, Signing, SigningSecret, TargetUrl};
    use webhook_queue::EventId;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const INFO: AttemptInfo = AttemptInfo {
        attempt: 1,
        started_at: 1_699_900_000_000,
        span_id: None,
    };

    /// The headers and the body of a request of so many events.
    fn request(format: Format, events: usize) -> (HeaderLines, Vec<u8>) {
        let secret = SigningSecret::parse(SECRET).unwrap();
        let target = Target::builder(TargetUrl::parse("http://localhost/").unwrap())
            .format(format)
            .signing(Some(Signing::new(vec![secret]).unwrap()))
            .build();
        let template = RequestTemplate::new(Arc::new(target.unwrap())).unwrap();
        let events: Vec<_> = (0..events)
            .map(|number| RequestEvent {
                parts: EventParts {
                    body: b"{}",
                    ..EventParts::default()
                },
                trace: None,
                id: EventId((number as u128).to_be_bytes()),
                accepted_at: 1,
            })
            .collect();
        let mut lines = HeaderLines::new();
        let body = template.prepare(&events, &INFO, &mut lines).unwrap();
        (lines, body.into_owned())
    }

    fn text<'a>(lines: &'a HeaderLines, name: &str) -> &'a str {
        std::str::from_utf8(lines.get(name).unwrap()).unwrap()
    }

    #[test]
    fn a_signature_is_over_the_id_of_the_batch_and_the_whole_body() {
        for events in [1, 3] {
            let (lines, body) = request(Format::Ndjson, events);
            let id = text(&lines, "webhook-id");
            assert_eq!(id.starts_with("bat_"), events > 1, "{id}");
            let mut expected = HeaderLines::new();
            let signing = Signing::new(vec![SigningSecret::parse(SECRET).unwrap()]).unwrap();
            let signer = Signer::new(&signing).unwrap();
            signer
                .sign(id, 1_699_900_000, &body, &mut expected)
                .unwrap();
            let signature = text(&lines, "webhook-signature");
            assert_eq!(signature, text(&expected, "webhook-signature"));
        }
    }

    #[test]
    fn the_ids_of_events_are_listed_if_the_body_has_none() {
        let listed = |format, events| -> Vec<Vec<String>> {
            let (lines, _) = request(format, events);
            let lines = lines
                .iter()
                .filter(|(name, _)| *name == "webhook-event-ids");
            let ids = |value| std::str::from_utf8(value).unwrap().split(',');
            lines
                .map(|(_, value)| ids(value).map(str::to_owned).collect())
                .collect()
        };
        for format in [Format::Ndjson, Format::JsonArray] {
            let ids = listed(format, 1000);
            assert_eq!(ids.len(), 10);
            assert!(ids.iter().all(|line| line.len() == 100));
            let expected: Vec<String> = (0..1000).map(|id| format!("evt_{id:032x}")).collect();
            assert_eq!(ids.concat(), expected);
            assert_eq!(listed(format, 2).len(), 1);
            assert_eq!(listed(format, 1), [[format!("evt_{:032x}", 0)]]);
        }
        for format in [Format::KafkaRestV2, Format::CloudEventsBatch] {
            assert!(listed(format, 3).is_empty());
        }
        assert!(listed(Format::Aurora, 1).is_empty());
    }
}
