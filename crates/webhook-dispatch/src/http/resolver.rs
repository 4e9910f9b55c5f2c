//! Resolves host names, with a cache.
//!
//! A look-up blocks as long as the system's resolver does, so it runs on a thread of its own, at
//! most one for each name, and callers wait with a time-out. Known addresses stay in use while a
//! name is looked up again, and when that fails, so that deliveries outlive a failing name server.

use crate::http::net::STOP_INTERVAL;
use crate::http::stop::Stop;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long resolved addresses are used before they are looked up again.
const TIME_TO_LIVE: Duration = Duration::from_secs(30);
/// How long a failed look-up is not repeated.
const FAILURE_TIME_TO_LIVE: Duration = Duration::from_secs(1);
/// Names in the cache. When it is full, a new name clears it.
const NAMES: usize = 10_000;

/// Looks up a host name and a port. It may block.
pub(crate) type LookUp = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// A cache of resolved names, shared by the senders of a dispatcher.
pub(crate) struct Lookups {
    look_up: Box<LookUp>,
    names: Mutex<HashMap<(String, u16), Name>>,
    changed: Condvar,
}

/// The shared cache, and how long a caller waits for it.
#[derive(Clone, Debug)]
pub(crate) struct Resolving {
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) patience: Duration,
    pub(crate) stop: Arc<Stop>,
}

impl Resolving {
    /// The addresses of a URL's host, in the resolver's order; at least one.
    ///
    /// # Errors
    /// As [`Lookups::resolve`].
    pub(crate) fn resolve(&self, uri: &http::Uri) -> io::Result<Arc<[SocketAddr]>> {
        let host = uri.host().ok_or(io::ErrorKind::NotFound)?;
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let is_stopped = || self.stop.is_stopped();
        self.lookups.resolve(host, port, self.patience, &is_stopped)
    }
}

#[derive(Debug, Default)]
struct Name {
    addresses: Option<Arc<[SocketAddr]>>,
    /// Until when the last look-up's result is valid.
    fresh_until: Option<Instant>,
    failure: Option<(io::ErrorKind, String)>,
    is_looking_up: bool,
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").finish_non_exhaustive()
    }
}

impl Default for Lookups {
    /// Looks names up by the system's resolver.
    fn default() -> Lookups {
        let system = |host: &str, port: u16| Ok((host, port).to_socket_addrs()?.collect());
        Lookups::new(Box::new(system))
    }
}

impl Lookups {
    pub(crate) fn new(look_up: Box<LookUp>) -> Lookups {
        Lookups {
            look_up,
            names: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The addresses of a host, in the resolver's order; at least one.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if the look-up takes longer than `patience`, and
    /// [`io::ErrorKind::Interrupted`] soon after `is_stopped` returns true; else its error.
    pub(crate) fn resolve(
        self: &Arc<Self>,
        host: &str,
        port: u16,
        patience: Duration,
        is_stopped: &dyn Fn() -> bool,
    ) -> io::Result<Arc<[SocketAddr]>> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Ok(Arc::from([SocketAddr::new(address, port)]));
        }
        let deadline = Instant::now() + patience;
        let key = (host.to_owned(), port);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES && !names.contains_key(&key) {
            names.retain(|_, name| name.is_looking_up);
        }
        loop {
            if is_stopped() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let now = Instant::now();
            let name = names.entry(key.clone()).or_default();
            let fresh = name.fresh_until.is_some_and(|until| now < until);
            if fresh && let Some(result) = name.result() {
                return result;
            }
            if !name.is_looking_up {
                if !self.start(&key) {
                    return Err(io::Error::other(
                        "no thread could be started to resolve names",
                    ));
                }
                name.is_looking_up = true;
            }
            if let Some(known) = &name.addresses {
                return Ok(Arc::clone(known));
            }
            let Some(left) = deadline
                .checked_duration_since(now)
                .filter(|d| !d.is_zero())
            else {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            };
            (names, _) = self
                .changed
                .wait_timeout(names, left.min(STOP_INTERVAL))
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Looks a name up on a thread of its own, which ends with the look-up.
    fn start(self: &Arc<Self>, key: &(String, u16)) -> bool {
        let lookups = Arc::clone(self);
        let key = key.clone();
        std::thread::Builder::new()
            .name("webhook-resolve".to_owned())
            .spawn(move || {
                let found = (lookups.look_up)(&key.0, key.1);
                lookups.finish(key, found);
            })
            .is_ok()
    }

    fn finish(&self, key: (String, u16), found: io::Result<Vec<SocketAddr>>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = names.entry(key).or_default();
        name.is_looking_up = false;
        let now = Instant::now();
        match found {
            Ok(addresses) if !addresses.is_empty() => {
                name.addresses = Some(Arc::from(addresses));
                name.failure = None;
                name.fresh_until = Some(now + TIME_TO_LIVE);
            }
            Ok(_) => name.fail(io::ErrorKind::NotFound, "no address".to_owned(), now),
            Err(error) => name.fail(error.kind(), error.to_string(), now),
        }
        drop(names);
        self.changed.notify_all();
    }
}

impl Name {
    fn fail(&mut self, kind: io::ErrorKind, message: String, now: Instant) {
        self.failure = Some((kind, message));
        self.fresh_until = Some(now + FAILURE_TIME_TO_LIVE);
    }

    /// The last known addresses, else the failure.
    fn result(&self) -> Option<io::Result<Arc<[SocketAddr]>>> {
        match (&self.addresses, &self.failure) {
            (Some(addresses), _) => Some(Ok(Arc::clone(addresses))),
            (None, Some((kind, message))) => Some(Err(io::Error::new(*kind, message.clone()))),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_looked_up() {
        let lookups = Arc::new(Lookups::default());
        let found = lookups
            .resolve("[::1]", 80, Duration::ZERO, &|| false)
            .unwrap();
        assert_eq!(&*found, &["[::1]:80".parse().unwrap()]);
        assert!(lookups.names.lock().unwrap().is_empty());
    }

    #[test]
    fn a_resolved_name_is_cached() {
        let lookups = Arc::new(Lookups::default());
        let first = lookups
            .resolve("localhost", 1, Duration::from_secs(60), &|| false)
            .unwrap();
        let second = lookups
            .resolve("localhost", 1, Duration::from_secs(60), &|| false)
            .unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn known_addresses_stay_in_use_when_a_look_up_fails() {
        let lookups = Arc::new(Lookups::default());
        let key = ("some.host".to_owned(), 80);
        let good: SocketAddr = "127.0.0.9:80".parse().unwrap();
        lookups.finish(key.clone(), Ok(vec![good]));
        lookups.finish(key, Err(io::Error::other("the name server is away")));
        let found = lookups
            .resolve("some.host", 80, Duration::from_secs(60), &|| false)
            .unwrap();
        assert_eq!(&*found, &[good]);
    }
}
