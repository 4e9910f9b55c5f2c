//! A connected socket: time-outs, and as few system calls as possible.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than any time-out, and short enough to be added to an `Instant`.
pub(crate) const NEVER: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// How late a time-out may be, so that the socket's own time-out need not be set for each call. The
/// kernel's clock ticks are as coarse.
const SLACK: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Socket {
    /// Shared, by a weak reference, with the [`Stop`](crate::http::stop::Stop) of its transport.
    stream: Arc<TcpStream>,
    /// The time-outs that are set on the socket.
    receives_within: Duration,
    sends_within: Duration,
    /// Whether the peer stopped reading, but has answered.
    answered: bool,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Socket {
        Socket {
            stream: Arc::new(stream),
            receives_within: Duration::MAX,
            sends_within: Duration::MAX,
            answered: false,
        }
    }

    /// The socket, for a shutdown from another thread.
    pub(crate) fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }

    /// Sends all of both buffers, in one system call if the kernel accepts as much.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] at `until`; a part may have been sent. A peer that stopped reading
    /// but has answered is no error: the answer can be received.
    pub(crate) fn send(&mut self, first: &[u8], second: &[u8], until: Instant) -> Result<()> {
        if self.answered {
            return Ok(());
        }
        match self.send_all(first, second, until) {
            Err(error) if stopped_reading(&error) && self.has_input() => {
                self.answered = true;
                Ok(())
            }
            result => result,
        }
    }

    fn send_all(&mut self, first: &[u8], second: &[u8], until: Instant) -> Result<()> {
        let mut slices = [IoSlice::new(first), IoSlice::new(second)];
        let mut left = &mut slices[..];
        // Skips empty buffers.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let set = |within| self.stream.set_write_timeout(Some(within));
            keep_time(&mut self.sends_within, until, set)?;
            let mut nothing = SendAncillaryBuffer::default();
            match sendmsg(&*self.stream, left, &mut nothing, SendFlags::NOSIGNAL) {
                Ok(sent) => IoSlice::advance_slices(&mut left, sent),
                // Too early, or a signal: `keep_time` returns the error once the time has passed.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for input. Zero bytes are its end.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if there was none until `until`.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], until: Instant) -> Result<usize> {
        loop {
            let set = |within| self.stream.set_read_timeout(Some(within));
            keep_time(&mut self.receives_within, until, set)?;
            match recv(&*self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((read, _)) => return Ok(read),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the peer has not stopped reading, and there is no input, not even the end.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.answered && matches!(self.peek(), Err(Errno::AGAIN))
    }

    /// Whether there is input to be read, even if the connection is broken.
    fn has_input(&self) -> bool {
        matches!(self.peek(), Ok(1..))
    }

    fn peek(&self) -> std::result::Result<usize, Errno> {
        let mut byte = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        recv(&*self.stream, &mut byte, flags).map(|(read, _)| read)
    }
}

/// Whether the peer has closed the connection, or does not read.
fn stopped_reading(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::TimedOut
    )
}

/// Sets a time-out that ends at `until`, unless the current one ends then or a little later.
fn keep_time(
    current: &mut Duration,
    until: Instant,
    set: impl FnOnce(Duration) -> Result<()>,
) -> Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Error::from(ErrorKind::TimedOut));
    }
    if *current < left || *current - left > SLACK {
        // Rounded up to a millisecond, so that the next call's time-out is the same.
        let millis = left.as_nanos().div_ceil(1_000_000);
        let within = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        set(within)?;
        *current = within;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Socket::new(stream), listener.accept().unwrap().0)
    }

    fn patience() -> Instant {
        Instant::now() + PATIENCE
    }

    #[test]
    fn both_buffers_arrive_in_one_piece() {
        let (mut socket, mut peer) = pair();
        let mut piece = [0; 64];
        for (first, second) in [("head", "body"), ("head", ""), ("", "body")] {
            let (first, second) = (first.as_bytes(), second.as_bytes());
            socket.send(first, second, patience()).unwrap();
            let length = peer.read(&mut piece).unwrap();
            assert_eq!(&piece[..length], [first, second].concat());
        }
        socket.send(b"", b"", patience()).unwrap();
        assert!(socket.is_quiet());
    }

    #[test]
    fn a_partial_send_continues_where_it_stopped() {
        let (mut socket, mut peer) = pair();
        let parts = [vec![1; 5 << 20], vec![2; 5 << 20]];
        let expected = parts.concat();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        socket.send(&parts[0], &parts[1], patience()).unwrap();
        drop(socket);
        assert!(reader.join().unwrap() == expected);
    }

    #[test]
    fn a_connection_is_quiet_until_the_peer_closes_or_sends() {
        let (mut socket, mut peer) = pair();
        assert!(socket.is_quiet());
        peer.write_all(b"!").unwrap();
        until_not_quiet(&socket);
        assert_eq!(socket.receive(&mut [0; 2], patience()).unwrap(), 1);
        assert!(socket.is_quiet());
        drop(peer);
        until_not_quiet(&socket);
        assert_eq!(socket.receive(&mut [0; 2], patience()).unwrap(), 0);
    }

    /// Waits for the kernel, which needs a moment to transfer the bytes.
    fn until_not_quiet(socket: &Socket) {
        let ends = patience();
        while socket.is_quiet() {
            assert!(Instant::now() < ends);
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_answer_of_a_peer_that_closed_is_received() {
        let (mut socket, mut peer) = pair();
        socket.send(b"part", b"", patience()).unwrap();
        peer.write_all(b"enough").unwrap();
        // Its unread input makes the close a reset.
        drop(peer);
        for _ in 0..1000 {
            socket.send(&[0; 16 * 1024], b"", patience()).unwrap();
        }
        let mut answer = [0; 16];
        assert_eq!(socket.receive(&mut answer, patience()).unwrap(), 6);
        assert_eq!(&answer[..6], b"enough");
        assert!(!socket.is_quiet());
    }

    #[test]
    fn a_peer_that_closed_without_an_answer_is_an_error() {
        let (mut socket, peer) = pair();
        drop(peer);
        let gone = (0..1000).find_map(|_| socket.send(&[0; 16 * 1024], b"", patience()).err());
        assert!(stopped_reading(&gone.unwrap()));
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let (mut socket, _peer) = pair();
        let soon = Instant::now() + Duration::from_millis(20);
        let error = socket.receive(&mut [0], soon).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(Instant::now() >= soon);
        let error = socket.send(&vec![0; 64 << 20], b"", soon).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    /// Checks which time-out is set when `left` is wanted and `current` is set.
    fn check(current: Duration, left: Duration, expected: Option<Duration>) {
        let mut kept = current;
        let mut set = None;
        keep_time(&mut kept, Instant::now() + left, |within| {
            set = Some(within);
            Ok(())
        })
        .unwrap();
        assert_eq!(set, expected, "{left:?} with {current:?}");
        assert_eq!(kept, expected.unwrap_or(current));
    }

    #[test]
    fn a_time_out_is_set_only_when_it_has_changed() {
        let minute = Duration::from_secs(60);
        check(Duration::MAX, minute, Some(minute));
        check(minute, minute, None);
        // Half a minute late is too late, and a minute early too early.
        check(minute, minute / 2, Some(minute / 2));
        check(minute, minute * 2, Some(minute * 2));
    }

    #[test]
    fn no_time_left_is_a_time_out() {
        let error = keep_time(&mut Duration::MAX.clone(), Instant::now(), |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
