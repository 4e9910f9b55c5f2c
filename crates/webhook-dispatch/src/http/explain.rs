//! Transport errors with messages for people.

use crate::http::http1::Fault;
use crate::http::transport::{TransportError, TransportErrorKind};
use std::io::{Error, ErrorKind};

/// The phase of an attempt in which an error occurred.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Connecting,
    Sending,
    Answering,
}

impl Phase {
    fn timed_out(self) -> &'static str {
        match self {
            Phase::Connecting => "no connection within timeoutMsec",
            Phase::Sending => "the request could not be sent within responseTimeoutMsec",
            Phase::Answering => "no answer within responseTimeoutMsec",
        }
    }
}

/// Explains why a name has no addresses.
pub(crate) fn explain_resolve(error: Error) -> TransportError {
    let (kind, message) = match error.kind() {
        ErrorKind::TimedOut => (
            TransportErrorKind::Timeout,
            "the host's name was not resolved in time",
        ),
        _ => (
            TransportErrorKind::Connect,
            "the host's name cannot be resolved",
        ),
    };
    TransportError::new(kind, message)
}

pub(crate) fn explain_fault(fault: &Fault, is_stale: bool) -> TransportError {
    if is_stale {
        return TransportError::new(
            TransportErrorKind::Stale,
            "the receiver closed a kept connection before it answered",
        );
    }
    match fault {
        Fault::Sending(error) => explain_io(error, Phase::Sending),
        Fault::Receiving(error) => explain_io(error, Phase::Answering),
        Fault::Closed => explain_io(&ErrorKind::UnexpectedEof.into(), Phase::Answering),
        Fault::Malformed(what) => {
            let message = format!("the answer is not HTTP/1.1: {what}");
            TransportError::new(TransportErrorKind::Io, message)
        }
    }
}

/// Explains why a proxy forwards nothing.
pub(crate) fn explain_proxy(what: &str) -> TransportError {
    TransportError::new(
        TransportErrorKind::Connect,
        format!("the proxy refused: {what}"),
    )
}

pub(crate) fn explain_io(error: &std::io::Error, phase: Phase) -> TransportError {
    use TransportErrorKind::{Connect, Io, Timeout as TimedOut};
    let (kind, message) = match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AddrNotAvailable => (Connect, error.to_string()),
        ErrorKind::TimedOut if error.get_ref().is_some() => {
            (TimedOut, format!("{} ({error})", phase.timed_out()))
        }
        ErrorKind::TimedOut => (TimedOut, phase.timed_out().to_owned()),
        // A failed TLS handshake is an I/O error around rustls's error.
        ErrorKind::InvalidData => (Connect, format!("TLS: {error}")),
        ErrorKind::UnexpectedEof => (
            Io,
            "the receiver closed the connection before it answered".to_owned(),
        ),
        _ => (Io, error.to_string()),
    };
    TransportError { kind, message }
}
