//! A test delivery that bypasses the queue.

use crate::delivery::{
    AttemptInfo, AttemptResult, EventParts, RequestEvent, RequestTemplate, Verdict, masked_body,
};
use crate::http::header_lines::HeaderLines;
use crate::http::transport::{Answer, Connector, Request, TransportError};
use crate::intake::ParsedEvent;
use crate::shared::clock::epoch_ms;
use crate::shared::event_ids::EventIds;
use crate::shared::{Clock, Outcome, SystemClock};
use crate::target::retry;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;
use webhook_config::Target;

/// What is shown instead of an access token.
const HIDDEN_TOKEN: HeaderValue = HeaderValue::from_static("Bearer ***");

/// What was sent, the result, and what a dispatcher would do next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestDelivery {
    /// The event's id, as sent in `webhook-id`.
    pub id: String,
    /// The headers sent, without those that the transport writes: `Host` and `Content-Length`.
    /// Values from the target's configuration are marked sensitive. An access token is masked.
    pub headers: HeaderMap,
    /// The body sent.
    pub body: Vec<u8>,
    /// The same with the secrets of the target's template masked.
    pub masked_body: Vec<u8>,
    /// The answer, or why there is none.
    pub result: Result<Answer, TransportError>,
    /// The class of the result.
    pub outcome: Outcome,
    /// What a dispatcher would do with the event.
    pub verdict: Verdict,
    /// What happened, as text; empty on success.
    pub detail: String,
    /// The wait that `Retry-After` asks for after a failure, within the target's bound.
    pub retry_after: Option<Duration>,
    /// From the start of the attempt, connecting included, until the answer was read or given up.
    pub took: Duration,
}

/// Why no attempt was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestDeliveryError {
    /// The target's settings cannot be used.
    #[error("the settings of target {target} cannot be used: {detail}")]
    Target {
        /// The target's name.
        target: String,
        /// What is wrong.
        detail: String,
    },
    /// No request can be made of the event.
    #[error("no request to target {target} can be made of the event: {detail}")]
    Unsendable {
        /// The target's name.
        target: String,
        /// Why not.
        detail: String,
    },
    /// The system provides no randomness for the event's id.
    #[error("no id can be generated for the event")]
    Id(#[source] std::io::Error),
}

impl TestDeliveryError {
    fn target(target: &Target, detail: String) -> TestDeliveryError {
        TestDeliveryError::Target {
            target: target.name().to_string(),
            detail,
        }
    }
}

/// A request as it would be sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestRequest {
    /// The event's id, as in `webhook-id`.
    pub id: String,
    /// The headers, without those that the transport writes: `Host` and `Content-Length`. Values
    /// from the target's configuration are marked sensitive.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The same with the secrets of the target's template masked.
    pub masked_body: Vec<u8>,
}

/// Makes the request of an event's first attempt at a target, and does not send it. It has no access
/// token: none is requested.
///
/// # Errors
/// The target's settings cannot be used for the event, or there is no randomness.
///
/// ```
/// use webhook_config::{Config, Target, TargetUrl};
/// use webhook_dispatch::{Submission, dry_run, test_request};
///
/// let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?).build()?;
/// let config = Config::builder().target(target).build()?;
/// let event = br#"{"task":{"assignedTask":{"taskId":"hello-0"},"status":"LOST"}}"#;
/// let read = dry_run(&config, &Submission::new(&event[..]))?.event.expect("it is not ignored");
/// let request = test_request(&config.targets()[0], &read)?;
/// assert!(request.headers.contains_key("webhook-id"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn test_request(
    target: &Target,
    event: &ParsedEvent,
) -> Result<TestRequest, TestDeliveryError> {
    let template = RequestTemplate::new(Arc::new(target.clone()))
        .map_err(|detail| TestDeliveryError::target(target, detail))?;
    request(&template, event).map(|(request, _)| request)
}

/// The request of an event's first attempt, and its headers as they are sent.
fn request(
    template: &RequestTemplate,
    event: &ParsedEvent,
) -> Result<(TestRequest, HeaderLines), TestDeliveryError> {
    let target = &*template.target;
    let id = EventIds::new().map_err(TestDeliveryError::Id)?.next();
    let at = epoch_ms(SystemClock.wall());
    let info = AttemptInfo {
        attempt: 1,
        started_at: at,
        span_id: None,
    };
    let mut lines = HeaderLines::new();
    let parts = EventParts {
        body: &event.body,
        key: event.key.as_bytes(),
        attributes: event.stored.as_deref().unwrap_or_default(),
    };
    let sent = RequestEvent {
        parts,
        trace: None,
        id,
        accepted_at: at,
    };
    let body = template
        .prepare(&[sent], &info, &mut lines)
        .map_err(|error| TestDeliveryError::Unsendable {
            target: target.name().to_string(),
            detail: error.message,
        })?
        .into_owned();
    let id = id.to_string();
    let request = TestRequest {
        headers: header_map(&lines, target),
        masked_body: masked_body(target, parts, &id).unwrap_or_else(|| body.clone()),
        body,
        id,
    };
    Ok((request, lines))
}

/// Delivers an event once, on this thread, under the target's settings. Filters, queue, circuit
/// breaker and rate limit are bypassed, and nothing is retried.
///
/// # Errors
/// The target's settings cannot be used, or there is no randomness. Nothing was sent.
pub fn attempt_once(
    target: &Target,
    event: &ParsedEvent,
    connector: &dyn Connector,
) -> Result<TestDelivery, TestDeliveryError> {
    let mut transport = connector
        .transport(target)
        .map_err(|error| TestDeliveryError::target(target, error.message))?;
    let unusable = |detail| TestDeliveryError::target(target, detail);
    let template = RequestTemplate::new(Arc::new(target.clone())).map_err(unusable)?;
    let tokens = template.access_tokens().map_err(unusable)?;
    let (mut request, mut lines) = request(&template, event)?;
    let clock = SystemClock;
    let started = clock.now();
    let (mut result, token) = match tokens {
        Some(tokens) => tokens.send(
            &mut *transport,
            &mut lines,
            &request.body,
            &clock,
            &|target| connector.transport(target),
        ),
        None => {
            let (headers, body) = (&lines, &*request.body);
            (transport.send(Request { headers, body }), None)
        }
    };
    let took = clock.now().saturating_duration_since(started);
    if let Some(token) = &token {
        // The token lives on, and no option shows it.
        request.headers.insert(AUTHORIZATION, HIDDEN_TOKEN);
        if let Ok(answer) = &mut result {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            answer.body = token.mask.apply(&body).into_owned().into_bytes();
        }
    }
    let mask = token.as_ref().map_or(&template.mask, |token| &token.mask);
    if let Err(error) = &mut result {
        // A token endpoint may quote the client's secret, which no option shows either.
        error.message = mask.apply(&error.message).into_owned();
    }
    let AttemptResult {
        outcome,
        verdict,
        detail,
        retry_after,
        ..
    } = AttemptResult::of(target.format(), mask, 1, &result);
    let retry_after =
        retry_after.and_then(|value| retry::retry_after(&value, clock.wall(), target.retry()));
    Ok(TestDelivery {
        id: request.id,
        headers: request.headers,
        body: request.body,
        masked_body: request.masked_body,
        result,
        outcome,
        verdict,
        detail,
        retry_after,
        took,
    })
}

/// The headers sent, in which values from the target's configuration are marked sensitive.
fn header_map(lines: &HeaderLines, target: &Target) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.iter() {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_bytes(value)) {
            let mut configured = target.headers().get_all(&name).iter();
            let is_configured = configured.any(|configured| *configured == value);
            value.set_sensitive(is_configured);
            headers.append(name, value);
        }
    }
    headers
}
