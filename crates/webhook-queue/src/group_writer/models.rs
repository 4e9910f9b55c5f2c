//! Models of a writer and its callers: loom runs each in every order of the threads' steps, up to a
//! number of preemptions. They run by `cargo xtask models`. No time passes in them, so that a wait
//! that nothing ends is found as a deadlock.

use super::*;
use crate::{EntryId, EventId, MemoryQueue, Settled, SlotGuard};
use loom::model::Builder;
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::time::Duration;

/// A time-out that does not come.
const LONG: Duration = Duration::from_secs(3600);
/// The size of a queue that has room for one event of [`event`], and not for two.
const ROOM_FOR_ONE: u64 = 300;

/// Runs a model in all orders with at most so many preemptions.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn event(number: u8) -> Event {
    Event {
        id: EventId([number; 16]),
        key: Arc::from([number]),
        body: Arc::from([number; 100]),
        accepted_at: 0,
        targets: Arc::from(["t".into()]),
        attributes: Arc::default(),
        idempotency_key: None,
        last_state: None,
    }
}

fn delivered(entry: u64) -> Settlement {
    Settlement {
        target: "t".into(),
        entry: EntryId(entry),
        outcome: Settled::Delivered,
        guard: SlotGuard::SOLE,
    }
}

/// What a writer did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Done {
    /// The tickets of the events that were stored, in the order of their answers.
    stored: Vec<u8>,
    /// Those of the events that were not.
    refused: Vec<u8>,
    /// The settled entries.
    settled: Vec<u64>,
}

/// A writer of a queue in memory.
struct Setup {
    writer: GroupWriter<u8>,
    done: Arc<(Mutex<Done>, Condvar)>,
}

impl Setup {
    fn new(max_bytes: u64, limits: Limits) -> Setup {
        let queue = Arc::new(MemoryQueue::new(max_bytes));
        let done = Arc::<(Mutex<Done>, Condvar)>::default();
        let (all, changed) = (done.clone(), done.clone());
        let on_commit = move |committed: Committed<u8>| {
            let mut done = all.0.lock().unwrap();
            for appended in committed.appended {
                match appended.result {
                    Ok(_) => done.stored.push(appended.ticket),
                    Err(_) => done.refused.push(appended.ticket),
                }
            }
            let settled = committed.settled.iter().map(|it| it.entry.0);
            done.settled.extend(settled);
            drop(done);
            changed.1.notify_all();
        };
        let writer = GroupWriter::start(queue, limits, on_commit).unwrap();
        Setup { writer, done }
    }

    fn wait_until(&self, holds: impl Fn(&Done) -> bool) {
        let mut done = self.done.0.lock().unwrap();
        while !holds(&done) {
            done = self.done.1.wait(done).unwrap();
        }
    }

    /// Ends the writer.
    fn end(self) -> Done {
        self.writer.shutdown().unwrap();
        self.done.0.lock().unwrap().clone()
    }
}

#[test]
fn each_event_is_answered_once_in_its_order_also_if_its_caller_waits_for_room() {
    check(2, || {
        let limits = Limits {
            waiting_events: 1,
            ..Limits::default()
        };
        let setup = Setup::new(1 << 20, limits);
        let writer = setup.writer.handle();
        let caller = thread::spawn(move || {
            for number in [1, 2] {
                let deadline = sync::now() + LONG;
                writer
                    .append(event(number), number, Some(deadline))
                    .unwrap();
            }
            writer.settle(delivered(1));
        });
        let deadline = sync::now() + LONG;
        setup.writer.append(event(0), 0, Some(deadline)).unwrap();
        caller.join().unwrap();
        let mut done = setup.end();
        let at = |ticket| done.stored.iter().position(|it| *it == ticket);
        assert!(at(1) < at(2));
        done.stored.sort_unstable();
        assert_eq!(
            (done.stored, done.refused, done.settled),
            (vec![0, 1, 2], vec![], vec![1])
        );
    });
}

#[test]
fn what_is_taken_while_the_writer_is_shut_down_is_written() {
    check(3, || {
        let setup = Setup::new(1 << 20, Limits::default());
        let writer = setup.writer.handle();
        let caller = thread::spawn(move || {
            let taken = [1, 2].map(|number| writer.append(event(number), number, None).is_ok());
            assert!(
                taken[0] >= taken[1],
                "it takes nothing once it is shut down"
            );
            taken
        });
        let done = setup.end();
        let taken = caller.join().unwrap();
        let count = taken.iter().filter(|taken| **taken).count();
        assert_eq!(
            (done.stored, done.refused),
            ([1, 2][..count].to_vec(), vec![])
        );
    });
}

#[test]
fn settlements_that_wait_for_others_are_written_once_they_are_asked_for() {
    check(3, || {
        let limits = Limits {
            settle_within: LONG,
            ..Limits::default()
        };
        let setup = Setup::new(1 << 20, limits);
        let writer = setup.writer.handle();
        let caller = thread::spawn(move || {
            writer.settle(delivered(1));
            writer.flush();
        });
        // It is not shut down before: that would write them, too.
        setup.wait_until(|done| !done.settled.is_empty());
        caller.join().unwrap();
        assert_eq!(setup.end().settled, [1]);
    });
}

#[test]
fn an_event_without_room_is_stored_once_a_settlement_makes_room() {
    check(3, || {
        // Settlements do not wait for others while an event waits for room.
        let limits = Limits {
            settle_within: LONG,
            ..Limits::default()
        };
        let setup = Setup::new(ROOM_FOR_ONE, limits);
        let writer = setup.writer.handle();
        let caller = thread::spawn(move || {
            for number in [1, 2] {
                let deadline = sync::now() + LONG;
                writer
                    .append(event(number), number, Some(deadline))
                    .unwrap();
            }
        });
        setup.wait_until(|done| !done.stored.is_empty());
        setup.writer.settle(delivered(1));
        setup.wait_until(|done| done.stored.len() == 2);
        caller.join().unwrap();
        let done = setup.end();
        assert_eq!(
            (done.stored, done.refused, done.settled),
            (vec![1, 2], vec![], vec![1])
        );
    });
}

#[test]
fn an_event_that_does_not_wait_for_room_is_refused_once_and_holds_up_no_settlement() {
    check(3, || {
        let setup = Setup::new(ROOM_FOR_ONE, Limits::default());
        let writer = setup.writer.handle();
        let caller = thread::spawn(move || writer.append(event(1), 1, None).unwrap());
        // Without a deadline, it does not wait.
        setup.writer.append(event(2), 2, None).unwrap();
        setup.wait_until(|done| done.stored.len() + done.refused.len() == 2);
        setup.writer.settle(delivered(1));
        setup.wait_until(|done| !done.settled.is_empty());
        caller.join().unwrap();
        let done = setup.end();
        assert_eq!((done.stored.len(), done.refused.len()), (1, 1));
        assert_ne!(done.stored, done.refused);
    });
}
