//! Connects to the first address that accepts.

use super::socket::NEVER;
use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Tries one address after the other. Each but the last gets half of the time that is left.
///
/// # Errors
/// The last address's error; [`ErrorKind::TimedOut`] when the time has passed.
pub(crate) fn connect(addresses: &[SocketAddr], within: Duration) -> Result<TcpStream> {
    let ends = Instant::now() + within.min(NEVER);
    let mut last_error = Error::new(ErrorKind::NotFound, "no address");
    let mut others = addresses.len();
    for address in addresses {
        others = others.saturating_sub(1);
        let left = ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::from(ErrorKind::TimedOut));
        }
        let share = if others == 0 { left } else { left / 2 };
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::OwnedFd;
    use rustix::net;
    use std::net::{Ipv4Addr, TcpListener};

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A bound socket that refuses connections, since it does not listen.
    fn closed() -> (OwnedFd, SocketAddr) {
        let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).unwrap();
        net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = net::getsockname(&socket).unwrap().try_into().unwrap();
        (socket, address)
    }

    /// A listening socket with a full backlog: further connections wait.
    fn full() -> (OwnedFd, Vec<TcpStream>, SocketAddr) {
        let (listener, address) = closed();
        net::listen(&listener, 0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
            waiting.push(stream);
        }
        (listener, waiting, address)
    }

    #[test]
    fn an_address_that_refuses_or_does_not_answer_leaves_time_for_the_next() {
        let (_closed, refuses) = closed();
        let (_listener, _waiting, silent) = full();
        let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let takes = open.local_addr().unwrap();
        let stream = connect(&[refuses, silent, takes], Duration::from_secs(2)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), takes);
        assert!(stream.nodelay().unwrap());
    }

    #[test]
    fn an_address_that_does_not_answer_is_a_time_out() {
        let (_listener, _waiting, silent) = full();
        let error = connect(&[silent], Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn without_an_address_there_is_no_connection() {
        let error = connect(&[], PATIENCE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
