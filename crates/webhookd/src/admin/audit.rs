//! Logs each request that may change something: who sent it, from where, what it asks for, and the
//! result.

use crate::http::Peer;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;

/// Characters of a path in the log, at most.
const LONGEST_PATH: usize = 256;

/// What a request has changed, in words: a handler adds it to the response.
#[derive(Clone, Debug)]
pub(super) struct Effect(pub(super) String);

/// A request that may change something.
#[derive(Debug)]
pub(super) struct Action {
    peer: Peer,
    method: Method,
    path: String,
}

/// An action under way. It is logged also if the client goes away before the response, since what
/// it asked for is done all the same.
#[derive(Debug)]
pub(super) struct Pending {
    action: Action,
    credential: &'static str,
    is_logged: bool,
}

impl Action {
    pub(super) fn of(request: &Request) -> Action {
        let peer = request.extensions().get::<Peer>().copied();
        Action {
            peer: peer.unwrap_or(Peer::Unknown),
            method: request.method().clone(),
            path: request.uri().path().chars().take(LONGEST_PATH).collect(),
        }
    }

    /// `credential` is what lets the request in.
    pub(super) fn begin(self, credential: &'static str) -> Pending {
        Pending {
            action: self,
            credential,
            is_logged: false,
        }
    }

    /// Logs that it was rejected for its origin or its token.
    pub(super) fn log_rejection(&self, status: StatusCode) {
        let (peer, method, path) = (self.peer.to_string(), &self.method, &self.path);
        tracing::warn!(
            operator = peer,
            method = method.as_str(),
            path,
            status = status.as_u16(),
            "{method} {path} from {peer} was rejected: {status}"
        );
    }
}

impl Pending {
    /// Logs the result.
    pub(super) fn log(mut self, response: &Response) {
        let effect = response.extensions().get::<Effect>();
        let effect = effect.map(|effect| effect.0.as_str());
        self.write(Some(response.status()), effect);
    }

    fn write(&mut self, status: Option<StatusCode>, effect: Option<&str>) {
        self.is_logged = true;
        let Action { peer, method, path } = &self.action;
        let operator = peer.to_string();
        let credential = self.credential;
        let mut result = match status {
            Some(status) => status.to_string(),
            None => "the client went away before the response".to_owned(),
        };
        if let Some(effect) = effect {
            result.push_str(", ");
            result.push_str(effect);
        }
        tracing::info!(
            operator,
            credential,
            method = method.as_str(),
            path,
            status = status.map(|status| status.as_u16()),
            effect,
            "{method} {path} by an operator ({operator}, {credential}): {result}"
        );
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_logged {
            self.write(None, None);
        }
    }
}
