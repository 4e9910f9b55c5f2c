//! Resolves host names, with a cache.
//!
//! A look-up blocks as long as the system's resolver does, so it runs on a thread of its own, at
//! most one for each name, and callers wait with a time-out. An address that has expired is looked
//! up before it is used again. If that fails or takes long, the last known addresses are used, so
//! that deliveries outlive a failing name server. Addresses expire when no connection can be made:
//! the name may have others by now.

use crate::http::net::STOP_INTERVAL;
use crate::http::stop::Stop;
use crate::shared::{Incident, Observer, Silent};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long resolved addresses are used before they are looked up again.
const TIME_TO_LIVE: Duration = Duration::from_secs(30);
/// How long a look-up is not repeated that failed, or whose addresses accept no connection.
const FAILURE_TIME_TO_LIVE: Duration = Duration::from_secs(1);
/// How long a caller waits for a look-up before it uses expired addresses.
const EXPIRED_PATIENCE: Duration = Duration::from_secs(2);
/// Names in the cache. When it is full, a new name clears it.
const NAMES: usize = 10_000;

/// Looks up a host name and a port. It may block.
pub(crate) type LookUp = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// How names are looked up.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) look_up: Arc<LookUp>,
    /// How long resolved addresses are used before they are looked up again.
    pub(crate) time_to_live: Duration,
    /// Is told of names that can no longer be resolved.
    pub(crate) observer: Arc<dyn Observer>,
}

impl Default for Settings {
    /// Looks names up by the system's resolver.
    fn default() -> Settings {
        let system = |host: &str, port: u16| Ok((host, port).to_socket_addrs()?.collect());
        Settings {
            look_up: Arc::new(system),
            time_to_live: TIME_TO_LIVE,
            observer: Arc::new(Silent),
        }
    }
}

/// A cache of resolved names, shared by the senders of a dispatcher.
#[derive(Default)]
pub(crate) struct Lookups {
    pub(crate) settings: Settings,
    names: Mutex<Names>,
    changed: Condvar,
}

type Names = HashMap<(String, u16), Name>;

/// The shared cache, how long a caller waits for it, and what ends the wait.
#[derive(Clone, Debug)]
pub(crate) struct Resolving {
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) patience: Duration,
    pub(crate) stop: Arc<Stop>,
}

impl Resolving {
    /// The addresses of a URL's host, in the resolver's order, but first the one that connected
    /// last; at least one.
    ///
    /// # Errors
    /// As [`Lookups::resolve`].
    pub(crate) fn resolve(&self, uri: &http::Uri) -> io::Result<Arc<[SocketAddr]>> {
        let (host, port) = server(uri).ok_or(io::ErrorKind::NotFound)?;
        let is_stopped = || self.stop.is_stopped();
        self.lookups.resolve(host, port, self.patience, &is_stopped)
    }

    /// Puts the address that accepted a connection first, until the name is looked up again.
    pub(crate) fn prefer(&self, uri: &http::Uri, address: SocketAddr) {
        if let Some((host, port)) = server(uri) {
            self.lookups.prefer(host, port, address);
        }
    }

    /// Lets a URL's host be looked up before it is used again, since none of its addresses can be
    /// connected to.
    pub(crate) fn expire(&self, uri: &http::Uri) {
        if let Some((host, port)) = server(uri) {
            self.lookups.expire(host, port);
        }
    }

    /// Whether a URL's host still has this address. Expired addresses are looked up meanwhile.
    pub(crate) fn still_has(&self, uri: &http::Uri, address: SocketAddr) -> bool {
        server(uri).is_none_or(|(host, port)| self.lookups.still_has(host, port, address))
    }
}

fn server(uri: &http::Uri) -> Option<(&str, u16)> {
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    });
    Some((uri.host()?, port))
}

/// The address of a host that is one already.
fn literal(host: &str) -> Option<IpAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse().ok()
}

#[derive(Debug, Default)]
struct Name {
    addresses: Option<Arc<[SocketAddr]>>,
    /// When the last look-up ended.
    looked_up: Option<Instant>,
    /// Until when its result is valid.
    fresh_until: Option<Instant>,
    failure: Option<(io::ErrorKind, String)>,
    /// When the look-up under way began.
    looking_since: Option<Instant>,
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").finish_non_exhaustive()
    }
}

impl Lookups {
    pub(crate) fn new(settings: Settings) -> Lookups {
        Lookups {
            settings,
            ..Lookups::default()
        }
    }

    /// The addresses of a host; at least one.
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
        if let Some(address) = literal(host) {
            return Ok(Arc::from([SocketAddr::new(address, port)]));
        }
        let began = Instant::now();
        let deadline = began + patience;
        let key = (host.to_owned(), port);
        let mut names = self.names();
        if names.len() >= NAMES && !names.contains_key(&key) {
            names.retain(|_, name| name.looking_since.is_some());
        }
        loop {
            if is_stopped() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let now = Instant::now();
            let name = names.entry(key.clone()).or_default();
            // A look-up that ended since is new enough, however short its result is valid.
            let is_new = name.looked_up.is_some_and(|ended| ended >= began);
            if (is_new || name.is_fresh(now))
                && let Some(result) = name.result()
            {
                return result;
            }
            let since = self.look_up(&key, name, now);
            // All callers together wait so long for a look-up, so that one that hangs does not
            // slow each connection down.
            let until = match (&name.addresses, since) {
                (Some(_), Some(since)) => deadline.min(since + EXPIRED_PATIENCE),
                (None, Some(_)) => deadline,
                (_, None) => now,
            };
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                return match (&name.addresses, since) {
                    (Some(known), _) => Ok(Arc::clone(known)),
                    (None, Some(_)) => Err(io::ErrorKind::TimedOut.into()),
                    (None, None) => Err(io::Error::other(
                        "no thread could be started to resolve names",
                    )),
                };
            }
            (names, _) = self
                .changed
                .wait_timeout(names, left.min(STOP_INTERVAL))
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn prefer(&self, host: &str, port: u16, address: SocketAddr) {
        if literal(host).is_some() {
            return;
        }
        let mut names = self.names();
        let name = names.get_mut(&(host.to_owned(), port));
        let Some(addresses) = name.and_then(|name| name.addresses.as_mut()) else {
            return;
        };
        match addresses.iter().position(|known| *known == address) {
            None | Some(0) => {}
            Some(at) => {
                let mut reordered = addresses.to_vec();
                reordered[..=at].rotate_right(1);
                *addresses = Arc::from(reordered);
            }
        }
    }

    fn expire(&self, host: &str, port: u16) {
        let mut names = self.names();
        if let Some(name) = names.get_mut(&(host.to_owned(), port)) {
            // A receiver that is down does not cause a look-up for each attempt.
            let soonest = name.looked_up.map(|ended| ended + FAILURE_TIME_TO_LIVE);
            name.fresh_until = name.fresh_until.min(soonest);
        }
    }

    fn still_has(self: &Arc<Self>, host: &str, port: u16, address: SocketAddr) -> bool {
        if literal(host).is_some() {
            return true;
        }
        let key = (host.to_owned(), port);
        let now = Instant::now();
        let mut names = self.names();
        let Some(name) = names.get_mut(&key) else {
            return true;
        };
        if !name.is_fresh(now) {
            self.look_up(&key, name, now);
        }
        let known = name.addresses.as_ref();
        known.is_none_or(|known| known.contains(&address))
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks a name up on a thread of its own, which ends with the look-up. Returns when that
    /// began; `None` if no thread could be started.
    fn look_up(
        self: &Arc<Self>,
        key: &(String, u16),
        name: &mut Name,
        now: Instant,
    ) -> Option<Instant> {
        if name.looking_since.is_some() {
            return name.looking_since;
        }
        let lookups = Arc::clone(self);
        let key = key.clone();
        let started = std::thread::Builder::new()
            .name("webhook-resolve".to_owned())
            .spawn(move || {
                let look_up = &lookups.settings.look_up;
                let found = catch_unwind(AssertUnwindSafe(|| look_up(&key.0, key.1)));
                let found =
                    found.unwrap_or_else(|_| Err(io::Error::other("the resolver panicked")));
                lookups.finish(key, found);
            });
        name.looking_since = started.ok().map(|_| now);
        name.looking_since
    }

    fn finish(&self, key: (String, u16), found: io::Result<Vec<SocketAddr>>) {
        let host = key.0.clone();
        let mut names = self.names();
        let name = names.entry(key).or_default();
        name.looking_since = None;
        let now = Instant::now();
        name.looked_up = Some(now);
        let failed_before = name.failure.take().is_some();
        let failure = match found {
            Ok(addresses) if !addresses.is_empty() => {
                name.addresses = Some(Arc::from(addresses));
                name.fresh_until = Some(now + self.settings.time_to_live);
                None
            }
            Ok(_) => Some((io::ErrorKind::NotFound, "no address".to_owned())),
            Err(error) => Some((error.kind(), error.to_string())),
        };
        if failure.is_some() {
            name.failure.clone_from(&failure);
            name.fresh_until = Some(now + FAILURE_TIME_TO_LIVE);
        }
        let outlived = name.addresses.is_some();
        drop(names);
        self.changed.notify_all();
        let host = &*host;
        match failure {
            // Without addresses, the attempts fail and are reported.
            Some((_, detail)) if outlived && !failed_before => {
                let detail = &*detail;
                let incident = Incident::NameNotResolved { host, detail };
                self.settings.observer.incident(&incident);
            }
            None if failed_before => {
                let incident = Incident::NameResolved { host };
                self.settings.observer.incident(&incident);
            }
            _ => {}
        }
    }
}

impl Name {
    fn is_fresh(&self, now: Instant) -> bool {
        self.fresh_until.is_some_and(|until| now < until)
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

    const PATIENCE: Duration = Duration::from_secs(60);

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Records incidents.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Observer for Recorder {
        fn incident(&self, incident: &Incident<'_>) {
            self.0.lock().unwrap().push(incident.to_string());
        }
    }

    /// A cache without time to live, whose look-ups return these results.
    fn expiring(mut results: Vec<io::Result<Vec<SocketAddr>>>) -> (Arc<Lookups>, Arc<Recorder>) {
        results.reverse();
        let results = Mutex::new(results);
        let recorder = Arc::new(Recorder::default());
        let lookups = Lookups::new(Settings {
            look_up: Arc::new(move |_, _| results.lock().unwrap().pop().unwrap()),
            time_to_live: Duration::ZERO,
            observer: Arc::clone(&recorder) as Arc<dyn Observer>,
        });
        (Arc::new(lookups), recorder)
    }

    fn resolve(lookups: &Arc<Lookups>, patience: Duration) -> io::Result<Arc<[SocketAddr]>> {
        // A failure is not repeated for a while.
        if let Some(name) = lookups.names().get_mut(&("some.host".to_owned(), 80)) {
            name.fresh_until = None;
        }
        lookups.resolve("some.host", 80, patience, &|| false)
    }

    #[test]
    fn an_expired_address_is_looked_up_before_it_is_used() {
        let (old, new) = (address("127.0.0.8:80"), address("127.0.0.9:80"));
        let away = || Err(io::Error::other("the name server is away"));
        let results = vec![Ok(vec![old]), Ok(vec![new]), away(), away(), Ok(vec![old])];
        let (lookups, recorder) = expiring(results);
        for expected in [old, new, new, new, old] {
            assert_eq!(&*resolve(&lookups, PATIENCE).unwrap(), &[expected]);
        }
        // They are reported after the answer is given.
        let ends = Instant::now() + PATIENCE;
        while recorder.0.lock().unwrap().len() < 2 {
            assert!(Instant::now() < ends);
            std::thread::yield_now();
        }
        assert_eq!(
            *recorder.0.lock().unwrap(),
            [
                "the host name some.host cannot be resolved: the name server is away; connections \
                 are made to its last known addresses",
                "the host name some.host can be resolved again",
            ]
        );
    }

    #[test]
    fn a_name_that_was_never_resolved_has_no_address() {
        let (lookups, recorder) = expiring(vec![Ok(Vec::new()), Err(io::Error::other("away"))]);
        let error = resolve(&lookups, PATIENCE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(resolve(&lookups, PATIENCE).unwrap_err().to_string(), "away");
        assert!(recorder.0.lock().unwrap().is_empty(), "the attempts fail");
    }

    #[test]
    fn a_look_up_that_hangs_holds_known_addresses_for_a_moment_only() {
        let (known, hung) = (address("127.0.0.8:80"), Duration::from_millis(10));
        let (go_on, may_go_on) = std::sync::mpsc::channel();
        let may_go_on = Mutex::new(may_go_on);
        let lookups = Arc::new(Lookups::new(Settings {
            look_up: Arc::new(move |_, _| may_go_on.lock().unwrap().recv().unwrap()),
            ..Settings::default()
        }));
        let error = resolve(&lookups, hung).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        go_on.send(Ok(vec![known])).unwrap();
        assert_eq!(&*resolve(&lookups, PATIENCE).unwrap(), &[known]);
        assert_eq!(&*resolve(&lookups, hung).unwrap(), &[known]);
        // The look-up under way has taken its time: nothing is waited for.
        let key = ("some.host".to_owned(), 80);
        let since = Instant::now() - EXPIRED_PATIENCE;
        lookups.names().get_mut(&key).unwrap().looking_since = Some(since);
        assert_eq!(&*resolve(&lookups, PATIENCE).unwrap(), &[known]);
        go_on.send(Ok(vec![known])).unwrap();
    }

    #[test]
    fn the_address_that_connected_is_first_until_the_next_look_up() {
        let all = ["127.0.0.1:80", "127.0.0.2:80", "127.0.0.3:80"].map(address);
        let (lookups, _) = expiring(vec![Ok(all.to_vec()), Ok(all.to_vec())]);
        assert_eq!(&*resolve(&lookups, PATIENCE).unwrap(), &all);
        lookups.prefer("some.host", 80, all[2]);
        lookups.prefer("some.host", 80, address("127.0.0.4:80"));
        let key = ("some.host".to_owned(), 80);
        let known = lookups.names()[&key].addresses.clone().unwrap();
        assert_eq!(&*known, &[all[2], all[0], all[1]]);
        assert_eq!(&*resolve(&lookups, PATIENCE).unwrap(), &all);
    }

    #[test]
    fn an_address_that_left_the_answer_is_noticed() {
        let (old, new) = (address("127.0.0.8:80"), address("127.0.0.9:80"));
        let (lookups, _) = expiring(vec![Ok(vec![old]), Ok(vec![new])]);
        assert!(lookups.still_has("some.host", 80, old), "nothing is known");
        assert!(lookups.still_has("127.0.0.1", 80, old), "a literal stays");
        resolve(&lookups, PATIENCE).unwrap();
        let ends = Instant::now() + PATIENCE;
        while lookups.still_has("some.host", 80, old) {
            assert!(Instant::now() < ends);
            std::thread::yield_now();
        }
    }
}
