//! What a reload does to a target that is changed, removed, or added again.

use crate::support::*;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use webhook_config::{Delivery, QueueSettings, TargetBuilder, WhenFull};
use webhook_dispatch::{BreakerState, Dispatcher, ReloadError, RepairError, TargetStats};
use webhook_queue::{MemoryQueue, Queue};

fn memory() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(1 << 30))
}

/// Holds answers back until it is opened.
#[derive(Clone, Default)]
struct Door(Arc<AtomicBool>);

impl Door {
    fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn pass(&self) {
        while !self.0.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }
}

/// A receiver whose answers to what `held` says wait at the door, and are 200 or `reply`.
fn behind(
    door: &Door,
    reply: u16,
    held: impl Fn(&Received) -> bool + Send + Sync + 'static,
) -> (Arc<Receiver>, Begun) {
    let (begins, begun) = std::sync::mpsc::channel();
    let begins = std::sync::Mutex::new(begins);
    let door = door.clone();
    let receiver = Receiver::new(move |received| {
        if !held(received) {
            return Reply::Status(200);
        }
        begins.lock().unwrap().send(()).unwrap();
        door.pass();
        Reply::Status(reply)
    });
    (receiver, begun)
}

/// Tells of each attempt that waits.
type Begun = std::sync::mpsc::Receiver<()>;

fn begin(begun: &Begun) {
    begun.recv_timeout(PATIENCE).unwrap();
}

fn best_effort(name: &str) -> TargetBuilder {
    target(name).delivery(Delivery::BestEffort)
}

fn removed(dispatcher: &Dispatcher) -> TargetStats {
    dispatcher.stats().unwrap().removed.remove(0)
}

/// Waits until the courier of the removed target has ended.
fn wait_until_gone(dispatcher: &Dispatcher) {
    while removed(dispatcher).worker_running {
        std::thread::yield_now();
    }
}

fn numbers(receiver: &Receiver) -> Vec<u32> {
    receiver.look(|state| state.taken.iter().map(Received::number).collect())
}

#[test]
fn a_target_that_is_removed_and_added_again_while_an_attempt_is_under_way_keeps_its_order() {
    for gone_in_between in [false, true] {
        let door = Door::default();
        let (receiver, begun) = behind(&door, 200, |received| {
            received.number() == 0 && received.target == "a"
        });
        let both = || config([target("a"), target("b")]);
        let running = dispatcher(both(), &memory(), &receiver).start().unwrap();
        let control = running.control();
        let submitter = running.submitter();
        for number in 0..10 {
            submit(&submitter, "t", number);
        }
        begin(&begun);
        let reloaded = control.reload(config([target("b")])).unwrap();
        assert_eq!(
            (reloaded.removed, reloaded.unchanged),
            (vec!["a".to_owned()], vec!["b".to_owned()])
        );
        submit(&submitter, "t", 10);
        assert!(removed(&running).worker_running, "an attempt is under way");
        if gone_in_between {
            door.open();
            wait_until_gone(&running);
            let stats = running.stats().unwrap();
            let owed = stats.queue.targets.iter().find(|known| known.target == "a");
            assert_eq!(
                owed.unwrap().pending,
                9,
                "what it is owed is kept and shown"
            );
        }
        assert_eq!(control.reload(both()).unwrap().added, ["a"]);
        submit(&submitter, "t", 11);
        door.open();
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
        assert_eq!(report.stats.targets[0].delivered, 11, "its figures go on");
    }
}

#[test]
fn a_changed_target_sends_what_comes_under_its_new_settings_while_the_old_hang() {
    let door = Door::default();
    let (receiver, begun) = behind(&door, 410, |received| received.url.ends_with("/old"));
    let one = NonZeroUsize::new(1).unwrap();
    let old = config([target_at("a", "/old").concurrency(one)]);
    let running = dispatcher(old, &memory(), &receiver).start().unwrap();
    submit(&running.submitter(), "t", 0);
    submit(&running.submitter(), "u", 0);
    begin(&begun);
    let new = config([target_at("a", "/new").concurrency(one)]);
    assert_eq!(running.control().reload(new).unwrap().changed, ["a"]);
    submit(&running.submitter(), "v", 0);
    receiver.wait("both others", |state| state.taken.len() == 2);
    assert!(receiver.look(|state| state.taken.iter().all(|taken| taken.url.ends_with("/new"))));
    // Nor does it say anything of the new receiver that the old one is gone.
    door.open();
    assert!(running.shutdown(PATIENCE).drained);
    receiver.look(|state| {
        let last = state.taken.last().unwrap();
        assert_eq!((last.task(), last.attempt), ("t", 2));
        assert_eq!(state.asked.len(), 4);
    });
}

#[test]
fn a_reload_starts_a_target_that_was_gone_and_leaves_a_paused_one_paused() {
    let gone = Arc::new(AtomicBool::new(true));
    let is_gone = Arc::clone(&gone);
    let receiver = Receiver::new(move |received| {
        let gone = is_gone.load(Ordering::SeqCst) && received.target == "gone";
        Reply::Status(if gone { 410 } else { 200 })
    });
    let both = || config([target("gone"), target("paused")]);
    let running = dispatcher(both(), &memory(), &receiver).start().unwrap();
    let control = running.control();
    assert!(control.pause("paused", true));
    submit(&running.submitter(), "t", 0);
    while running.stats().unwrap().targets[0].breaker != BreakerState::Stopped {
        std::thread::yield_now();
    }
    let never = AtomicBool::new(false);
    assert!(!running.drain(None, &never), "there is nothing to wait for");
    gone.store(false, Ordering::SeqCst);
    assert_eq!(
        control.reload(both()).unwrap().unchanged,
        ["gone", "paused"]
    );
    receiver.wait("what was kept", |state| state.taken.len() == 1);
    control
        .reload(config([target("gone"), target_at("paused", "/2")]))
        .unwrap();
    assert!(!running.drain(None, &never));
    assert_eq!(receiver.look(|state| state.asked.len()), 2);
    assert!(control.pause("paused", false));
    assert!(running.shutdown(PATIENCE).drained);
}

#[test]
fn a_removed_best_effort_target_is_given_what_is_in_memory() {
    let door = Door::default();
    let (receiver, begun) = behind(&door, 200, |received| received.number() == 0);
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
    begin(&begun);
    control.reload(config([target("b")])).unwrap();
    control.reload(both()).unwrap();
    control.reload(config([target("b")])).unwrap();
    assert!(!control.pause("a", true), "it is no target");
    assert_eq!(running.stats().unwrap().removed.len(), 1);
    door.open();
    wait_until_gone(&running);
    let a = removed(&running);
    assert_eq!((a.delivered + a.dropped, a.unfinished), (8, 0));
    assert!(a.delivered >= 4);
    let of_a = || receiver.arrivals()[&("a".to_owned(), "t".to_owned())].clone();
    // Which found no room depends on how quickly the first were taken.
    assert_eq!(of_a().len() as u64, a.delivered);
    assert!(of_a().is_sorted(), "{:?}", of_a());
    // And once more, after its end.
    control.reload(both()).unwrap();
    submit(&submitter, "t", 8);
    assert!(running.shutdown(PATIENCE).drained);
    assert_eq!(of_a().last(), Some(&8));
}

#[test]
fn what_a_removed_target_is_owed_is_dropped_once_nothing_is_under_way() {
    let door = Door::default();
    let (receiver, begun) = behind(&door, 503, |received| received.number() == 0);
    let both = || config([target("a"), best_effort("b")]);
    let running = dispatcher(both(), &memory(), &receiver).start().unwrap();
    let control = running.control();
    for number in 0..5 {
        submit(&running.submitter(), "t", number);
    }
    begin(&begun);
    control.reload(config([best_effort("b")])).unwrap();
    let error = control.drop_target("a").unwrap_err();
    assert!(matches!(error, RepairError::UnderWay { .. }), "{error}");
    door.open();
    wait_until_gone(&running);
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
fn a_target_whose_delivery_changes_ends_as_one_kind_before_it_begins_as_the_other() {
    let door = Door::default();
    let (receiver, begun) = behind(&door, 200, |received| received.number() == 0);
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
    begin(&begun);
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
    door.open();
    wait_until_gone(&running);
    receiver.wait("all three", |state| state.taken.len() == 3);
    control.reload(in_dir(best_effort("a"))).unwrap();
    submit(&submitter, "t", 3);
    assert!(running.shutdown(PATIENCE).drained);
    assert_eq!(numbers(&receiver), [0, 1, 2, 3]);
}

#[test]
fn what_the_queue_holds_for_a_target_from_before_is_delivered_first() {
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
fn an_open_queue_stays_as_it_is_and_the_reload_says_so() {
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
        .with_when_full(WhenFull::Reject);
    let kept = control.reload(with(other)).unwrap().kept;
    for (told, key) in kept
        .iter()
        .zip(["queue.dir", "queue.maxBytes", "queue.whenFull"])
    {
        assert!(told.starts_with(&format!("{key} stays ")), "{told}");
    }
    assert_eq!(kept.len(), 3);
    assert_eq!(control.config().queue(), &settings("one"));
    assert!(!dir.path().join("two").exists());
    drop(running.shutdown(PATIENCE));
    let error = control.reload(with(settings("one"))).unwrap_err();
    assert!(matches!(error, ReloadError::ShuttingDown));
}
