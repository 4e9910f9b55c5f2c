//! HTTP/1.1 as a sender of webhooks speaks it: one request after the other on a kept connection.
//!
//! By RFC 9112, for a client that posts bodies of known length and wants a status, `Retry-After`
//! and the beginning of a body. It knows no sockets, no TLS and no targets: bytes go and come
//! through a [`Stream`]. An answer's head is read by `httparse`; what follows from it, how long the
//! body is and whether the connection can be used again, is decided here.

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

/// Bytes that a read asks for: more than most answers have.
const INPUT: usize = 4 * 1024;
/// The longest head of an answer, and the longest line within a chunked body, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// How long an answer is waited for that came before the request was sent, and its time over.
const ANSWERED: Duration = Duration::from_millis(100);

/// Where bytes go and come.
pub(crate) trait Stream: Send {
    /// Sends all of both.
    ///
    /// # Errors
    /// [`TimedOut`](std::io::ErrorKind::TimedOut) when it could not by then; part of it may have
    /// gone. A peer that takes no more, but has answered, is no error.
    fn send(&mut self, head: &[u8], body: &[u8], until: Instant) -> Result<()>;

    /// Waits for input. Zero bytes are its end.
    ///
    /// # Errors
    /// [`TimedOut`](std::io::ErrorKind::TimedOut) when there was none by then.
    fn receive(&mut self, room: &mut [u8], until: Instant) -> Result<usize>;

    /// Whether all that was sent was taken, and nothing has come that was not received, not even
    /// the end.
    fn is_quiet(&mut self) -> bool;
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The request did not go out.
    Sending(Error),
    /// Nothing that could be received came.
    Receiving(Error),
    /// The connection ended before the answer's head did.
    Closed,
    /// What came is not HTTP/1.1.
    Malformed(&'static str),
}

/// A kept connection.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: S,
    input: Vec<u8>,
    /// The part of `input` that was received and not used.
    unread: Range<usize>,
    /// Whether the last answer ended so that another can follow it.
    kept: bool,
    /// When it ended.
    used: Instant,
}

impl<S: Stream> Connection<S> {
    /// A connection on which nothing was sent yet.
    pub(crate) fn new(stream: S) -> Connection<S> {
        Connection {
            stream,
            input: vec![0; INPUT],
            unread: 0..0,
            kept: true,
            used: Instant::now(),
        }
    }

    /// Whether the last answer ended so that another can follow it.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept
    }

    /// The connection, if the next request may go this way: the last answer left it open, that is
    /// not longer ago than `idle`, and since then the peer neither closed nor sent what nobody
    /// asked for.
    pub(crate) fn if_reusable(mut self, idle: Duration) -> Option<Connection<S>> {
        let fit = self.kept
            && self.unread.is_empty()
            && self.used.elapsed() <= idle
            && self.stream.is_quiet();
        fit.then_some(self)
    }

    /// Sends a request and receives its answer. From the request's first byte to the end of the
    /// answer's head it has `within`; the answer's body has as long again, and is kept up to
    /// `max_body` bytes. Trouble with the body costs the connection and not the answer.
    ///
    /// # Errors
    /// There is no answer, and the connection is of no use any more.
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
            complete: true,
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

    /// The head of the answer that is meant: interim ones are passed over.
    fn final_head(&mut self, until: Instant) -> std::result::Result<Head, Fault> {
        loop {
            match head::parse(self.unread()).map_err(Fault::Malformed)? {
                Some((length, head)) => {
                    self.consume(length);
                    if !head.is_interim() {
                        return Ok(head);
                    }
                }
                None if self.unread.len() >= LONGEST_HEAD => {
                    return Err(Fault::Malformed("its head is too long"));
                }
                None => {
                    if self.fill(until).map_err(Fault::Receiving)? == 0 {
                        return Err(Fault::Closed);
                    }
                }
            }
        }
    }

    /// Reads a body into `body`. False unless all of it came, in time, and is not longer than
    /// `most`.
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
        Ok(received)
    }
}

/// Until when the head of the answer is waited for. Whoever answers and does not read has used up
/// the time, but the answer is there.
fn after_sending(until: Instant, now: Instant) -> Instant {
    if now < until { until } else { now + ANSWERED }
}
