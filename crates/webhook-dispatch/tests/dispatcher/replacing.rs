//! Reloads that change a target, remove it, or add it again.

use crate::support::*;
use std::error::Error as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use webhook_config::{
    Delivery, PostgresSettings, PostgresUrl, QueueSettings, TargetBuilder, WhenFull,
};
use webhook_dispatch::{BreakerState, Dispatcher, ReloadError, RepairError, TargetStats};
use webhook_queue::{MemoryQueue, Queue};

fn memory() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(1 << 30))
}

/// Delays answers until it is opened.
#[derive(Clone, Default)]
struct Barrier(Arc<AtomicBool>);

impl Barrier {
    fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn wait(&self) {
        while !self.0.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }
}

/// A receiver that delays its answers to `held` requests, and then answers them with `reply`.
fn delayed(
    barrier: &Barrier,
    reply: u16,
    held: impl Fn(&Received) -> bool + Send + Sync + 'static,
) -> (Arc<Receiver>, Begun) {
    let (begins, begun) = std::sync::mpsc::channel();
    let begins = std::sync::Mutex::new(begins);
    let barrier = barrier.clone();
    let receiver = Receiver::new(move |received| {
        if !held(received) {
            return Reply::Status(200);
        }
        begins.lock().unwrap().send(()).unwrap();
        barrier.wait();
        Reply::Status(reply)
    });
    (receiver, begun)
}

/// Receives a message for each delayed request.
type Begun = std::sync::mpsc::Receiver<()>;

fn wait_for_begin(begun: &Begun) {
    begun.recv_timeout(PATIENCE).unwrap();
}

fn best_effort(name: &str) -> TargetBuilder {
    target(name).delivery(Delivery::BestEffort)
}

fn removed(dispatcher: &Dispatcher) -> TargetStats {
    dispatcher.stats().unwrap().removed.remove(0)
}

/// Waits until the worker of the removed target has ended.
fn wait_until_ended(dispatcher: &Dispatcher) {
    while removed(dispatcher).worker_running {
        std::thread::yield_now();
    }
}

fn numbers(receiver: &Receiver) -> Vec<u32> {
    receiver.look(|state| state.delivered.iter().map(Received::number).collect())
}

#[test]
fn a_target_that_is_removed_and_added_again_while_an_attempt_is_under_way_keeps_its_order() {
    for ended_in_between in [false, true] {
        let barrier = Barrier::default();
        let (receiver, begun) = delayed(&barrier, 200, |received| {
            received.number() == 0 && received.target == "a"
        });
        let both = || config([target("a"), target("b")]);
        let running = dispatcher(both(), &memory(), &receiver).start().unwrap();
        let control = running.control();
        let submitter = running.submitter();
        for number in 0..10 {
            submit(&submitter, "t", number);
        }
        wait_for_begin(&begun);
        let reloaded = control.reload(config([target("b")])).unwrap();
        assert_eq!(
            (reloaded.removed, reloaded.unchanged),
            (vec!["a".to_owned()], vec!["b".to_owned()])
        );
        submit(&submitter, "t", 10);
        assert!(removed(&running).worker_running, "an attempt is under way");
        if ended_in_between {
            barrier.open();
            wait_until_ended(&running);
            let stats = running.stats().unwrap();
            let owed = stats.queue.targets.iter().find(|known| known.target == "a");
            assert_eq!(
                owed.unwrap().pending,
                9,
                "its pending events are kept and shown"
            );
        }
        assert_eq!(control.reload(both()).unwrap().added, ["a"]);
        submit(&submitter, "t", 11);
        barrier.open();
        let report = running.shutdown(PATIENCE);
        assert!(report.drained);
        assert!(report.stats.removed.is_empty());
        let arrivals = receiver.arrivals();
        let a: Vec<u32> = (0..10).chain([11]).collect();
        assert_eq!(arrivals[&("a".to_owned(), "t".to_owned())], a);
        assert_eq!(
            arrivals[&("b".to_owned(), "t".to_owned())],
            (0..12).collect::<Vec<_>>()
        );
        assert_eq!(
            report.stats.targets[0].delivered, 11,
            "its counters continue"
        );
    }
}

#[test]
fn a_changed_target_sends_under_new_settings_while_old_attempts_hang() {
    let barrier = Barrier::default();
    let (receiver, begun) = delayed(&barrier, 410, |received| received.url.ends_with("/old"));
    let one = NonZeroUsize::new(1).unwrap();
    let old = config([target_at("a", "/old").concurrency(one)]);
    let running = dispatcher(old, &memory(), &receiver).start().unwrap();
    submit(&running.submitter(), "t", 0);
    submit(&running.submitter(), "u", 0);
    wait_for_begin(&begun);
    let new = config([target_at("a", "/new").concurrency(one)]);
    assert_eq!(running.control().reload(new).unwrap().changed, ["a"]);
    submit(&running.submitter(), "v", 0);
    receiver.wait("the other two events", |state| state.delivered.len() == 2);
    assert!(receiver.look(|state| {
        state
            .delivered
            .iter()
            .all(|received| received.url.ends_with("/new"))
    }));
    // The old receiver's 410 does not stop the target at its new one.
    barrier.open();
    assert!(running.shutdown(PATIENCE).drained);
    receiver.look(|state| {
        let last = state.delivered.last().unwrap();
        assert_eq!((last.task(), last.attempt), ("t", 2));
        assert_eq!(state.requests.len(), 4);
    });
}

#[test]
fn a_reload_restarts_a_stopped_target_and_leaves_a_paused_one_paused() {
    let gone = Arc::new(AtomicBool::new(true));
    let is_gone = Arc::clone(&gone);
    let receiver = Receiver::new(move |received| {
        let gone = is_gone.load(Ordering::SeqCst) && received.target == "gone";
        Reply::Status(if gone { 410 } else { 200 })
    });
    let both = || config([target("gone"), target("paused")]);
    let running = dispatcher(both(), &memory(), &receiver).start().unwrap();
    let control = running.control();
    control.pause("paused").unwrap();
    submit(&running.submitter(), "t", 0);
    while running.stats().unwrap().targets[0].breaker != BreakerState::Stopped {
        std::thread::yield_now();
    }
    let never = AtomicBool::new(false);
    assert!(
        !running.drain(None, &never),
        "no delivery is to be waited for"
    );
    gone.store(false, Ordering::SeqCst);
    assert_eq!(
        control.reload(both()).unwrap().unchanged,
        ["gone", "paused"]
    );
    receiver.wait("the kept event", |state| state.delivered.len() == 1);
    control
        .reload(config([target("gone"), target_at("paused", "/2")]))
        .unwrap();
    assert!(!running.drain(None, &never));
    assert_eq!(receiver.look(|state| state.requests.len()), 2);
    control.resume("paused").unwrap();
    assert!(running.shutdown(PATIENCE).drained);
}

#[test]
fn a_removed_best_effort_target_gets_the_events_in_memory() {
    let barrier = Barrier::default();
    let (receiver, begun) = delayed(&barrier, 200, |received| received.number() == 0);
    let both = || {
        config([
            best_effort("a").window(NonZeroUsize::new(4).unwrap()),
            target("b"),
        ])
    };
    let running = dispatcher(both(), &memory(), &receiver).start().unwrap();
    let control = running.control();
    let submitter = running.submitter();
    for number in 0..8 {
        submit(&submitter, "t", number);
    }
    wait_for_begin(&begun);
    control.reload(config([target("b")])).unwrap();
    control.reload(both()).unwrap();
    control.reload(config([target("b")])).unwrap();
    let unknown = control.pause("a").unwrap_err();
    assert_eq!(unknown.to_string(), r#"no target "a" in the configuration"#);
    assert_eq!(running.stats().unwrap().removed.len(), 1);
    barrier.open();
    wait_until_ended(&running);
    let a = removed(&running);
    assert_eq!((a.delivered + a.dropped, a.unfinished), (8, 0));
    assert!(a.delivered >= 4);
    let of_a = || receiver.arrivals()[&("a".to_owned(), "t".to_owned())].clone();
    // Which events found no room depends on how quickly the worker took the first.
    assert_eq!(of_a().len() as u64, a.delivered);
    assert!(of_a().is_sorted(), "{:?}", of_a());
    // Added once more, after its worker's end.
    control.reload(both()).unwrap();
    submit(&submitter, "t", 8);
    assert!(running.shutdown(PATIENCE).drained);
    assert_eq!(of_a().last(), Some(&8));
}

#[test]
fn a_removed_targets_events_are_dropped_once_nothing_is_under_way() {
    let barrier = Barrier::default();
    let (receiver, begun) = delayed(&barrier, 503, |received| received.number() == 0);
    let both = || config([target("a"), best_effort("b")]);
    let running = dispatcher(both(), &memory(), &receiver).start().unwrap();
    let control = running.control();
    for number in 0..5 {
        submit(&running.submitter(), "t", number);
    }
    wait_for_begin(&begun);
    control.reload(config([best_effort("b")])).unwrap();
    let error = control.drop_target("a").unwrap_err();
    assert!(matches!(error, RepairError::UnderWay { .. }), "{error}");
    barrier.open();
    wait_until_ended(&running);
    assert_eq!(removed(&running).pending, 5);
    assert_eq!(control.drop_target("a").unwrap(), 5);
    assert_eq!(removed(&running).pending, 0);
    control.reload(both()).unwrap();
    submit(&running.submitter(), "t", 5);
    let report = running.shutdown(PATIENCE);
    assert!(report.drained, "{:#?}", report.stats);
    assert_eq!(report.stats.targets[0].delivered, 1);
}

#[test]
fn a_target_whose_delivery_changes_ends_before_it_begins_anew() {
    let barrier = Barrier::default();
    let (receiver, begun) = delayed(&barrier, 200, |received| received.number() == 0);
    let dir = tempfile::tempdir().unwrap();
    let in_dir = |target: TargetBuilder| {
        config([target]).with_queue(QueueSettings::new(dir.path().join("queue")))
    };
    let running = Dispatcher::builder(in_dir(best_effort("a")))
        .connector(Arc::new(InProcess(Arc::clone(&receiver))))
        .start()
        .unwrap();
    assert!(running.monitor().writer().is_none());
    let control = running.control();
    let submitter = running.submitter();
    submit(&submitter, "t", 0);
    wait_for_begin(&begun);
    submit(&submitter, "t", 1);
    let reloaded = control.reload(in_dir(target("a"))).unwrap();
    assert_eq!(
        (reloaded.added, reloaded.removed),
        (vec!["a".to_owned()], vec!["a".to_owned()])
    );
    assert!(
        dir.path().join("queue").exists(),
        "the first reliable target opens the queue"
    );
    submit(&submitter, "t", 2);
    let error = control.reload(in_dir(best_effort("a"))).unwrap_err();
    assert!(matches!(error, ReloadError::StillEnding { .. }), "{error}");
    assert_eq!(running.stats().unwrap().targets[0].pending, 1);
    barrier.open();
    wait_until_ended(&running);
    receiver.wait("all three", |state| state.delivered.len() == 3);
    control.reload(in_dir(best_effort("a"))).unwrap();
    submit(&submitter, "t", 3);
    assert!(running.shutdown(PATIENCE).drained);
    assert_eq!(numbers(&receiver), [0, 1, 2, 3]);
}

#[test]
fn an_added_target_gets_the_events_in_the_queue_first() {
    let queue = memory();
    let silent = Receiver::new(|_| Reply::Hang);
    let first = dispatcher(config([target("a"), target("b")]), &queue, &silent);
    let first = first.start().unwrap();
    for number in 0..20 {
        submit(&first.submitter(), "t", number);
    }
    drop(first.shutdown(Duration::ZERO));
    let receiver = Receiver::new(|_| Reply::Status(200));
    let second = dispatcher(config([best_effort("c")]), &queue, &receiver);
    let second = second.start().unwrap();
    second.control().reload(config([target("a")])).unwrap();
    assert_eq!(second.pending() + numbers(&receiver).len() as u64, 20);
    submit(&second.submitter(), "t", 20);
    assert!(second.shutdown(PATIENCE).drained);
    assert_eq!(numbers(&receiver), (0..21).collect::<Vec<_>>());
}

#[test]
fn an_open_queue_keeps_its_settings_and_the_reload_lists_them() {
    let dir = tempfile::tempdir().unwrap();
    let settings = |name: &str| QueueSettings::new(dir.path().join(name));
    let with = |settings: QueueSettings| config([target("a")]).with_queue(settings);
    let receiver = Receiver::new(|_| Reply::Status(200));
    let running = Dispatcher::builder(with(settings("one")))
        .connector(Arc::new(InProcess(receiver)))
        .start()
        .unwrap();
    let control = running.control();
    assert_eq!(control.reload(with(settings("one"))).unwrap().kept, [""; 0]);
    let other = settings("two")
        .with_max_bytes(1 << 21)
        .with_max_last_states(7)
        .with_when_full(WhenFull::Reject);
    let kept = control.reload(with(other)).unwrap().kept;
    let keys = ["dir", "maxBytes", "maxLastStates", "whenFull"];
    for (sentence, key) in kept.iter().zip(keys) {
        let begins = format!("queue.{key} stays ");
        assert!(sentence.starts_with(&begins), "{sentence}");
    }
    assert_eq!(kept.len(), keys.len());
    assert_eq!(control.config().queue(), &settings("one"));
    assert!(!dir.path().join("two").exists());
    drop(running.shutdown(PATIENCE));
    let error = control.reload(with(settings("one"))).unwrap_err();
    assert!(matches!(error, ReloadError::ShuttingDown));
}

#[test]
fn a_database_is_given_to_the_builder_and_stays_in_use_over_reloads() {
    let database = |url: &str| {
        let url = PostgresUrl::parse(url).unwrap();
        QueueSettings::new("state").with_postgres(PostgresSettings::new(url))
    };
    let with = |settings: QueueSettings| config([target("a")]).with_queue(settings);
    let receiver = Receiver::new(|_| Reply::Status(200));
    let error = Dispatcher::builder(with(database("host=db"))).start();
    let error = error.unwrap_err().source().unwrap().to_string();
    assert!(error.contains("postgres://db (schema webhook)"), "{error}");
    let running = dispatcher(with(database("host=db")), &memory(), &receiver);
    let running = running.start().unwrap();
    let control = running.control();
    assert_eq!(
        control.reload(with(database("host=db"))).unwrap().kept,
        [""; 0]
    );
    let slower = PostgresSettings::new(PostgresUrl::parse("host=db").unwrap());
    let slower = slower.with_lease(Duration::from_secs(9));
    for (other, begins) in [
        (
            database("host=other password=hunter2"),
            "queue stays postgres://db ",
        ),
        (
            QueueSettings::new("state").with_postgres(slower),
            "queue.postgres stays as it was: ",
        ),
        (QueueSettings::new("state"), "queue stays postgres://db "),
        (
            database("host=db").with_dir("b"),
            "queue.postgres.stateDir stays state",
        ),
        (
            database("host=db").with_max_bytes(1 << 21),
            "queue.maxBytes stays ",
        ),
    ] {
        let kept = control.reload(with(other)).unwrap().kept;
        assert!(kept.len() == 1 && kept[0].starts_with(begins), "{kept:?}");
        assert!(!kept[0].contains("hunter2"), "{kept:?}");
    }
    assert_eq!(control.config().queue(), &database("host=db"));
    assert!(running.shutdown(PATIENCE).drained);
}
