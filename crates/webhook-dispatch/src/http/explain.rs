//! Transport errors with messages for people. The other side is "the server": a receiver, a token endpoint, or
//! whatever else a transport is used for.

use crate::http::http1::Fault;
use crate::http::transport::{Answer, TransportError, TransportErrorKind};
use std::fmt;
use std::io::{Error, ErrorKind};

/// What a failure of TLS means, by a part of rustls's text, with the key that mends it.
const TLS_FAILURES: [(&str, &str); 11] = [
    (
        "UnknownIssuer",
        "the server's certificate is self-signed or of an authority that is not trusted; name a \
         PEM file of that authority in `tls.caFile`",
    ),
    (
        "BadSignature",
        "the server's certificate is of another authority with the same name; name a PEM file of \
         its own in `tls.caFile`",
    ),
    (
        "CaUsedAsEndEntity",
        "the server presents a self-signed certificate that is one of an authority; give it one \
         of a server (CA:FALSE), and name a PEM file of its authority in `tls.caFile`",
    ),
    (
        "not valid for",
        "the server's certificate is for another name; use its name in the URL",
    ),
    (
        "NotValidForName",
        "the server's certificate is for another name; use its name in the URL",
    ),
    (
        "xpired",
        "the server's certificate has expired, or this machine's clock is wrong",
    ),
    (
        "valid yet",
        "the server's certificate is not valid yet, or this machine's clock is wrong",
    ),
    (
        "InvalidContentType",
        "the server does not speak TLS on this port; use http:// or another port in the URL",
    ),
    (
        "CertificateRequired",
        "the server asks for a client certificate; set `tls.clientCertFile` and \
         `tls.clientKeyFile`",
    ),
    (
        "UnknownCA",
        "the server does not trust the certificate of `tls.clientCertFile`",
    ),
    (
        "HandshakeFailure",
        "the server shares no version or cipher of TLS, or asks for a client certificate \
         (`tls.clientCertFile`)",
    ),
];

/// What servers say to a plain request on a port for TLS, with 400: nginx, Apache, and Go's.
const WANTS_TLS: [&[u8]; 3] = [
    b"plain HTTP request was sent to HTTPS port",
    b"speaking plain HTTP to an SSL-enabled server port",
    b"Client sent an HTTP request to an HTTPS server",
];

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
            "the server closed a kept connection before it answered",
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

/// Explains a failure of TLS.
pub(crate) fn explain_tls(error: &dyn fmt::Display) -> TransportError {
    let text = error.to_string();
    let known = TLS_FAILURES.iter().find(|(part, _)| text.contains(part));
    let message = match known {
        Some((_, meaning)) => format!("TLS: {meaning} ({text})"),
        None => format!("TLS: {text}"),
    };
    TransportError::new(TransportErrorKind::Connect, message)
}

/// Explains an answer to a plain request that says the port is for TLS.
pub(crate) fn explain_plain(answer: &Answer) -> Option<TransportError> {
    let says = |text: &&[u8]| answer.body.windows(text.len()).any(|part| part == *text);
    let wants_tls = answer.status == 400 && WANTS_TLS.iter().any(says);
    wants_tls.then(|| {
        let message = "the server speaks TLS on this port; use https:// in the URL";
        TransportError::new(TransportErrorKind::Connect, message)
    })
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
        ErrorKind::InvalidData => return explain_tls(error),
        ErrorKind::UnexpectedEof => (
            Io,
            "the server closed the connection before it answered".to_owned(),
        ),
        _ => (Io, error.to_string()),
    };
    TransportError::new(kind, message)
}
