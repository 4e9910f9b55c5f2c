//! Dispatchers of several processes on one queue.

use crate::shared_queue::{SLOTS, SharedQueue};
use crate::support::*;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use webhook_dispatch::{Dispatcher, Incident, Observer, Refusal};
use webhook_queue::Queue;

const TASKS: [&str; 8] = ["t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"];

fn start(queue: &Arc<dyn Queue>, receiver: &Arc<Receiver>) -> Dispatcher {
    let targets = [target("a"), target("b")];
    dispatcher(config(targets), queue, receiver)
        .start()
        .unwrap()
}

fn drains(dispatcher: &Dispatcher) -> bool {
    dispatcher.drain(Some(PATIENCE), &AtomicBool::new(false))
}

/// Accepts this many events of each task by two dispatchers in turn, and calls `meanwhile` again and
/// again until all were delivered.
fn run(processes: &[Dispatcher; 2], events: u32, meanwhile: impl Fn(u32) + Sync) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in 0.. {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                meanwhile(step);
            }
        });
        for number in 0..events {
            for (at, task) in TASKS.iter().enumerate() {
                let process = &processes[(number as usize + at) % 2];
                submit(&process.submitter(), task, number);
            }
        }
        let drained = processes.iter().all(drains);
        ended.store(true, Ordering::SeqCst);
        assert!(drained);
    });
}

#[test]
fn each_event_arrives_once_and_in_order_while_slots_are_given_to_and_fro() {
    let (queue, views) = SharedQueue::pair();
    // The second attempt goes to the same process, or to the next owner.
    let receiver = Receiver::new(|received| match (received.number() % 7, received.attempt) {
        (0, 1) => Reply::Status(503),
        _ => Reply::Status(200),
    });
    let processes = [start(&views[0], &receiver), start(&views[1], &receiver)];
    run(&processes, 100, |step| {
        let slot = u16::try_from(step % u32::from(SLOTS)).unwrap();
        queue.give(slot, (step / u32::from(SLOTS) % 2) as usize);
    });
    let arrivals = receiver.arrivals();
    assert_eq!(arrivals.len(), 2 * TASKS.len());
    for (of, numbers) in arrivals {
        assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "{of:?}");
    }
    for process in processes {
        assert!(process.shutdown(PATIENCE).drained);
    }
}

#[test]
fn lost_leases_repeat_events_but_lose_none_and_keep_their_order() {
    let (queue, views) = SharedQueue::pair();
    let receiver = Receiver::new(|received| match received.number() % 5 {
        0 if received.attempt == 1 => Reply::Status(503),
        _ => Reply::Status(200),
    });
    let processes = [start(&views[0], &receiver), start(&views[1], &receiver)];
    run(&processes, 100, |step| {
        // To the other, or to itself, as when the storage was away for too long.
        let from = (step % 2) as usize;
        queue.lose(from, [1, 0, 0][step as usize % 3]);
        // The owner delivers something before it loses the slots again, however busy the machine is.
        let delivered = receiver.look(|state| state.delivered.len());
        let until = Instant::now() + Duration::from_secs(2);
        while receiver.look(|state| state.delivered.len()) == delivered && Instant::now() < until {
            std::thread::yield_now();
        }
    });
    for (of, numbers) in receiver.arrivals() {
        let mut seen = HashSet::new();
        let first = numbers.into_iter().filter(|number| seen.insert(*number));
        assert!(first.eq(0..100), "{of:?}: each first arrival is in order");
    }
    for process in processes {
        assert!(process.shutdown(PATIENCE).drained);
    }
}

/// A receiver that reports each request, and answers it when it is told to.
fn on_demand() -> (Arc<Receiver>, mpsc::Receiver<u32>, mpsc::Sender<Reply>) {
    let (reports, reported) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    let answers = std::sync::Mutex::new(answers);
    let receiver = Receiver::new(move |received| {
        reports.send(received.number()).unwrap();
        let answers = answers.lock().unwrap();
        answers.recv_timeout(PATIENCE).unwrap()
    });
    (receiver, reported, answer)
}

#[test]
fn an_outcome_under_a_claim_that_has_ended_has_no_effect() {
    let (queue, views) = SharedQueue::pair();
    let (receiver, requests, answer) = on_demand();
    let process = dispatcher(config([target("a")]), &views[0], &receiver)
        .start()
        .unwrap();
    submit(&process.submitter(), "t", 0);
    submit(&process.submitter(), "t", 1);
    assert_eq!(requests.recv_timeout(PATIENCE), Ok(0));
    queue.lose(0, 0);
    answer.send(Reply::Status(200)).unwrap();
    // The process delivers it again under its next claim.
    for expected in [0, 1] {
        assert_eq!(requests.recv_timeout(PATIENCE), Ok(expected));
        answer.send(Reply::Status(200)).unwrap();
    }
    assert!(drains(&process));
    assert_eq!(process.monitor().writer().unwrap().fenced, 1);
    let report = process.shutdown(PATIENCE);
    assert!(report.drained);
    assert_eq!(report.stats.targets[0].pending, 0);
}

#[test]
fn a_shutdown_ends_what_is_under_way_and_leaves_the_rest_to_the_others() {
    // More than are delivered before the first is told to end.
    const EVENTS: u32 = 1_000;
    let (_, views) = SharedQueue::pair();
    let (receiver, requests, answer) = on_demand();
    let first = dispatcher(config([target("a")]), &views[0], &receiver)
        .start()
        .unwrap();
    for number in 0..EVENTS {
        submit(&first.submitter(), "t", number);
    }
    assert_eq!(requests.recv_timeout(PATIENCE), Ok(0));
    let others = Receiver::new(|_| Reply::Status(200));
    let second = dispatcher(config([target("a")]), &views[1], &others)
        .start()
        .unwrap();
    let report = std::thread::scope(|scope| {
        let ending = scope.spawn(|| first.shutdown(PATIENCE));
        answer.send(Reply::Status(200)).unwrap();
        // It may hand out others before it is told to end.
        while !ending.is_finished() {
            if requests.recv_timeout(Duration::from_millis(1)).is_ok() {
                answer.send(Reply::Status(200)).unwrap();
            }
        }
        ending.join().unwrap()
    });
    let ended = receiver.look(|state| {
        assert_eq!(state.requests, state.delivered, "none was aborted");
        u32::try_from(state.delivered.len()).unwrap()
    });
    assert!(!report.drained && ended < EVENTS, "{ended}");
    assert!(drains(&second));
    let arrivals = others.arrivals();
    let numbers = &arrivals[&("a".to_owned(), "t".to_owned())];
    assert!(numbers.iter().copied().eq(ended..EVENTS), "{numbers:?}");
    assert!(second.shutdown(PATIENCE).drained);
}

#[test]
fn a_drain_waits_for_the_events_of_all_processes() {
    let (_, views) = SharedQueue::pair();
    let owner = Receiver::new(|_| Reply::Status(200));
    let none = Receiver::new(|_| panic!("it has no slots"));
    let without = start(&views[1], &none);
    for task in TASKS {
        submit(&without.submitter(), task, 0);
    }
    let pending = || without.monitor().progress().pending;
    assert_eq!(pending(), 2 * TASKS.len() as u64);
    assert!(!without.drain(Some(Duration::ZERO), &AtomicBool::new(false)));
    let with = start(&views[0], &owner);
    assert!(drains(&without));
    assert_eq!(owner.look(|state| state.delivered.len()), 2 * TASKS.len());
    for process in [with, without] {
        assert!(process.shutdown(PATIENCE).drained);
    }
}

#[test]
fn a_dead_letter_that_one_process_replays_is_delivered_by_the_owner_of_its_slot() {
    let (_, views) = SharedQueue::pair();
    let receiver = Receiver::new(|received| match received.attempt {
        1 if received.number() == 0 => Reply::Status(404),
        _ => Reply::Status(200),
    });
    let start = |view| {
        let once = AtOnce {
            attempts: 1,
            ..AtOnce::default()
        };
        let builder = dispatcher(config([target("a")]), view, &receiver);
        builder.retry(Arc::new(once)).start().unwrap()
    };
    let [owner, other] = [start(&views[0]), start(&views[1])];
    for number in 0..3 {
        submit(&other.submitter(), "t", number);
    }
    // It counts what it stored at once, and the owner only once it was told of that.
    assert!(drains(&other));
    let mut dead = Vec::new();
    let mut visit = |letter: webhook_queue::DeadLetter<'_>| {
        dead.push(letter.owed.entry);
        ControlFlow::Continue(())
    };
    let control = other.control();
    control.dead_letters(Some("a"), None, &mut visit).unwrap();
    assert_eq!(dead.len(), 1);
    // As if it was never attempted, so its first attempt is its last again.
    assert_eq!(control.replay("a", &dead).unwrap(), 1);
    receiver.wait("the replayed letter", |state| state.requests.len() == 4);
    assert!(drains(&other));
    let statistics = control.queue_statistics().unwrap();
    assert_eq!(
        (statistics.targets[0].pending, statistics.targets[0].dead),
        (0, 1)
    );
    for process in [owner, other] {
        assert!(process.shutdown(PATIENCE).drained);
    }
}

#[test]
fn events_wait_while_the_storage_is_away_and_callers_with_a_deadline_do_not() {
    let (queue, views) = SharedQueue::pair();
    let receiver = Receiver::new(|_| Reply::Status(200));
    let process = start(&views[0], &receiver);
    submit(&process.submitter(), "t", 0);
    queue.set_away(0, true);
    let submitter = process.submitter();
    let refused = submitter.submit(event("t", 1), Instant::now() + Duration::from_millis(200));
    let refusal = refused.unwrap_err().refusal;
    assert!(matches!(refusal, Refusal::Queue(_)), "{refusal}");
    let (confirm, confirmed) = mpsc::channel();
    let confirm = move |result: Result<_, Refusal>| confirm.send(result.is_ok()).unwrap();
    submitter
        .submit_with(event("t", 2), Some(soon()), confirm)
        .unwrap();
    queue.set_away(0, false);
    assert_eq!(confirmed.recv_timeout(PATIENCE), Ok(true));
    assert!(drains(&process));
    for (of, numbers) in receiver.arrivals() {
        assert_eq!(numbers, [0, 2], "{of:?}");
    }
    assert!(process.shutdown(PATIENCE).drained);
}

/// Tells when a queue cannot be read.
struct Unreadable(mpsc::SyncSender<()>);

impl Observer for Unreadable {
    fn incident(&self, incident: &Incident<'_>) {
        if let Incident::QueueUnreadable { .. } = incident {
            // The test waits for the first one.
            self.0.try_send(()).ok();
        }
    }
}

#[test]
fn a_hold_that_cannot_be_read_at_the_start_holds_once_the_queue_is_back() {
    let (queue, views) = SharedQueue::pair();
    let receiver = Receiver::new(|received| match received.attempt {
        1 => Reply::Later("3600"),
        _ => Reply::Status(200),
    });
    let is_held = |process: &Dispatcher| process.stats().unwrap().targets[0].hold.is_some();
    let of = |view| dispatcher(config([target("a")]), view, &receiver);
    let first = of(&views[0]).start().unwrap();
    submit(&first.submitter(), "t1", 0);
    receiver.wait("the first attempt", |state| !state.requests.is_empty());
    while !is_held(&first) {
        std::thread::yield_now();
    }
    first.shutdown(PATIENCE);

    queue.set_away(1, true);
    let (unreadable, reports) = mpsc::sync_channel(1);
    let second = of(&views[1]).observer(Arc::new(Unreadable(unreadable)));
    let second = second.start().unwrap();
    reports.recv_timeout(PATIENCE).unwrap();
    queue.set_away(1, false);
    let requests = || receiver.look(|state| state.requests.len());
    while !is_held(&second) && requests() == 1 {
        std::thread::yield_now();
    }
    assert_eq!(requests(), 1, "the receiver asked for an hour");
    second.shutdown(PATIENCE);
}
