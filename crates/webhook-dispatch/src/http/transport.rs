//! The traits by which a request reaches a receiver. They let tests replace HTTP, and keep HTTP
//! libraries out of this crate's interface.

use crate::http::header_lines::HeaderLines;
use std::fmt;
use webhook_config::Target;

/// A request, ready to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Every header except `Host` and `Content-Length`, which the transport writes.
    pub headers: &'a HeaderLines,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// A receiver's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The value of the first `Retry-After`, if there is one.
    pub retry_after: Option<Vec<u8>>,
    /// The body, cut after the target's `maxResponseBytes`.
    pub body: Vec<u8>,
    /// Whether `body` is all of it.
    pub complete: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportError {
    /// The kind of the failure.
    pub kind: TransportErrorKind,
    /// What happened, as text without header values and without the URL's user information.
    pub message: String,
    /// The value of `Retry-After` in an answer of the target's token endpoint, if there is one.
    pub retry_after: Option<Vec<u8>>,
}

/// The kinds of failure that leave an attempt without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The host's name could not be resolved, or the connection, TLS included, was not accepted.
    Connect,
    /// A time-out passed before the connection was made or the answer came.
    Timeout,
    /// The connection broke, or the answer was not HTTP.
    Io,
    /// The receiver closed a kept connection before any byte of an answer: it had probably closed
    /// it before the request came.
    Stale,
    /// The attempt was aborted because the dispatcher stops.
    Stopped,
    /// No request could be made of the event, so none was sent.
    Unsendable,
    /// The target's token endpoint gave no access token, so no request was sent to the receiver.
    Token,
}

impl TransportError {
    /// A failure of this kind, and what happened.
    #[must_use]
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> TransportError {
        TransportError {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    pub(crate) fn stopped() -> TransportError {
        TransportError::new(TransportErrorKind::Stopped, "the dispatcher is stopping")
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TransportError {}

/// Sends to one target. Each sender thread has its own.
pub trait Transport: Send {
    /// Sends one request, and blocks until its answer, an error or a time-out.
    ///
    /// # Errors
    /// There is no answer. The receiver may have received the request nevertheless.
    fn send(&mut self, request: Request<'_>) -> Result<Answer, TransportError>;

    /// A function that makes a `send` under way, and every later one, fail at once with
    /// [`TransportErrorKind::Stopped`].
    fn stopper(&self) -> Stopper;
}

/// Stops a [`Transport`] from another thread.
pub type Stopper = Box<dyn Fn() + Send + Sync>;

/// Makes transports.
pub trait Connector: Send + Sync {
    /// Makes a transport to a target. It need not connect before its first request.
    ///
    /// # Errors
    /// The target's settings cannot be used: a certificate cannot be parsed, say.
    fn transport(&self, target: &Target) -> Result<Box<dyn Transport>, TransportError>;
}
