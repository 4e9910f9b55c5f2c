//! The access tokens of a target with OAuth 2.0 client credentials (RFC 6749, section 4.4).
//!
//! The senders of a target share one token. One of them renews it while the others use the token before it,
//! or wait if that has ended. A token is only ever sent to the target's URL, and the client's secret to the
//! token endpoint: neither transport follows redirects.

#[cfg(test)]
mod tests;

use crate::http::header_lines::HeaderLines;
use crate::http::transport::{Answer, Request, Transport, TransportError, TransportErrorKind};
use crate::shared::{Clock, DEFAULT_USER_AGENT};
use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use webhook_config::{OAuth2, SecretMask, Target};

/// The most bytes of a token endpoint's response: tokens with many claims take a few KiB.
const MAX_RESPONSE_BYTES: u64 = 64 << 10;
/// The most time before its end at which a token is renewed; a tenth of its time if that is less.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a token is used on after a renewal failed before its end.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);
/// The longest time for which a refused token is kept, if the receiver refused others as soon as they came.
const MAX_REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// Makes a transport to a target.
type Connect<'a> = dyn Fn(&Target) -> Result<Box<dyn Transport>, TransportError> + 'a;

/// The access token of a target's senders.
pub(crate) struct AccessTokens {
    /// The token endpoint, reached as the target is.
    endpoint: Target,
    request: HeaderLines,
    body: String,
    mask: SecretMask,
    /// The longest wait for another sender's renewal.
    patience: Duration,
    state: Mutex<State>,
    renewed: Condvar,
}

#[derive(Default)]
struct State {
    token: Option<Arc<AccessToken>>,
    /// When a sender is to renew the token; `None` if its time is not known.
    renew_at: Option<Instant>,
    is_renewing: bool,
    /// Renewals that have ended, and the error of the last one.
    renewals: u64,
    error: Option<TransportError>,
    /// Tokens in a row that were obtained since the receiver refused the one before, and were refused, too.
    futile: u32,
}

/// An access token.
pub(crate) struct AccessToken {
    authorization: HeaderValue,
    /// Masks the target's secrets and this token.
    pub(crate) mask: SecretMask,
    obtained_at: Instant,
    /// `None` if its time is not known.
    ends_at: Option<Instant>,
    /// Whether it was refused in place of another one.
    is_futile: AtomicBool,
}

/// A response of a token endpoint (RFC 6749, sections 5.1 and 5.2).
#[derive(Deserialize)]
struct TokenResponse {
    access_token: Option<String>,
    token_type: Option<String>,
    /// Seconds; some servers write them as a string.
    expires_in: Option<Value>,
    /// Texts, but those of a server that writes something else are no reason to refuse its token.
    error: Option<Value>,
    error_description: Option<Value>,
}

impl AccessTokens {
    /// # Errors
    /// The token endpoint's settings cannot be used.
    pub(crate) fn new(
        target: &Target,
        oauth2: &OAuth2,
        mask: &SecretMask,
    ) -> Result<AccessTokens, String> {
        let endpoint = Target::builder(oauth2.token_url().clone())
            .name(target.name().clone())
            .connect_timeout(target.connect_timeout())
            .response_timeout(target.response_timeout())
            .max_response_bytes(MAX_RESPONSE_BYTES)
            .tls(target.tls().clone())
            .proxy(target.proxy().cloned())
            .build()
            .map_err(|error| error.to_string())?;
        let mut request = HeaderLines::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.push(&CONTENT_TYPE, &form);
        request.push(&ACCEPT, &HeaderValue::from_static("application/json"));
        request.push(&USER_AGENT, &HeaderValue::from_static(DEFAULT_USER_AGENT));
        request.push(&AUTHORIZATION, &oauth2.authorization());
        Ok(AccessTokens {
            patience: target.connect_timeout() + target.response_timeout(),
            endpoint,
            request,
            body: oauth2.token_request(),
            mask: mask.clone(),
            state: Mutex::new(State::default()),
            renewed: Condvar::new(),
        })
    }

    /// Sends a request with an access token. If the receiver answers 401, the request is repeated once with
    /// another token. Returns the token of the answer, too.
    pub(crate) fn send(
        &self,
        transport: &mut dyn Transport,
        lines: &mut HeaderLines,
        body: &[u8],
        clock: &dyn Clock,
        connect: &Connect<'_>,
    ) -> (Result<Answer, TransportError>, Option<Arc<AccessToken>>) {
        let mut token = match self.get(None, clock, connect) {
            Ok(token) => token,
            Err(error) => return (Err(error), None),
        };
        let mut result = token.send(transport, lines, body);
        if is_refused(&result)
            && let Ok(other) = self.get(Some(&token), clock, connect)
            && !Arc::ptr_eq(&other, &token)
        {
            token = other;
            result = token.send(transport, lines, body);
            self.repeated(&token, &result);
        }
        (result, Some(token))
    }

    /// Notes the result of a request that was repeated with another token. If that is refused, too, the
    /// reason may be the request: other requests are accepted with both.
    fn repeated(&self, token: &AccessToken, result: &Result<Answer, TransportError>) {
        if is_refused(result) {
            if !token.is_futile.swap(true, Ordering::Relaxed) {
                let mut state = self.state();
                state.futile = state.futile.saturating_add(1);
            }
        } else if result.is_ok() {
            self.state().futile = 0;
        }
    }

    /// The token, or another one than that which the receiver refused.
    fn get(
        &self,
        refused: Option<&Arc<AccessToken>>,
        clock: &dyn Clock,
        connect: &Connect<'_>,
    ) -> Result<Arc<AccessToken>, TransportError> {
        let mut state = self.state();
        if let Some(token) = &state.token {
            let now = clock.now();
            let is_refused = refused.is_some_and(|refused| Arc::ptr_eq(refused, token));
            let is_due = match is_refused {
                true => now >= token.obtained_at + state.refused_pause(),
                false => state.renew_at.is_some_and(|at| now >= at) && !state.is_renewing,
            };
            if !is_due && !token.has_ended(now) {
                return Ok(Arc::clone(token));
            }
        }
        if state.is_renewing {
            return self.wait(state);
        }
        state.is_renewing = true;
        drop(state);
        // Ends the renewal also after a panic.
        let mut renewal = Renewal {
            tokens: self,
            result: Err(TransportError::new(
                TransportErrorKind::Token,
                self.explain("the sender panicked"),
            )),
            now: clock.now(),
        };
        renewal.result = self.request(clock, connect);
        drop(renewal);
        let state = self.state();
        state.result(clock.now())
    }

    /// Waits for the renewal under way.
    fn wait(&self, state: MutexGuard<'_, State>) -> Result<Arc<AccessToken>, TransportError> {
        let before = state.renewals;
        let waited = self
            .renewed
            .wait_timeout_while(state, self.patience, |state| state.renewals == before);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        match (&state.token, &state.error) {
            _ if waited.timed_out() => {
                let why = self.explain("another sender waits for it for too long");
                Err(TransportError::new(TransportErrorKind::Token, why))
            }
            (Some(token), None) => Ok(Arc::clone(token)),
            (_, Some(error)) => Err(error.clone()),
            (None, None) => Err(TransportError::stopped()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, why: &str) -> String {
        let url = self.endpoint.url();
        format!("no access token from the token endpoint {url}: {why}")
    }

    /// Requests a token.
    fn request(
        &self,
        clock: &dyn Clock,
        connect: &Connect<'_>,
    ) -> Result<AccessToken, TransportError> {
        let request = Request {
            headers: &self.request,
            body: self.body.as_bytes(),
        };
        // The token's time counts from the request: it may be issued at any moment after it.
        let asked_at = clock.now();
        let answer = connect(&self.endpoint).and_then(|mut transport| transport.send(request));
        let answer = answer.map_err(|error| match error.kind {
            TransportErrorKind::Stopped => error,
            _ => TransportError::new(TransportErrorKind::Token, self.explain(&error.message)),
        })?;
        self.read(&answer, asked_at).map_err(|why| {
            let why = format!("it answered {}{why}", answer.status);
            // As of a receiver, the header of a 2xx answer is ignored.
            let is_success = (200..300).contains(&answer.status);
            TransportError {
                retry_after: answer.retry_after.filter(|_| !is_success),
                ..TransportError::new(TransportErrorKind::Token, self.explain(&why))
            }
        })
    }

    /// # Errors
    /// Why there is no token in the answer, as the end of a sentence. It quotes no token.
    fn read(&self, answer: &Answer, asked_at: Instant) -> Result<AccessToken, String> {
        let response = serde_json::from_slice::<TokenResponse>(&answer.body).ok();
        if answer.status != 200 {
            let error = response.and_then(|it| Some((it.error?, it.error_description)));
            return Err(match error {
                Some((error, Some(more))) => format!(": {}: {}", shown(error), shown(more)),
                Some((error, None)) => format!(": {}", shown(error)),
                None if (300..400).contains(&answer.status) => {
                    ", a redirect, which is not followed".to_owned()
                }
                None => String::new(),
            });
        }
        if !answer.complete {
            return Err(", but the response was cut off or is longer than 64 KiB".to_owned());
        }
        let response = response.ok_or(", but no JSON object with the members of a token")?;
        let token = response.access_token.unwrap_or_default();
        if token.is_empty() {
            return Err(" without an `access_token`".to_owned());
        }
        if !token.bytes().all(|byte| matches!(byte, 0x21..=0x7e)) {
            return Err(" with an `access_token` that no header can carry".to_owned());
        }
        let token_type = response.token_type.as_deref().unwrap_or("Bearer");
        if !token_type.eq_ignore_ascii_case("Bearer") {
            return Err(" with a `token_type` other than Bearer".to_owned());
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| " with an `access_token` that no header can carry")?;
        authorization.set_sensitive(true);
        let seconds = response.expires_in.and_then(|it| match it {
            Value::String(text) => text.parse::<f64>().ok(),
            other => other.as_f64(),
        });
        let lifetime = seconds.and_then(|it| Duration::try_from_secs_f64(it.max(0.0)).ok());
        Ok(AccessToken {
            authorization,
            mask: self.mask.with(&token),
            obtained_at: asked_at,
            // An end that no clock can show is none.
            ends_at: lifetime.and_then(|it| asked_at.checked_add(it)),
            is_futile: AtomicBool::new(false),
        })
    }
}

impl State {
    /// How long a refused token is kept. It may have been revoked, and is renewed at once; a receiver that
    /// refuses the new ones, too, or refuses some events whatever the token, gets others more and more
    /// rarely.
    fn refused_pause(&self) -> Duration {
        let seconds = (1u64 << self.futile.saturating_sub(1).min(6)) - 1;
        Duration::from_secs(seconds).min(MAX_REFUSED_PAUSE)
    }

    /// The result of the renewal that has just ended: the token before it if that has not ended.
    fn result(&self, now: Instant) -> Result<Arc<AccessToken>, TransportError> {
        match (&self.token, &self.error) {
            (Some(token), None) => Ok(Arc::clone(token)),
            (Some(token), Some(_)) if !token.has_ended(now) => Ok(Arc::clone(token)),
            (_, Some(error)) => Err(error.clone()),
            (None, None) => Err(TransportError::stopped()),
        }
    }
}

impl AccessToken {
    fn send(
        &self,
        transport: &mut dyn Transport,
        lines: &mut HeaderLines,
        body: &[u8],
    ) -> Result<Answer, TransportError> {
        lines.remove(&AUTHORIZATION);
        lines.push(&AUTHORIZATION, &self.authorization);
        let headers = &*lines;
        transport.send(Request { headers, body })
    }

    fn has_ended(&self, now: Instant) -> bool {
        self.ends_at.is_some_and(|at| now >= at)
    }
}

/// A member of an error, as text.
fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Whether the receiver refused the token.
fn is_refused(result: &Result<Answer, TransportError>) -> bool {
    result.as_ref().is_ok_and(|answer| answer.status == 401)
}

/// A renewal under way. Its end wakes the senders that wait for it.
struct Renewal<'a> {
    tokens: &'a AccessTokens,
    result: Result<AccessToken, TransportError>,
    now: Instant,
}

impl Drop for Renewal<'_> {
    fn drop(&mut self) {
        let stopped = Err(TransportError::stopped());
        let mut state = self.tokens.state();
        match std::mem::replace(&mut self.result, stopped) {
            Ok(token) => {
                state.renew_at = token.ends_at.map(|at| {
                    let lifetime = at.saturating_duration_since(token.obtained_at);
                    at.checked_sub(MARGIN.min(lifetime / 10)).unwrap_or(at)
                });
                state.token = Some(Arc::new(token));
                state.error = None;
            }
            Err(error) => {
                state.renew_at = Some(self.now + RENEWAL_PAUSE);
                state.error = Some(error);
            }
        }
        state.is_renewing = false;
        state.renewals += 1;
        drop(state);
        self.tokens.renewed.notify_all();
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTokens")
            .field("url", self.endpoint.url())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(***)")
    }
}
