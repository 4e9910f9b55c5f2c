//! A connection as the HTTP client above uses it: one kept socket and its buffers.
//!
//! The client writes a request's head and body apart. Each written at once, they would be two
//! system calls and two packets; so a head is held here until the body's first bytes follow or the
//! answer is awaited. It knows sockets and time-outs, and no HTTP and no client.

mod connect;
mod socket;

pub(crate) use connect::connect;

use socket::Socket;
use std::io::{Error, ErrorKind, Result};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that are written at once, and that a read asks for: a payload's usual size and some.
const BUFFER: usize = 16 * 1024;
/// A head beyond this is not held, so that the body finds room behind it.
const HELD: usize = BUFFER / 2;
/// Bytes of input that may wait to be understood: more than the head of an answer may have.
const INPUT: usize = 128 * 1024;
/// Longer than any time-out, and short enough to be added to a time.
const NEVER: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    output: Vec<u8>,
    /// Bytes of `output` that wait for more.
    held: usize,
    input: Vec<u8>,
    /// The part of `input` that was read and not consumed.
    unread: std::ops::Range<usize>,
    /// Whether the last look at the input used any of it.
    progress: bool,
    /// The exchange's deadline, from its first byte to the answer's status line.
    ends: Option<Instant>,
    /// The peer takes no more, but has answered.
    answered: bool,
    /// Whether anything was read since the connection was last asked about.
    heard: bool,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Wire {
        Wire {
            socket: Socket::new(stream),
            output: vec![0; BUFFER],
            held: 0,
            input: vec![0; BUFFER],
            unread: 0..0,
            progress: false,
            ends: None,
            answered: false,
            heard: false,
        }
    }

    /// The socket, to end it from another thread.
    pub(crate) fn stream(&self) -> &Arc<TcpStream> {
        self.socket.stream()
    }

    /// Begins an exchange: it has this long, from now to the answer's status line.
    pub(crate) fn begin(&mut self, within: Duration) {
        if self.ends.is_none() {
            self.ends = Some(Instant::now() + within.min(NEVER));
        }
    }

    /// The exchange has its answer's head, or there is none: what follows has its own time.
    pub(crate) fn answer_is_here(&mut self) {
        self.ends = None;
    }

    /// Where to write: whatever is held stays before it.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.output.get_mut(self.held..).unwrap_or_default()
    }

    /// Room to read into, and room to write.
    pub(crate) fn rooms(&mut self) -> (&mut [u8], &mut [u8]) {
        self.make_room();
        let free = self.input.get_mut(self.unread.end..).unwrap_or_default();
        let room = self.output.get_mut(self.held..).unwrap_or_default();
        (free, room)
    }

    /// Takes bytes that were written to [`room`](Wire::room), to be sent with what follows. False
    /// when they are too many: then they have to be sent.
    pub(crate) fn hold(&mut self, written: usize) -> bool {
        self.held += written;
        self.held <= HELD
    }

    /// Sends what is held and this much more.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when the time has passed. A peer that takes no more, but has
    /// answered, is no error: the answer can be read.
    pub(crate) fn send(&mut self, written: usize, within: Duration) -> Result<()> {
        let length = self.held + written;
        self.held = 0;
        if self.answered || length == 0 {
            return Ok(());
        }
        let until = self.until(within);
        let bytes = self.output.get(..length).unwrap_or_default();
        match self.socket.send(bytes, until) {
            Err(error) if is_hang_up(&error) && self.socket.has_input() => {
                self.answered = true;
                Ok(())
            }
            result => result,
        }
    }

    /// Sends what is held and waits for input. False at the end of it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when the time has passed.
    pub(crate) fn receive(&mut self, within: Duration) -> Result<bool> {
        self.send(0, within)?;
        self.heard = true;
        self.make_room();
        let until = self.until(within);
        let free = self.input.get_mut(self.unread.end..).unwrap_or_default();
        if free.is_empty() {
            let what = "the head of the answer is too long";
            return Err(Error::other(what));
        }
        let read = self.socket.receive(free, until)?;
        self.appended(read);
        Ok(read > 0)
    }

    fn until(&self, within: Duration) -> Instant {
        let until = Instant::now() + within.min(NEVER);
        self.ends.map_or(until, |ends| ends.min(until))
    }

    /// Makes sure that there is room to read into.
    fn make_room(&mut self) {
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        if self.unread.end < self.input.len() {
            return;
        }
        if self.unread.start > 0 {
            self.input.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        } else {
            let larger = (self.input.len() * 2).min(INPUT);
            self.input.resize(larger, 0);
        }
    }

    /// What was read and not consumed.
    pub(crate) fn input(&self) -> &[u8] {
        self.input.get(self.unread.clone()).unwrap_or_default()
    }

    /// Whether there is input that was not in vain looked at before.
    pub(crate) fn has_news(&self) -> bool {
        self.progress && !self.unread.is_empty()
    }

    /// Adds to the input what was written to the first of [`rooms`](Wire::rooms).
    pub(crate) fn appended(&mut self, amount: usize) {
        self.unread.end = (self.unread.end + amount).min(self.input.len());
    }

    /// Takes this much of the input; 0 if more is needed to make sense of it.
    pub(crate) fn consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.unread.start = (self.unread.start + amount).min(self.unread.end);
    }

    /// Whether the next request may go this way: the peer neither closed nor sent what nobody
    /// asked for. Costs a system call, but not right after an answer was read: the next request
    /// asks again.
    pub(crate) fn is_fit(&mut self) -> bool {
        if self.answered || self.held > 0 || !self.unread.is_empty() {
            return false;
        }
        if std::mem::take(&mut self.heard) {
            self.ends = None;
            return true;
        }
        self.socket.is_quiet()
    }
}

fn is_hang_up(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Wire::new(stream), listener.accept().unwrap().0)
    }

    fn write(wire: &mut Wire, bytes: &[u8]) -> usize {
        wire.room()[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    /// Waits until the peer has these bytes in one piece.
    fn arrives(peer: &mut TcpStream, bytes: &[u8]) {
        let mut piece = [0; 64];
        let length = peer.read(&mut piece).unwrap();
        assert_eq!(&piece[..length], bytes);
    }

    #[test]
    fn a_head_goes_with_the_body() {
        let (mut wire, mut peer) = pair();
        let head = write(&mut wire, b"head");
        assert!(wire.hold(head));
        let body = write(&mut wire, b"body");
        wire.send(body, PATIENCE).unwrap();
        arrives(&mut peer, b"headbody");
    }

    #[test]
    fn a_head_alone_goes_when_the_answer_is_awaited() {
        let (mut wire, mut peer) = pair();
        let head = write(&mut wire, b"head");
        assert!(wire.hold(head));
        peer.write_all(b"answer").unwrap();
        assert!(wire.receive(PATIENCE).unwrap());
        assert_eq!(wire.input(), b"answer");
        arrives(&mut peer, b"head");
    }

    #[test]
    fn a_large_head_is_not_held() {
        let (mut wire, _peer) = pair();
        assert!(!wire.hold(HELD + 1));
        wire.send(0, PATIENCE).unwrap();
        assert_eq!(wire.room().len(), BUFFER);
    }

    #[test]
    fn input_that_makes_no_sense_yet_is_added_to_up_to_a_bound() {
        let (mut wire, mut peer) = pair();
        let writer = std::thread::spawn(move || drop(peer.write_all(&[b'x'; 2 * INPUT])));
        let error = loop {
            match wire.receive(PATIENCE) {
                Ok(more) => assert!(more),
                Err(error) => break error,
            }
            wire.consume(0);
            assert!(!wire.has_news());
        };
        assert_eq!(error.kind(), ErrorKind::Other);
        assert_eq!(wire.input().len(), INPUT);
        drop(wire);
        writer.join().unwrap();
    }

    #[test]
    fn what_is_consumed_makes_room() {
        let (mut wire, mut peer) = pair();
        let writer = std::thread::spawn(move || drop(peer.write_all(&[b'x'; 4 * INPUT])));
        let mut left = 4 * INPUT;
        while left > 0 {
            assert!(wire.receive(PATIENCE).unwrap());
            let all_but_one = wire.input().len().min(left).saturating_sub(1).max(1);
            wire.consume(all_but_one);
            assert!(wire.input().is_empty() || wire.has_news());
            left -= all_but_one;
            if left == 1 {
                wire.consume(1);
                left = 0;
            }
        }
        writer.join().unwrap();
        assert!(!wire.receive(PATIENCE).unwrap(), "the end of input");
    }

    #[test]
    fn a_connection_is_fit_until_the_peer_closes_or_speaks() {
        let (mut wire, mut peer) = pair();
        assert!(wire.is_fit());
        peer.write_all(b"!").unwrap();
        until_unfit(&mut wire);

        let (mut wire, peer) = pair();
        drop(peer);
        until_unfit(&mut wire);
    }

    /// The kernel needs a moment to carry it over.
    fn until_unfit(wire: &mut Wire) {
        let ends = Instant::now() + Duration::from_secs(60);
        while wire.is_fit() {
            assert!(Instant::now() < ends);
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_exchange_has_one_deadline_for_all_its_phases() {
        let (mut wire, _peer) = pair();
        wire.begin(Duration::from_millis(1));
        let error = wire.receive(PATIENCE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        wire.answer_is_here();
        let error = wire.receive(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_peer_that_answered_and_went_away_is_heard() {
        let (mut wire, mut peer) = pair();
        write(&mut wire, b"part");
        wire.send(4, PATIENCE).unwrap();
        peer.write_all(b"enough").unwrap();
        // What it has not read makes its close a reset.
        drop(peer);
        for _ in 0..1000 {
            let length = wire.room().len();
            wire.send(length, PATIENCE).unwrap();
        }
        assert!(wire.receive(PATIENCE).unwrap());
        assert_eq!(wire.input(), b"enough");
        assert!(!wire.is_fit());
    }
}
