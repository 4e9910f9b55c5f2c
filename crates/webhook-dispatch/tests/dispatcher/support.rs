//! A receiver in this process, and a dispatcher that delivers to it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use webhook_config::{
    BreakerPolicy, Config, RetryPolicy, Target, TargetBuilder, TargetName, TargetUrl,
};
use webhook_dispatch::retry::Next;
use webhook_dispatch::{
    Answer, Connector, Dispatcher, DispatcherBuilder, Incident, Observer, Request, Retry, Stopper,
    SubmitError, Submitter, Transport, TransportError, TransportErrorKind,
};
use webhook_queue::Queue;

/// The deadline of every wait: a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A request as a receiver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) target: String,
    pub(crate) id: String,
    pub(crate) attempt: u32,
    pub(crate) url: String,
    pub(crate) body: String,
}

impl Received {
    /// The task of an event that [`event`] made.
    pub(crate) fn task(&self) -> &str {
        self.body.split('"').nth(7).unwrap()
    }

    /// The number of an event that [`event`] made.
    pub(crate) fn number(&self) -> u32 {
        let (_, number) = self.body.rsplit_once(':').unwrap();
        number.trim_end_matches('}').parse().unwrap()
    }
}

/// The path of a target whose settings cannot be used.
pub(crate) const UNUSABLE: &str = "/unusable";

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// 429, with this `Retry-After`.
    Later(&'static str),
    /// The transport reports a stale connection.
    Stale,
    /// No answer until the dispatcher stops the transport.
    Hang,
    Panic,
}

type Handler = dyn Fn(&Received) -> Reply + Send + Sync;

/// Answers requests by a rule, and records them.
pub(crate) struct Receiver {
    handler: Box<Handler>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    /// All requests.
    pub(crate) requests: Vec<Received>,
    /// The requests answered with a 2xx.
    pub(crate) delivered: Vec<Received>,
}

impl Receiver {
    pub(crate) fn new(
        handler: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Arc<Receiver> {
        Arc::new(Receiver {
            handler: Box::new(handler),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn look<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.state.lock().unwrap())
    }

    /// Waits until `done` holds; `what` names it in the failure.
    pub(crate) fn wait(&self, what: &str, done: impl Fn(&State) -> bool) {
        let state = self.state.lock().unwrap();
        let (state, waited) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !done(state))
            .unwrap();
        assert!(
            !waited.timed_out(),
            "{what}: not in time; {:#?}",
            state.requests
        );
    }

    /// The numbers of the delivered events, by target and task, in order of arrival.
    pub(crate) fn arrivals(&self) -> HashMap<(String, String), Vec<u32>> {
        let mut arrivals: HashMap<_, Vec<u32>> = HashMap::new();
        self.look(|state| {
            for received in &state.delivered {
                arrivals
                    .entry((received.target.clone(), received.task().to_owned()))
                    .or_default()
                    .push(received.number());
            }
        });
        arrivals
    }
}

/// Connects every target to one [`Receiver`].
pub(crate) struct InProcess(pub(crate) Arc<Receiver>);

struct InProcessTransport {
    target: String,
    url: String,
    receiver: Arc<Receiver>,
    stopped: Arc<(Mutex<bool>, Condvar)>,
}

impl Connector for InProcess {
    fn transport(&self, target: &Target) -> Result<Box<dyn Transport>, TransportError> {
        if target.url().as_uri().path() == UNUSABLE {
            return Err(TransportError::new(
                TransportErrorKind::Connect,
                "its certificates cannot be used",
            ));
        }
        Ok(Box::new(InProcessTransport {
            target: target.name().to_string(),
            url: target.url().as_uri().to_string(),
            receiver: Arc::clone(&self.0),
            stopped: Arc::default(),
        }))
    }
}

impl Transport for InProcessTransport {
    fn send(&mut self, request: Request<'_>) -> Result<Answer, TransportError> {
        let header = |name: &str| {
            let value = request.headers.get(name).unwrap();
            String::from_utf8(value.to_vec()).unwrap()
        };
        let received = Received {
            target: self.target.clone(),
            url: self.url.clone(),
            id: header("webhook-id"),
            attempt: header("webhook-attempt").parse().unwrap(),
            body: String::from_utf8(request.body.to_vec()).unwrap(),
        };
        let reply = (self.receiver.handler)(&received);
        {
            let mut state = self.receiver.state.lock().unwrap();
            state.requests.push(received.clone());
            if matches!(reply, Reply::Status(200..=299)) {
                state.delivered.push(received);
            }
        }
        self.receiver.changed.notify_all();
        let answer = |status, retry_after: Option<&str>| {
            Ok(Answer {
                status,
                retry_after: retry_after.map(|value| value.as_bytes().to_vec()),
                body: b"response".to_vec(),
                complete: true,
            })
        };
        match reply {
            Reply::Status(status) => answer(status, None),
            Reply::Later(when) => answer(429, Some(when)),
            Reply::Stale => Err(TransportError::new(TransportErrorKind::Stale, "stale")),
            Reply::Panic => panic!("a transport that panics"),
            Reply::Hang => {
                let (stopped, changed) = &*self.stopped;
                let stopped = stopped.lock().unwrap();
                let (_stopped, waited) = changed
                    .wait_timeout_while(stopped, PATIENCE, |stopped| !*stopped)
                    .unwrap();
                assert!(!waited.timed_out(), "the transport was not stopped");
                Err(TransportError::new(TransportErrorKind::Stopped, "stopped"))
            }
        }
    }

    fn stopper(&self) -> Stopper {
        let stopped = Arc::clone(&self.stopped);
        Box::new(move || {
            *stopped.0.lock().unwrap() = true;
            stopped.1.notify_all();
        })
    }
}

/// Retries at once, up to this many attempts; an opened breaker stays open for this long.
pub(crate) struct AtOnce {
    pub(crate) attempts: u32,
    pub(crate) breaker: Duration,
}

impl Default for AtOnce {
    fn default() -> AtOnce {
        AtOnce {
            attempts: u32::MAX,
            breaker: Duration::from_millis(1),
        }
    }
}

impl Retry for AtOnce {
    fn next(
        &self,
        _: &RetryPolicy,
        attempts: u32,
        _: Duration,
        retry_after: Option<Duration>,
    ) -> Next {
        if attempts >= self.attempts {
            Next::AttemptsExhausted
        } else {
            Next::After(retry_after.unwrap_or(Duration::from_millis(1)))
        }
    }

    fn breaker(&self, _: &RetryPolicy, _: &BreakerPolicy, _: u32) -> Duration {
        self.breaker
    }
}

/// Records incidents.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    pub(crate) fn incidents(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Recorder {
    fn incident(&self, incident: &Incident<'_>) {
        self.0.lock().unwrap().push(incident.to_string());
    }
}

pub(crate) fn target(name: &str) -> TargetBuilder {
    target_at(name, "/")
}

/// A target with this path in its URL.
pub(crate) fn target_at(name: &str, path: &str) -> TargetBuilder {
    let url = format!("http://localhost:1{path}");
    Target::builder(TargetUrl::parse(&url).unwrap())
        .name(name.parse::<TargetName>().unwrap())
        .concurrency(NonZeroUsize::new(4).unwrap())
}

pub(crate) fn config(targets: impl IntoIterator<Item = TargetBuilder>) -> Config {
    let mut config = Config::builder();
    for target in targets {
        config = config.target(target.build().unwrap());
    }
    config.build().unwrap()
}

/// A dispatcher that stores events in `queue`, sends them to `receiver` and retries at once.
pub(crate) fn dispatcher(
    config: Config,
    queue: &Arc<dyn Queue>,
    receiver: &Arc<Receiver>,
) -> DispatcherBuilder {
    Dispatcher::builder(config)
        .queue(Arc::clone(queue))
        .connector(Arc::new(InProcess(Arc::clone(receiver))))
        .retry(Arc::new(AtOnce::default()))
}

pub(crate) fn event(task: &str, number: u32) -> Vec<u8> {
    format!(r#"{{"task":{{"assignedTask":{{"taskId":"{task}"}}}},"number":{number}}}"#).into_bytes()
}

pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Submits an event. Returns its id as receivers see it.
pub(crate) fn submit(submitter: &Submitter, task: &str, number: u32) -> String {
    let receipt = submitter
        .submit(event(task, number), soon())
        .unwrap_or_else(|error: SubmitError| panic!("{error}"));
    receipt.id.to_string()
}
