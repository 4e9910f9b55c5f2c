//! Models of a worker and its senders: loom runs each in every order of the threads' steps, up to a
//! number of preemptions, and with every value that the memory orderings allow a load to see. They
//! run by `cargo xtask models`.
//!
//! The channels are crossbeam's. loom does not look into them, and takes each of their operations for
//! one step; those of events and commands are a part of the step before it.

use crate::delivery::Endpoint;
use crate::http::transport::{Answer, Connector, Request, Stopper, Transport, TransportError};
use crate::shared::sync::{self, Condvar, Mutex, yield_now};
use crate::shared::{Clock, ProgressNotifier, Silent};
use crate::target::backlog::LiveEvent;
use crate::target::lanes::Content;
use crate::target::retry::FullJitter;
use crate::worker::handle::{Command, TargetHandle};
use crate::worker::job_queue::{JobQueue, Parking};
use crate::worker::wakeup::{WakeReason, WakeReasons, Wakeup};
use crate::worker::{Worker, WorkerContext};
use loom::model::Builder;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use webhook_config::{Target, TargetUrl};
use webhook_queue::{EntryId, EventId};

/// Runs a model in all orders with at most so many preemptions.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    let model = Arc::new(model);
    builder.check(move || {
        // On a stack that is large enough.
        let model = Arc::clone(&model);
        let thread = sync::Builder::new().spawn(move || model());
        thread.unwrap().join().unwrap();
    });
}

fn handle() -> Arc<TargetHandle> {
    let progress = Arc::new(ProgressNotifier::default());
    Arc::new(TargetHandle::new("t".into(), false, 4, progress))
}

/// A clock that stands still: a model must not depend on the time.
struct Still(Instant);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// A receiver, and how many requests reached it.
#[derive(Clone, Default)]
struct Receiver {
    requests: Arc<std::sync::atomic::AtomicUsize>,
    /// `None` if it answers at once; else whether the transport was stopped.
    stopped: Option<Arc<(Mutex<bool>, Condvar)>>,
}

impl Connector for Receiver {
    fn transport(&self, _: &Target) -> Result<Box<dyn Transport>, TransportError> {
        // Another thread may stop the endpoint now.
        yield_now();
        Ok(Box::new(self.clone()))
    }
}

impl Transport for Receiver {
    fn send(&mut self, _: Request<'_>) -> Result<Answer, TransportError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(stop) = &self.stopped {
            let mut stopped = stop.0.lock().unwrap();
            while !*stopped {
                stopped = stop.1.wait(stopped).unwrap();
            }
            return Err(TransportError::stopped());
        }
        Ok(Answer {
            status: 200,
            retry_after: None,
            body: Vec::new(),
            complete: true,
        })
    }

    fn stopper(&self) -> Stopper {
        let stopped = self.stopped.clone();
        Box::new(move || {
            if let Some(stop) = &stopped {
                *stop.0.lock().unwrap() = true;
                stop.1.notify_all();
            }
        })
    }
}

/// A best-effort target with up to so many senders, and its worker.
struct Setup {
    handle: Arc<TargetHandle>,
    worker: thread::JoinHandle<()>,
}

impl Setup {
    fn new(receiver: &Receiver, senders: usize) -> Setup {
        let target = Target::builder(TargetUrl::parse("http://localhost:1/").unwrap())
            .concurrency(NonZeroUsize::new(senders).unwrap())
            .build()
            .unwrap();
        let clock = Arc::new(Still(Instant::now()));
        let endpoint = Endpoint::new(Arc::new(target), Arc::new(receiver.clone()), clock, None);
        let handle = handle();
        let worker = Worker::new(WorkerContext {
            handle: Arc::clone(&handle),
            endpoint: Arc::new(endpoint.unwrap()),
            queue_access: None,
            retry: Arc::new(FullJitter),
            observer: Arc::new(Silent),
            predecessors: Vec::new(),
        });
        Setup {
            handle,
            worker: sync::Builder::new().spawn(|| worker.run()).unwrap(),
        }
    }

    /// Gives the target an event of this task.
    fn give(&self, task: u8) {
        let live = LiveEvent {
            entry: EntryId(0),
            id: EventId([task; 16]),
            key: Arc::from([task]),
            content: Content::copied(b"{}", b""),
            accepted_at: 0,
            submitted: Instant::now(),
        };
        self.handle.give(live, None).unwrap();
    }
}

#[test]
fn work_published_before_its_wake_up_is_not_slept_through() {
    check(3, || {
        let wakeup = Arc::new(Wakeup::default());
        let reasons = [WakeReason::Event, WakeReason::Urgent];
        let work = reasons.map(|reason| (reason, Arc::new(AtomicUsize::new(0))));
        let publishers = work.clone().map(|(reason, work)| {
            let wakeup = Arc::clone(&wakeup);
            thread::spawn(move || {
                // `wake` has to order this store before its load.
                work.store(1, Ordering::Relaxed);
                wakeup.wake(reason);
            })
        });
        let published = || -> usize {
            let counts = work.iter().map(|(_, work)| work.load(Ordering::Relaxed));
            counts.sum()
        };
        let mut seen = 0;
        while seen < 2 {
            wakeup.wait(WakeReasons::ALL, None, || published() == seen);
            seen = published();
        }
        for publisher in publishers {
            publisher.join().unwrap();
        }
    });
}

#[test]
fn no_job_is_left_while_its_sender_is_parked() {
    check(3, || take_jobs(1));
}

#[test]
fn each_job_is_taken_once_by_one_of_two_senders() {
    check(2, || take_jobs(2));
}

/// Hands out two jobs, and waits until these senders have taken them.
fn take_jobs(senders: usize) {
    let reports = sync::unbounded().0;
    let queue = Arc::new(JobQueue::new(handle(), NonZeroUsize::MIN, reports));
    let taken = Arc::<(Mutex<Vec<u8>>, Condvar)>::default();
    let senders: Vec<_> = (0..senders)
        .map(|_| {
            let (queue, taken) = (Arc::clone(&queue), Arc::clone(&taken));
            queue.started();
            thread::spawn(move || {
                let mut me = Parking::new();
                while let Some(job) = queue.next(&mut me) {
                    taken.0.lock().unwrap().push(job);
                    taken.1.notify_one();
                }
            })
        })
        .collect();
    for job in 0..2 {
        queue.push(job);
        // As long as one is awake, it takes the job before it parks.
        if queue.awake() == 0 {
            queue.wake();
        }
    }
    let mut jobs = taken.0.lock().unwrap();
    while jobs.len() < 2 {
        jobs = taken.1.wait(jobs).unwrap();
    }
    drop(jobs);
    queue.close();
    for sender in senders {
        sender.join().unwrap();
    }
    let mut jobs = taken.0.lock().unwrap().clone();
    jobs.sort_unstable();
    assert_eq!(jobs, [0, 1]);
}

#[test]
fn every_event_is_sent_once_and_then_the_worker_and_its_senders_end() {
    check(2, || {
        let receiver = Receiver::default();
        let target = Setup::new(&receiver, 1);
        target.give(0);
        target.give(1);
        // It ends once all is delivered.
        target.handle.retire(TargetHandle::RETIREMENTS);
        target.worker.join().unwrap();
        assert_eq!(receiver.requests.load(Ordering::Relaxed), 2);
        assert_eq!(target.handle.counters.pending(), 0);
    });
}

#[test]
fn a_stop_ends_the_attempts_under_way_and_every_sender() {
    check(2, || {
        let receiver = Receiver {
            stopped: Some(Arc::default()),
            ..Receiver::default()
        };
        let target = Setup::new(&receiver, 2);
        target.give(0);
        target.give(1);
        assert!(target.handle.command(Command::Stop));
        target.worker.join().unwrap();
        assert!(receiver.requests.load(Ordering::Relaxed) <= 2);
    });
}
