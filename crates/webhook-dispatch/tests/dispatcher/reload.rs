//! A hundred reloads while events come in.

use crate::support::*;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use webhook_config::{Config, Delivery, TargetBuilder};
use webhook_dispatch::{Control, ReloadError, Submission, Submitter};
use webhook_queue::{DiskQueue, MemoryQueue, Options, Queue};

const RELOADS: usize = 100;
const SUBMITTERS: usize = 3;
/// Events of each submitter for each reload.
const EVENTS: u32 = 8;
const TASKS: u32 = 3;

/// A target whose small window makes it fall behind.
fn small(name: &str) -> TargetBuilder {
    target(name).window(NonZeroUsize::new(6).unwrap())
}

/// A best-effort target with room for every submitted event.
fn quick(name: &str) -> TargetBuilder {
    target(name)
        .delivery(Delivery::BestEffort)
        .window(NonZeroUsize::new(4096).unwrap())
}

/// Two configurations. The number of targets in an event's receipt shows which one it met.
fn configs() -> [Config; 2] {
    [
        config([
            small("stays"),
            small("changes"),
            small("goes"),
            quick("quick"),
        ]),
        config([
            target_at("changes", "/2").concurrency(NonZeroUsize::new(1).unwrap()),
            small("comes"),
            small("stays"),
        ]),
    ]
}

fn names(config: &Config) -> Vec<String> {
    let names = config.targets().iter().map(|target| target.name());
    names.map(ToString::to_string).collect()
}

/// Fails at pseudo-random, depending on the event and the attempt.
fn unreliable(received: &Received) -> Reply {
    let seed = received.number() * 31 + received.attempt * 17 + received.task().len() as u32;
    match seed.wrapping_mul(2_654_435_761) >> 28 {
        0..3 => Reply::Status(503),
        3 => Reply::Panic,
        _ => Reply::Status(200),
    }
}

/// The events that each target is to get, by target and task.
type Wanted = Mutex<HashMap<(String, String), Vec<u32>>>;

/// Submits [`EVENTS`] events of its own tasks for each permit.
fn feed(submitter: &Submitter, own: usize, permits: &mpsc::Receiver<()>, wanted: &Wanted) {
    let of = configs().map(|config| names(&config));
    let mut number = 0;
    for () in permits {
        for _ in 0..EVENTS {
            let task = format!("{own}-{}", number % TASKS);
            let mut submission = Submission::new(event(&task, number));
            if own == 0 {
                // Best-effort targets get these after the commit.
                submission = submission.idempotency_key(number.to_le_bytes());
            }
            let receipt = submitter.submit(submission, soon()).unwrap();
            let met = of.iter().find(|names| names.len() == receipt.targets);
            let mut wanted = wanted.lock().unwrap();
            for name in met.unwrap() {
                let of_task = wanted.entry((name.clone(), task.clone()));
                of_task.or_default().push(number);
            }
            number += 1;
        }
    }
}

fn reload_invalid(control: &Control) {
    let before = control.config();
    let invalid = config([
        small("stays"),
        target("new"),
        target_at("changes", UNUSABLE),
    ]);
    let error = control.reload(invalid).unwrap_err();
    assert!(matches!(error, ReloadError::Target { target, .. } if target == "changes"));
    assert!(
        Arc::ptr_eq(&before, &control.config()),
        "the configuration is unchanged"
    );
}

#[test]
fn a_hundred_reloads_under_load_lose_and_reorder_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let queue: Arc<dyn Queue> =
        Arc::new(DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 27)).unwrap());
    let receiver = Receiver::new(unreliable);
    let running = dispatcher(configs()[0].clone(), &queue, &receiver)
        .start()
        .unwrap();
    let control = running.control();
    let wanted = Wanted::default();
    std::thread::scope(|scope| {
        let mut permits = Vec::new();
        for own in 0..SUBMITTERS {
            let (permit, permitted) = mpsc::channel();
            permits.push(permit);
            let (submitter, wanted) = (running.submitter(), &wanted);
            scope.spawn(move || feed(&submitter, own, &permitted, wanted));
        }
        for round in 1..=RELOADS {
            let before = receiver.look(|state| state.requests.len());
            for permit in &permits {
                permit.send(()).unwrap();
            }
            reload_invalid(&control);
            let reloaded = control.reload(configs()[round % 2].clone()).unwrap();
            assert_eq!(reloaded.changed, ["changes"]);
            assert_eq!(reloaded.unchanged, ["stays"]);
            let (came, went) = (reloaded.added, reloaded.removed);
            let both = [vec!["comes"], vec!["goes", "quick"]];
            assert_eq!(
                [came, went],
                [&both[(round + 1) % 2], &both[round % 2]].map(Clone::clone)
            );
            // The next reload comes while attempts are under way.
            receiver.wait("an attempt", |state| state.requests.len() > before);
        }
    });
    // The pending events of removed targets are delivered when the targets are added again.
    control
        .reload(config([
            small("stays"),
            small("changes"),
            small("goes"),
            small("comes"),
            quick("quick"),
        ]))
        .unwrap();
    let report = running.shutdown(PATIENCE);
    assert!(report.drained, "{:#?}", report.stats);
    assert_eq!(report.stats.queue.events, 0);

    let mut wanted = wanted.into_inner().unwrap();
    for numbers in wanted.values_mut() {
        numbers.sort_unstable();
    }
    let mut got: HashMap<(String, String), Vec<u32>> = receiver.arrivals();
    // A best-effort target gets one attempt for each event, whatever the result.
    got.retain(|(target, _), _| target != "quick");
    receiver.look(|state| {
        for request in state
            .requests
            .iter()
            .filter(|request| request.target == "quick")
        {
            let of_task = got.entry((request.target.clone(), request.task().to_owned()));
            of_task.or_default().push(request.number());
        }
    });
    assert_eq!(wanted.len(), got.len());
    for (of, numbers) in wanted {
        assert_eq!(numbers, got[&of], "{of:?}: each once, in order");
    }
}

#[test]
fn a_best_effort_target_that_is_added_again_has_a_worker_for_its_first_event() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 27));
    let receiver = Receiver::new(|_| Reply::Status(200));
    let with_it = || config([target("stays"), quick("quick")]);
    let running = dispatcher(with_it(), &queue, &receiver).start().unwrap();
    let (control, submitter) = (running.control(), running.submitter());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for task in ["t1", "t2", "t3"] {
            let (submitter, is_over) = (&submitter, &is_over);
            scope.spawn(move || {
                let mut number = 0;
                while !is_over.load(Ordering::Relaxed) {
                    submitter.submit(event(task, number), soon()).unwrap();
                    number += 1;
                }
            });
        }
        // An event seldom comes at the one moment.
        for _ in 0..20 * RELOADS {
            control.reload(config([target("stays")])).unwrap();
            let has_ended = || {
                let stats = running.stats().unwrap();
                let mut targets = stats.targets.iter();
                !targets.any(|it| it.name == "quick" && it.worker_running)
            };
            while !has_ended() {
                std::thread::yield_now();
            }
            control.reload(with_it()).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let report = running.shutdown(PATIENCE);
    let quick = report.stats.targets.iter().find(|it| it.name == "quick");
    assert_eq!(quick.unwrap().dropped, 0);
}
