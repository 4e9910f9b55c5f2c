use super::*;
use crate::delivery::AttemptResult;
use crate::http::transport::Stopper;
use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;
use webhook_config::{Format, TargetUrl};

/// A clock that is moved by hand.
struct Moved(Instant, Mutex<Duration>);

impl Moved {
    fn by(&self, time: Duration) {
        *self.1.lock().unwrap() += time;
    }
}

impl Clock for Moved {
    fn now(&self) -> Instant {
        self.0 + *self.1.lock().unwrap()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// A token endpoint: gives `0`, `1` and so on, each for 1,000 s, unless it is down.
#[derive(Default)]
struct Endpoint {
    asked: AtomicUsize,
    is_down: AtomicBool,
}

struct ToEndpoint(Arc<Endpoint>);

impl Transport for ToEndpoint {
    fn send(&mut self, request: Request<'_>) -> Result<Answer, TransportError> {
        let credentials = request.headers.get("authorization").unwrap();
        assert!(credentials.starts_with(b"Basic "));
        let number = self.0.asked.fetch_add(1, Ordering::SeqCst);
        if self.0.is_down.load(Ordering::SeqCst) {
            return Err(TransportError::new(TransportErrorKind::Connect, "refused"));
        }
        let body = format!(r#"{{"access_token":"{number}","expires_in":1000}}"#);
        Ok(answer(200, &body))
    }

    fn stopper(&self) -> Stopper {
        Box::new(|| {})
    }
}

/// A receiver: answers 401 to all tokens below a number, and notes each.
struct Receiver {
    valid_from: usize,
    seen: Vec<usize>,
}

impl Transport for Receiver {
    fn send(&mut self, request: Request<'_>) -> Result<Answer, TransportError> {
        let value = std::str::from_utf8(request.headers.get("authorization").unwrap()).unwrap();
        let number = value.strip_prefix("Bearer ").unwrap().parse().unwrap();
        self.seen.push(number);
        let status = if number < self.valid_from { 401 } else { 200 };
        Ok(answer(status, ""))
    }

    fn stopper(&self) -> Stopper {
        Box::new(|| {})
    }
}

/// Answers each request so.
struct Always(Answer);

impl Transport for Always {
    fn send(&mut self, _: Request<'_>) -> Result<Answer, TransportError> {
        Ok(self.0.clone())
    }

    fn stopper(&self) -> Stopper {
        Box::new(|| {})
    }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        retry_after: None,
        body: body.into(),
        complete: true,
    }
}

struct Fixture {
    tokens: AccessTokens,
    endpoint: Arc<Endpoint>,
    clock: Moved,
    receiver: Receiver,
}

impl Fixture {
    fn new() -> Fixture {
        let url = |url| TargetUrl::parse(url).unwrap();
        let oauth2 = OAuth2::new(url("http://login/"), "id", "secret").unwrap();
        let target = Target::builder(url("http://localhost/")).build().unwrap();
        Fixture {
            tokens: AccessTokens::new(&target, &oauth2, &SecretMask::default()).unwrap(),
            endpoint: Arc::default(),
            clock: Moved(Instant::now(), Mutex::default()),
            receiver: Receiver {
                valid_from: 0,
                seen: Vec::new(),
            },
        }
    }

    /// Makes an attempt; its status, and the numbers of the tokens it was sent with.
    fn attempt(&mut self) -> (Result<u16, TransportErrorKind>, Vec<usize>) {
        let endpoint = Arc::clone(&self.endpoint);
        let connect = |_: &Target| -> Result<Box<dyn Transport>, TransportError> {
            Ok(Box::new(ToEndpoint(Arc::clone(&endpoint))))
        };
        let mut lines = HeaderLines::new();
        let receiver = &mut self.receiver;
        let (result, _) = self
            .tokens
            .send(receiver, &mut lines, b"", &self.clock, &connect);
        let result = result.map(|answer| answer.status);
        let seen = std::mem::take(&mut self.receiver.seen);
        (result.map_err(|error| error.kind), seen)
    }

    fn asked(&self) -> usize {
        self.endpoint.asked.load(Ordering::SeqCst)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_token_is_renewed_a_minute_before_its_end() {
    let mut it = Fixture::new();
    assert_eq!(it.attempt(), (Ok(200), vec![0]));
    it.clock.by(939 * SECOND);
    assert_eq!(it.attempt(), (Ok(200), vec![0]));
    it.clock.by(SECOND);
    assert_eq!(it.attempt(), (Ok(200), vec![1]));
}

#[test]
fn a_token_is_used_to_its_end_if_it_cannot_be_renewed() {
    let mut it = Fixture::new();
    assert_eq!(it.attempt(), (Ok(200), vec![0]));
    it.endpoint.is_down.store(true, Ordering::SeqCst);
    it.clock.by(950 * SECOND);
    assert_eq!(it.attempt(), (Ok(200), vec![0]));
    assert_eq!(
        (it.attempt(), it.asked()),
        ((Ok(200), vec![0]), 2),
        "a pause"
    );
    it.clock.by(RENEWAL_PAUSE);
    assert_eq!((it.attempt(), it.asked()), ((Ok(200), vec![0]), 3));
    it.clock.by(50 * SECOND);
    let none = (Err(TransportErrorKind::Token), vec![]);
    assert_eq!((it.attempt(), it.asked()), (none, 4));
    it.endpoint.is_down.store(false, Ordering::SeqCst);
    assert_eq!(it.attempt(), (Ok(200), vec![4]));
}

#[test]
fn a_failure_has_the_retry_after_of_the_token_endpoint() {
    for (status, body, expected) in [
        (429, "", Some(&b"7"[..])),
        (503, "<html>", Some(b"7")),
        (200, "{}", None),
    ] {
        let it = Fixture::new();
        let connect = |_: &Target| -> Result<Box<dyn Transport>, TransportError> {
            Ok(Box::new(Always(Answer {
                retry_after: Some(b"7".to_vec()),
                ..answer(status, body)
            })))
        };
        let error = it.tokens.get(None, &it.clock, &connect).err().unwrap();
        assert_eq!(error.retry_after.as_deref(), expected, "{status}");
        let (format, mask) = (Format::default(), SecretMask::default());
        let result = AttemptResult::of(format, &mask, 1, &Err(error));
        assert_eq!(result.retry_after.as_deref(), expected, "{status}");
    }
}

#[test]
fn a_revoked_token_is_replaced_and_refused_ones_more_and_more_rarely() {
    let mut it = Fixture::new();
    assert_eq!(it.attempt(), (Ok(200), vec![0]));
    it.receiver.valid_from = 1;
    assert_eq!(it.attempt(), (Ok(200), vec![0, 1]), "revoked");
    it.receiver.valid_from = usize::MAX;
    assert_eq!(it.attempt(), (Ok(401), vec![1, 2]), "revoked");
    assert_eq!(it.attempt(), (Ok(401), vec![2, 3]), "never accepted");
    assert_eq!(it.attempt(), (Ok(401), vec![3]), "too early");
    it.clock.by(SECOND);
    assert_eq!(it.attempt(), (Ok(401), vec![3, 4]));
    it.clock.by(SECOND);
    assert_eq!(it.attempt(), (Ok(401), vec![4]), "too early");
    for _ in 0..10 {
        it.clock.by(MAX_REFUSED_PAUSE);
        let (status, seen) = it.attempt();
        assert_eq!((status, seen.len()), (Ok(401), 2));
    }
    it.receiver.valid_from = 0;
    let (status, seen) = it.attempt();
    assert_eq!((status, seen.len()), (Ok(200), 1));
    it.receiver.valid_from = seen[0] + 1;
    it.clock.by(MAX_REFUSED_PAUSE);
    assert_eq!(it.attempt(), (Ok(200), vec![seen[0], seen[0] + 1]));
    it.receiver.valid_from += 1;
    let (status, seen) = it.attempt();
    assert_eq!((status, seen.len()), (Ok(200), 2), "at once again");
}

#[test]
fn a_receiver_that_refuses_some_events_only_gets_new_tokens_as_rarely() {
    let mut it = Fixture::new();
    for _ in 0..100 {
        it.receiver.valid_from = 0;
        assert_eq!(it.attempt().0, Ok(200));
        it.receiver.valid_from = usize::MAX;
        assert_eq!(it.attempt().0, Ok(401));
        it.clock.by(SECOND / 10);
    }
    assert!(it.asked() <= 6, "{} tokens in 10 s", it.asked());
}

#[test]
fn senders_that_wait_get_the_token_or_the_error_of_the_one_that_asks() {
    for is_down in [false, true] {
        let it = Fixture::new();
        it.endpoint.is_down.store(is_down, Ordering::SeqCst);
        let (waiting, all_wait) = (AtomicUsize::new(0), 8);
        let connect = |_: &Target| -> Result<Box<dyn Transport>, TransportError> {
            // The others are on their way to the lock, if not at it.
            while waiting.load(Ordering::SeqCst) < all_wait {
                std::thread::yield_now();
            }
            Ok(Box::new(ToEndpoint(Arc::clone(&it.endpoint))))
        };
        let got: Vec<bool> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..all_wait)
                .map(|_| {
                    scope.spawn(|| {
                        waiting.fetch_add(1, Ordering::SeqCst);
                        it.tokens.get(None, &it.clock, &connect).is_ok()
                    })
                })
                .collect();
            senders.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(got.iter().all(|got| *got != is_down));
        // After an error, a sender that came late asks again.
        assert!(is_down || it.asked() == 1, "{}", it.asked());
    }
}

#[test]
fn the_response_of_a_token_endpoint_is_read_leniently_and_its_fault_is_named() {
    let tokens = Fixture::new().tokens;
    let read = |status, complete, body| {
        let answer = Answer {
            complete,
            ..answer(status, body)
        };
        tokens.read(&answer, Instant::now()).map(|_| ())
    };
    let odd = r#"{"access_token":"a","error":0,"error_description":[]}"#;
    assert_eq!(read(200, true, odd), Ok(()));
    let why = |status, complete, body| read(status, complete, body).unwrap_err();
    assert_eq!(why(400, true, r#"{"error":7}"#), ": 7");
    let told = why(400, true, r#"{"error":"e","error_description":{"a":1}}"#);
    assert_eq!(told, r#": e: {"a":1}"#);
    let cut = ", but the response was cut off or is longer than 64 KiB";
    assert_eq!(why(200, false, "{}"), cut);
    let other = ", but no JSON object with the members of a token";
    assert_eq!(why(200, true, "<html>"), other);
}
