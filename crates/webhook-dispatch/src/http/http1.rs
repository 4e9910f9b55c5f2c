//! HTTP/1.1 for a client that posts bodies of known length, one request after the other on a kept
//! connection, and needs a status, `Retry-After` and the beginning of a body (RFC 9112).
//!
//! It knows no sockets, TLS or targets: bytes pass through a [`Stream`]. `httparse` parses an
//! answer's head; the length of the body and the reuse of the connection are decided here.

mod body;
mod head;
#[cfg(test)]
mod tests;

use self::body::{Framing, Taken};
use self::head::Head;
use crate::http::transport::Answer;
use std::io::{Error, Result};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Bytes of the input buffer at first: more than most answers have.
const INPUT: usize = 4 * 1024;
/// The longest head of an answer, and the longest line within a chunked body, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// How long to wait for an answer when sending has used up the time: the answer may have come.
const ANSWERED: Duration = Duration::from_millis(100);

/// A connection for bytes.
pub(crate) trait Stream: Send {
    /// Sends all of both.
    ///
    /// # Errors
    /// [`TimedOut`](std::io::ErrorKind::TimedOut) at `until`; a part may have been sent. A peer
    /// that stopped reading but has answered is no error.
    fn send(&mut self, head: &[u8], body: &[u8], until: Instant) -> Result<()>;

    /// Waits for input. Zero bytes are its end.
    ///
    /// # Errors
    /// [`TimedOut`](std::io::ErrorKind::TimedOut) if there was none until `until`.
    fn receive(&mut self, room: &mut [u8], until: Instant) -> Result<usize>;

    /// Whether the peer has not stopped reading, and there is no input, not even the end.
    fn is_quiet(&mut self) -> bool;
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The request could not be sent.
    Sending(Error),
    /// No answer could be received.
    Receiving(Error),
    /// The connection ended before the answer's head did.
    Closed,
    /// The answer is not HTTP/1.1.
    Malformed(&'static str),
}

/// A kept connection.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: S,
    input: Vec<u8>,
    /// The part of `input` that was received and not consumed.
    unread: Range<usize>,
    /// Whether another request may follow the last answer.
    kept: bool,
    /// Whether no byte has come since the last answer.
    silent: bool,
    /// Whether there was an answer before.
    reused: bool,
    made: Instant,
    /// When the last answer ended.
    used: Instant,
}

impl<S: Stream> Connection<S> {
    /// A new connection.
    pub(crate) fn new(stream: S) -> Connection<S> {
        Connection {
            stream,
            input: vec![0; INPUT],
            unread: 0..0,
            kept: true,
            silent: true,
            reused: false,
            made: Instant::now(),
            used: Instant::now(),
        }
    }

    /// Whether another request may follow the last answer.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept
    }

    /// The connection, if the next request may use it: it is at most `max_age` old, the last answer
    /// allows it and ended at most `idle` ago, and the peer has neither closed nor sent unsolicited
    /// bytes.
    pub(crate) fn if_reusable(
        mut self,
        idle: Duration,
        max_age: Duration,
    ) -> Option<Connection<S>> {
        let now = Instant::now();
        let reusable = self.kept
            && self.unread.is_empty()
            && now.saturating_duration_since(self.used) <= idle
            && now.saturating_duration_since(self.made) <= max_age
            && self.stream.is_quiet();
        self.silent = true;
        self.reused = true;
        reusable.then_some(self)
    }

    /// Whether the peer closed a kept connection instead of answering.
    pub(crate) fn is_stale(&self, fault: &Fault) -> bool {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let closed = match fault {
            Fault::Closed => true,
            Fault::Sending(error) | Fault::Receiving(error) => matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
            ),
            Fault::Malformed(_) => false,
        };
        self.reused && self.silent && closed
    }

    /// Sends a request and receives its answer. `within` bounds the time from the request's first
    /// byte to the end of the answer's head, and then the time for its body, which is kept up to
    /// `max_body` bytes. A failure after the status line costs the connection, not the answer.
    ///
    /// # Errors
    /// There is no answer, and the connection cannot be used any more.
    pub(crate) fn exchange(
        &mut self,
        head: &[u8],
        body: &[u8],
        within: Duration,
        max_body: u64,
    ) -> std::result::Result<Answer, Fault> {
        self.kept = false;
        let until = Instant::now() + within;
        self.stream
            .send(head, body, until)
            .map_err(Fault::Sending)?;
        let head = self.final_head(after_sending(until, Instant::now()))?;
        let mut answer = Answer {
            status: head.status,
            retry_after: head.retry_after,
            body: Vec::new(),
            complete: !head.is_status_alone,
        };
        if let Some(framing) = head.framing {
            let until = Instant::now() + within;
            answer.complete = self.read_body(framing, &mut answer.body, max_body, until);
        }
        self.kept = head.keeps && answer.complete;
        if self.kept {
            self.used = Instant::now();
        }
        Ok(answer)
    }

    /// The head of the final answer. Interim answers are skipped.
    fn final_head(&mut self, until: Instant) -> std::result::Result<Head, Fault> {
        let fault = loop {
            match head::parse(self.unread()).map_err(Fault::Malformed)? {
                Some((length, head)) => {
                    self.consume(length);
                    if !head.is_interim() {
                        return Ok(head);
                    }
                }
                None if self.unread.len() >= LONGEST_HEAD => {
                    break Fault::Malformed("its head is too long");
                }
                None => match self.fill(until) {
                    Ok(0) => break Fault::Closed,
                    Ok(_) => {}
                    Err(error) => break Fault::Receiving(error),
                },
            }
        };
        // The head has no end, but its status line may have one.
        head::cut_off(self.unread()).ok_or(fault)
    }

    /// Reads a body into `body`. False if it is not complete in time or longer than `most`.
    fn read_body(
        &mut self,
        mut framing: Framing,
        body: &mut Vec<u8>,
        most: u64,
        until: Instant,
    ) -> bool {
        loop {
            let room = most.saturating_sub(body.len() as u64);
            let (used, taken) = framing.take(self.unread(), room, body);
            self.consume(used);
            match taken {
                Taken::All => return true,
                Taken::TooMuch | Taken::Malformed => return false,
                Taken::Some if self.unread.len() >= LONGEST_HEAD => return false,
                Taken::Some => match self.fill(until) {
                    Ok(0) => return framing.ends_with_the_connection(),
                    Ok(_) => {}
                    Err(_) => return false,
                },
            }
        }
    }

    fn unread(&self) -> &[u8] {
        self.input.get(self.unread.clone()).unwrap_or_default()
    }

    fn consume(&mut self, amount: usize) {
        self.unread.start = (self.unread.start + amount).min(self.unread.end);
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
    }

    /// Waits for more input.
    fn fill(&mut self, until: Instant) -> Result<usize> {
        if self.unread.end == self.input.len() {
            if self.unread.start > 0 {
                self.input.copy_within(self.unread.clone(), 0);
                self.unread = 0..self.unread.len();
            } else {
                self.input.resize(self.input.len() * 2, 0);
            }
        }
        let room = self.input.get_mut(self.unread.end..).unwrap_or_default();
        let received = self.stream.receive(room, until)?;
        self.unread.end += received.min(room.len());
        self.silent &= received == 0;
        Ok(received)
    }
}

/// The deadline for the answer's head. A peer that answers without reading lets sending use up the
/// time, but its answer is there.
fn after_sending(until: Instant, now: Instant) -> Instant {
    if now < until { until } else { now + ANSWERED }
}
