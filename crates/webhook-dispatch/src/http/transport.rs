//! How a request reaches a receiver: a seam, so that the policy above it can be tested alone and
//! so that no HTTP library shows in this crate's interface.

use crate::http::header_lines::HeaderLines;
use std::fmt;
use webhook_config::Target;

/// One attempt, ready to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Every header, but for `Host` and `Content-Length`, which the transport writes.
    pub headers: &'a HeaderLines,
    /// What is sent, byte for byte.
    pub body: &'a [u8],
}

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The value of `Retry-After`, if there is one.
    pub retry_after: Option<Vec<u8>>,
    /// The body, cut after the target's `maxResponseBytes`.
    pub body: Vec<u8>,
    /// Whether `body` is all of it.
    pub complete: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportError {
    /// What kind of trouble it was.
    pub kind: TransportErrorKind,
    /// What happened, for people. Holds no header values and no user information of the URL.
    pub message: String,
}

/// Kinds of trouble that leave an attempt without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The host's name could not be resolved, or nobody accepted the connection, TLS included.
    Connect,
    /// A time-out passed: before the connection stood, or before the answer came.
    Timeout,
    /// The connection broke, or what came was not HTTP.
    Io,
    /// The attempt was cut short because the dispatcher stops.
    Stopped,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TransportError {}

/// Sends to one target. Each sender thread has its own.
pub trait Transport: Send {
    /// Makes one attempt, and blocks until there is an answer or none can come any more.
    ///
    /// # Errors
    /// There is no answer. The receiver may have taken the request all the same.
    fn send(&mut self, request: Request<'_>) -> Result<Answer, TransportError>;

    /// A handle that makes a `send` under way, and every later one, fail at once with
    /// [`TransportErrorKind::Stopped`].
    fn stopper(&self) -> Stopper;
}

/// Cuts a [`Transport`] short, from another thread.
pub type Stopper = Box<dyn Fn() + Send + Sync>;

/// Makes transports.
pub trait Connector: Send + Sync {
    /// A transport to this target. It need not connect before its first request.
    ///
    /// # Errors
    /// The target's settings cannot be used: a certificate that cannot be read, say.
    fn transport(&self, target: &Target) -> Result<Box<dyn Transport>, TransportError>;
}
