//! Connects to the first address that accepts, by RFC 8305: the families take turns, and an address
//! that does not answer soon gets company of the next.

use super::socket::NEVER;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an address has before the next one is tried beside it, if there is time for all.
const STAGGER: Duration = Duration::from_millis(250);
/// How often a wait looks whether the transport was stopped.
pub(crate) const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// Connects to the first address that accepts.
///
/// # Errors
/// The address's error; if there are several, the kind of the first error and the text of each.
/// [`ErrorKind::TimedOut`] when the time has passed, and [`ErrorKind::Interrupted`] soon after
/// `is_stopped` returns true.
pub(crate) fn connect(
    addresses: &[SocketAddr],
    within: Duration,
    is_stopped: &dyn Fn() -> bool,
) -> Result<TcpStream> {
    let within = within.min(NEVER);
    let ends = Instant::now() + within;
    let stagger = stagger(addresses.len(), within);
    let mut untried = by_turns(addresses).into_iter();
    let mut next_at = Instant::now();
    let mut pending: Vec<(SocketAddr, OwnedFd)> = Vec::new();
    let mut errors: Vec<(SocketAddr, Error)> = Vec::new();
    loop {
        if is_stopped() {
            return Err(ErrorKind::Interrupted.into());
        }
        let now = Instant::now();
        if now >= ends {
            return Err(summary(Some(ErrorKind::TimedOut), errors));
        }
        let begins = (pending.is_empty() || now >= next_at)
            .then(|| untried.next())
            .flatten();
        if let Some(address) = begins {
            match begin(&address) {
                Ok(socket) => pending.push((address, socket)),
                Err(error) => errors.push((address, error)),
            }
            next_at = now + stagger;
            continue;
        }
        if pending.is_empty() {
            return Err(summary(None, errors));
        }
        let mut wait = STOP_INTERVAL.min(ends - now);
        if untried.len() > 0 {
            wait = wait.min(next_at.saturating_duration_since(now));
        }
        let ready = wait_for_any(&pending, wait)?;
        let mut is_ready = ready.into_iter();
        for (address, socket) in std::mem::take(&mut pending) {
            if !is_ready.next().unwrap_or(false) {
                pending.push((address, socket));
                continue;
            }
            match finish(socket) {
                Ok(stream) => return Ok(stream),
                Err(error) => errors.push((address, error)),
            }
            next_at = now;
        }
    }
}

/// How long each of so many addresses has for itself: every one is tried within the time.
fn stagger(addresses: usize, within: Duration) -> Duration {
    let shares = u32::try_from(addresses)
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    STAGGER.min(within / shares)
}

/// The addresses in their order, but the two families by turns.
fn by_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<_>) = addresses
        .iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::with_capacity(addresses.len());
    while first.len() + second.len() > 0 {
        turns.extend(first.next());
        turns.extend(second.next());
    }
    turns
}

/// Begins to connect a socket that does not block.
fn begin(address: &SocketAddr) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    match net::connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Waits until a connection is made or has failed, and tells which.
fn wait_for_any(pending: &[(SocketAddr, OwnedFd)], wait: Duration) -> Result<Vec<bool>> {
    let mut watched: Vec<_> = pending
        .iter()
        .map(|(_, socket)| PollFd::new(socket, PollFlags::OUT))
        .collect();
    let wait = Timespec::try_from(wait).map_err(Error::other)?;
    match poll(&mut watched, Some(&wait)) {
        Ok(_) => Ok(watched.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(Errno::INTR) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn finish(socket: OwnedFd) -> Result<TcpStream> {
    sockopt::socket_error(&socket)??;
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One error for all addresses: of this kind, else the first one's.
fn summary(kind: Option<ErrorKind>, mut errors: Vec<(SocketAddr, Error)>) -> Error {
    if errors.is_empty() {
        return kind.unwrap_or(ErrorKind::NotFound).into();
    }
    if errors.len() == 1 && kind.is_none() {
        return errors.remove(0).1;
    }
    let kind = kind.unwrap_or_else(|| errors[0].1.kind());
    let texts: Vec<_> = errors
        .iter()
        .map(|(address, error)| format!("{address}: {error}"))
        .collect();
    Error::new(kind, texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};
    use testkit::{BlackHole, Port};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn connect(addresses: &[SocketAddr], within: Duration) -> Result<TcpStream> {
        super::connect(addresses, within, &|| false)
    }

    #[test]
    fn addresses_that_refuse_or_do_not_answer_hold_the_next_for_a_moment_only() {
        let (refuses, silent) = (Port::take(), BlackHole::start());
        let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let takes = open.local_addr().unwrap();
        let (silent, began) = (silent.address(), Instant::now());
        let addresses = [refuses.address(), silent, silent, silent, takes];
        let stream = connect(&addresses, 10 * PATIENCE).unwrap();
        assert!(began.elapsed() < PATIENCE, "far from the time to connect");
        assert_eq!(stream.peer_addr().unwrap(), takes);
        assert!(stream.nodelay().unwrap());
        // It blocks, so that the socket's own time-outs work.
        let (began, soon) = (Instant::now(), Duration::from_millis(20));
        stream.set_read_timeout(Some(soon)).unwrap();
        (&stream).read(&mut [0]).unwrap_err();
        assert!(began.elapsed() >= soon);
    }

    #[test]
    fn an_address_that_does_not_answer_is_a_time_out() {
        let (refuses, silent) = (Port::take(), BlackHole::start());
        let soon = Duration::from_millis(50);
        let error = connect(&[silent.address()], soon).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let error = connect(&[refuses.address(), silent.address()], soon).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let refused = format!("{}: Connection refused", refuses.address());
        assert!(error.to_string().starts_with(&refused), "{error}");
    }

    #[test]
    fn the_errors_of_all_addresses_are_reported() {
        let (one, two) = (Port::take(), Port::take());
        let error = connect(&[one.address()], PATIENCE).unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(Errno::CONNREFUSED.raw_os_error())
        );
        let error = connect(&[one.address(), two.address()], PATIENCE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        for port in [one, two] {
            assert!(error.to_string().contains(&port.address().to_string()));
        }
    }

    #[test]
    fn a_short_time_is_shared_by_all_addresses() {
        let second = Duration::from_secs(1);
        assert_eq!(stagger(1, second), STAGGER);
        assert_eq!(stagger(9, second), second / 10);
        assert_eq!(
            stagger(2, Duration::from_millis(6)),
            Duration::from_millis(2)
        );
        assert_eq!(stagger(0, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn the_families_take_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"].map(address);
        let turns = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"].map(address);
        assert_eq!(by_turns(&given), turns);
        assert_eq!(by_turns(&given[3..]), given[3..]);
        assert_eq!(by_turns(&[]), []);
    }

    #[test]
    fn without_an_address_there_is_no_connection() {
        let error = connect(&[], PATIENCE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
