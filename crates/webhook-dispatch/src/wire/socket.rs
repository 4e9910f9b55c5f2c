//! A connected socket, with as few system calls as there can be.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io::{Error, ErrorKind, Result};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How late a time-out may come, so that the socket's own need not be set for each call. The
/// kernel's clock ticks are as coarse.
const SLACK: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Socket {
    /// Shared, weakly, with whoever may end it from another thread.
    stream: Arc<TcpStream>,
    /// The time-outs that are set on it.
    receives_within: Duration,
    sends_within: Duration,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Socket {
        Socket {
            stream: Arc::new(stream),
            receives_within: Duration::MAX,
            sends_within: Duration::MAX,
        }
    }

    pub(super) fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when it could not by then; part of it may have gone.
    pub(super) fn send(&mut self, mut bytes: &[u8], until: Instant) -> Result<()> {
        while !bytes.is_empty() {
            let set = |within| self.stream.set_write_timeout(Some(within));
            keep_time(&mut self.sends_within, until, set)?;
            match send(&*self.stream, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                // Too early or a signal: what is left of the time says whether to go on.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for input. Zero bytes are its end.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when there was none by then.
    pub(super) fn receive(&mut self, buffer: &mut [u8], until: Instant) -> Result<usize> {
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

    /// Whether nothing has come, not even the end.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self.peek(), Err(Errno::AGAIN))
    }

    /// Whether there is input to be read, though the connection may be broken.
    pub(super) fn has_input(&self) -> bool {
        matches!(self.peek(), Ok(1..))
    }

    fn peek(&self) -> std::result::Result<usize, Errno> {
        let mut byte = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        recv(&*self.stream, &mut byte, flags).map(|(read, _)| read)
    }
}

/// Sets a time-out that ends at `until`, unless the one that is set does, or a little later.
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
        // Up to a whole millisecond, so that the next call's is the same.
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

    /// The time-out that is set when one of `left` is wanted and `current` is there.
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
        // Half a minute late would be too late, and a minute early wrong.
        check(minute, minute / 2, Some(minute / 2));
        check(minute, minute * 2, Some(minute * 2));
    }

    #[test]
    fn no_time_is_a_time_out() {
        let error = keep_time(&mut Duration::MAX.clone(), Instant::now(), |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
