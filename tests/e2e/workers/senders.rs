//! A scheduler that sends each event until it is accepted.

use super::JSON;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use testkit::{Client, DEADLINE, event};

/// Threads that send events of their tasks, in turns, each event under an idempotency key until it
/// is accepted. Consecutive events go to the workers in turn.
pub(crate) struct Senders {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<BTreeMap<String, usize>>>,
}

struct Shared {
    urls: Mutex<Vec<String>>,
    stop: AtomicBool,
    accepted: AtomicUsize,
    /// Requests that were answered otherwise than by 200, or not at all.
    refused: AtomicUsize,
}

impl Senders {
    /// Starts threads, which have so many tasks each.
    pub(crate) fn start(urls: &[&str], threads: usize, tasks: usize) -> Senders {
        let shared = Arc::new(Shared {
            urls: Mutex::new(urls.iter().map(|it| (*it).to_owned()).collect()),
            stop: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let threads = (0..threads).map(|thread| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.send(thread, tasks))
        });
        Senders {
            threads: threads.collect(),
            shared,
        }
    }

    /// Sends to these workers from now on.
    pub(crate) fn send_to(&self, urls: &[&str]) {
        *self.shared.urls() = urls.iter().map(|it| (*it).to_owned()).collect();
    }

    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Waits until so many more events are accepted.
    pub(crate) fn wait_for(&self, more: usize) {
        let wanted = self.accepted() + more;
        let deadline = Instant::now() + DEADLINE;
        while self.accepted() < wanted {
            let (accepted, refused) = (self.accepted(), self.refused());
            assert!(
                Instant::now() < deadline,
                "{accepted} of {wanted} events are accepted, {refused} refusals"
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Ends once the events under way are accepted; how many were, by task.
    pub(crate) fn stop(self) -> BTreeMap<String, usize> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let threads = self.threads.into_iter();
        let accepted = threads.flat_map(|it| it.join().expect("a sender does not panic"));
        accepted.filter(|(_, count)| *count > 0).collect()
    }
}

impl Shared {
    fn urls(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, thread: usize, tasks: usize) -> BTreeMap<String, usize> {
        let mut accepted = BTreeMap::new();
        let mut clients: BTreeMap<String, Client> = BTreeMap::new();
        for turn in 0.. {
            let task = format!("task-{thread}-{}", turn % tasks);
            let number = turn / tasks;
            // A key that is sent once before the end is sent until it is accepted.
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let deadline = Instant::now() + DEADLINE;
            for attempt in 0.. {
                if self.post(&mut clients, &task, number, turn + attempt) {
                    break;
                }
                self.refused.fetch_add(1, Ordering::SeqCst);
                assert!(
                    Instant::now() < deadline,
                    "{task} {number} is not accepted by any worker"
                );
                std::thread::park_timeout(Duration::from_millis(20));
            }
            self.accepted.fetch_add(1, Ordering::SeqCst);
            accepted.insert(task, number + 1);
        }
        accepted
    }

    fn post(
        &self,
        clients: &mut BTreeMap<String, Client>,
        task: &str,
        number: usize,
        turn: usize,
    ) -> bool {
        let url = {
            let urls = self.urls();
            urls[turn % urls.len()].clone()
        };
        let mut client = match clients.remove(&url) {
            Some(client) => client,
            None => match Client::connect(&url) {
                Ok(client) => client,
                Err(_) => return false,
            },
        };
        let key = format!("Idempotency-Key: {task}-{number}");
        let Ok(answer) = client.post(&[JSON, &key], event(task, number)) else {
            return false;
        };
        if answer.header("connection") != Some("close") {
            clients.insert(url, client);
        }
        if !matches!(answer.status, 200 | 503 | 504) {
            panic!("{task} {number}: {answer:?}");
        }
        answer.status == 200
    }
}
