//! Clients that post events to the workers: a task's next event follows once the one before is
//! acknowledged, by whichever worker.

use crate::history::{Ack, RunNumber, parse_id};
use crate::targets::TARGETS;
use fastrand::Rng;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use testkit::{Answer, Client};

/// Clients at once. Each has the tasks of its own.
const CLIENTS: usize = 24;
/// How long a client waits for an answer before it asks another worker.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a client waits after a refusal.
const PAUSE: Duration = Duration::from_millis(10);

/// An event to post.
#[derive(Debug)]
pub(crate) struct Posting {
    /// Its place in the history.
    pub(crate) event: usize,
    pub(crate) body: Arc<[u8]>,
    /// With a key, a worker that gets it again recognises it.
    pub(crate) idempotency_key: Option<String>,
}

/// What became of an event.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) ack: Ack,
    /// How often it may have been accepted, under ids of their own.
    pub(crate) times: u32,
    /// Whether a worker said that it had been accepted before.
    pub(crate) duplicate: bool,
}

/// The clients.
#[derive(Debug)]
pub(crate) struct Clients {
    shared: Arc<Shared>,
    threads: Vec<(Sender<Posting>, JoinHandle<()>)>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Where each worker takes events; `None` while it is known to be away.
    urls: Mutex<Vec<Option<String>>>,
    run: AtomicU16,
    ends: AtomicBool,
    posted: Mutex<Results>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Results {
    posted: Vec<Posted>,
    problems: Vec<String>,
}

/// Locks what no panic can leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clients {
    /// Starts them; there are no workers yet.
    pub(crate) fn start(workers: usize, seed: u64) -> Clients {
        let shared = Arc::new(Shared {
            urls: Mutex::new(vec![None; workers]),
            ..Shared::default()
        });
        let thread = |number: usize| {
            let (sender, postings) = channel();
            let mut client = OneClient {
                shared: Arc::clone(&shared),
                connections: HashMap::new(),
                random: Rng::with_seed(seed.wrapping_add(number as u64)),
            };
            (sender, std::thread::spawn(move || client.run(&postings)))
        };
        Clients {
            threads: (0..CLIENTS).map(thread).collect(),
            shared,
        }
    }

    /// Says where a worker takes events.
    pub(crate) fn set_url(&self, worker: usize, url: Option<String>) {
        lock(&self.shared.urls)[worker] = url;
    }

    /// Sets the run that acknowledgements count for.
    pub(crate) fn set_run(&self, run: RunNumber) {
        self.shared.run.store(run, Ordering::SeqCst);
    }

    /// Posts an event after those of its task.
    pub(crate) fn post(&self, task: u32, posting: Posting) {
        let (sender, _) = &self.threads[task as usize % CLIENTS];
        // A client that has panicked leaves its events without an acknowledgement.
        drop(sender.send(posting));
    }

    /// Waits until so many events are acknowledged since the last [`take`](Clients::take), or the
    /// time is over; whether they are.
    pub(crate) fn wait_for(&self, count: usize, longest: Duration) -> bool {
        let waits = |results: &mut Results| results.posted.len() < count;
        let posted = lock(&self.shared.posted);
        let waited = self
            .shared
            .changed
            .wait_timeout_while(posted, longest, waits);
        let (results, _) = waited.unwrap_or_else(PoisonError::into_inner);
        results.posted.len() >= count
    }

    /// What was acknowledged since the last call, in an order that each task's events have, and
    /// answers that are no acknowledgements.
    pub(crate) fn take(&self) -> (Vec<Posted>, Vec<String>) {
        let results = std::mem::take(&mut *lock(&self.shared.posted));
        (results.posted, results.problems)
    }

    /// Ends the clients, whatever they have still to post.
    pub(crate) fn end(self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        for (sender, thread) in self.threads {
            drop(sender);
            drop(thread.join());
        }
    }
}

struct OneClient {
    shared: Arc<Shared>,
    /// Of each worker.
    connections: HashMap<String, Client>,
    random: Rng,
}

/// What a worker answered.
enum Said {
    Accepted(Posted),
    /// Not accepted for certain, or perhaps.
    Refused,
    Unknown,
    Wrong(String),
}

impl OneClient {
    fn run(&mut self, postings: &Receiver<Posting>) {
        for posting in postings {
            let Some(result) = self.post(&posting) else {
                return;
            };
            let mut results = lock(&self.shared.posted);
            match result {
                Ok(posted) => results.posted.push(posted),
                Err(problem) => results.problems.push(problem),
            }
            drop(results);
            self.shared.changed.notify_all();
        }
    }

    /// Posts an event until it is acknowledged; `None` if the clients end before.
    fn post(&mut self, posting: &Posting) -> Option<Result<Posted, String>> {
        let mut unknown = 0;
        while !self.shared.ends.load(Ordering::SeqCst) {
            let said = match self.url() {
                Some(url) => self.ask(&url, posting),
                None => Said::Refused,
            };
            match said {
                Said::Accepted(mut posted) => {
                    posted.times = match posting.idempotency_key {
                        Some(_) => 1,
                        None => unknown + 1,
                    };
                    return Some(Ok(posted));
                }
                Said::Wrong(problem) => return Some(Err(problem)),
                Said::Refused => std::thread::park_timeout(PAUSE),
                Said::Unknown => unknown += 1,
            }
        }
        None
    }

    /// Where one of the workers is.
    fn url(&mut self) -> Option<String> {
        let urls = lock(&self.shared.urls);
        let known: Vec<&String> = urls.iter().flatten().collect();
        let chosen = known.get(self.random.usize(..known.len().max(1)))?;
        Some((*chosen).clone())
    }

    fn ask(&mut self, url: &str, posting: &Posting) -> Said {
        let client = match self.connections.remove(url) {
            Some(client) => client,
            None => match Client::connect(url).and_then(|client| client.limiting(ANSWER)) {
                Ok(client) => client,
                // Nothing was sent.
                Err(_) => return Said::Refused,
            },
        };
        let mut client = client;
        let key = posting.idempotency_key.as_ref();
        let key = key.map(|key| format!("Idempotency-Key: {key}"));
        let mut headers = vec!["Content-Type: application/json"];
        headers.extend(key.as_deref());
        let Ok(answer) = client.post(&headers, &posting.body) else {
            return Said::Unknown;
        };
        let closes = answer
            .header("Connection")
            .is_some_and(|it| it.eq_ignore_ascii_case("close"));
        if !closes {
            self.connections.insert(url.to_owned(), client);
        }
        match answer.status {
            200 => {
                let run = self.shared.run.load(Ordering::SeqCst);
                let posted = posted(&answer, posting.event, run);
                posted.map_or_else(|| Said::Wrong(wrong(&answer)), Said::Accepted)
            }
            503 => Said::Refused,
            504 => Said::Unknown,
            _ => Said::Wrong(wrong(&answer)),
        }
    }
}

fn wrong(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    format!(
        "an event was answered with {}: {}",
        answer.status,
        body.trim()
    )
}

fn posted(answer: &Answer, event: usize, run: RunNumber) -> Option<Posted> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let mut over_quota = 0;
    for name in body["overQuota"].as_array().into_iter().flatten() {
        over_quota |= 1 << TARGETS.iter().position(|target| name == target.name)?;
    }
    Some(Posted {
        ack: Ack {
            event,
            id: parse_id(body["id"].as_str()?)?,
            run,
            at: Instant::now(),
            over_quota,
        },
        times: 1,
        duplicate: body["duplicate"] == true,
    })
}
