//! Receivers that count what arrives: threads of this process.

use super::arrivals::Arrivals;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use testkit::load::Load;
use testkit::{Port, Server};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// What a receiver does with an event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behaviour {
    /// Answers 200.
    Accepts,
    /// Answers 503 to this task, without counting its events, and 200 to the others.
    FailsTask(u32),
    /// Reads, and never answers.
    NeverAnswers,
}

/// Counts what arrives.
#[derive(Debug)]
pub(super) struct Counter {
    load: Arc<Load>,
    state: Mutex<State>,
    reached: Condvar,
}

#[derive(Debug)]
struct State {
    arrivals: Arrivals,
    /// First arrivals that are waited for.
    goal: u64,
}

impl Counter {
    pub(super) fn new(load: &Arc<Load>, expected: u64) -> Arc<Counter> {
        Arc::new(Counter {
            load: Arc::clone(load),
            state: Mutex::new(State {
                arrivals: Arrivals::expecting(expected),
                goal: u64::MAX,
            }),
            reached: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a body.
    pub(super) fn note(&self, body: &[u8]) {
        let (label, now) = (self.load.read(body), Instant::now());
        let mut state = self.state();
        state.arrivals.note(label, now);
        if state.arrivals.first == state.goal {
            self.reached.notify_all();
        }
    }

    /// What has arrived so far.
    pub(super) fn arrivals<T>(&self, look: impl FnOnce(&mut Arrivals) -> T) -> T {
        look(&mut self.state().arrivals)
    }

    /// Waits until so many events have arrived; false if they have not at the deadline.
    pub(super) fn wait_for(&self, first: u64, longest: Duration) -> bool {
        let mut state = self.state();
        state.goal = first;
        let waited = self
            .reached
            .wait_timeout_while(state, longest, |state| state.arrivals.first < first);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.arrivals.first >= first
    }

    /// Listens on a port, and counts.
    pub(super) fn listen(self: &Arc<Counter>, port: Port, behaviour: Behaviour) -> Server {
        let counter = Arc::clone(self);
        port.listen(move |connection| {
            while let Some(request) = connection.request() {
                let fails = |task| {
                    let label = counter.load.read(request.body);
                    label.is_some_and(|label| label.task == task)
                };
                let answer = match behaviour {
                    Behaviour::NeverAnswers => continue,
                    Behaviour::FailsTask(task) if fails(task) => UNAVAILABLE,
                    Behaviour::FailsTask(_) | Behaviour::Accepts => {
                        counter.note(request.body);
                        OK
                    }
                };
                if !connection.write(answer) {
                    return;
                }
            }
        })
    }
}
