//! Delivers events over HTTP: blocking senders on threads, each task's events in order.
//!
//! A [`Dispatcher`] starts from a [`webhook_config::Config`]; a [`Submitter`] hands it events.
//!
//! ```no_run
//! use std::time::{Duration, Instant};
//! use webhook_config::{Config, Target, TargetUrl};
//! use webhook_dispatch::{Dispatcher, Refusal};
//!
//! let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?).build()?;
//! let dispatcher = Dispatcher::builder(Config::builder().target(target).build()?).start()?;
//! let submitter = dispatcher.submitter(); // clone it for each thread that submits
//!
//! let event = br#"{"task":{"assignedTask":{"taskId":"hello-0"},"status":"LOST"}}"#;
//! match submitter.submit(&event[..], Instant::now() + Duration::from_secs(1)) {
//!     Ok(receipt) => println!("durable, as {}", receipt.id),
//!     Err(refused) if matches!(refused.refusal, Refusal::Full) => { /* later: refused.submission */ }
//!     Err(refused) => return Err(refused.into()),
//! }
//! let report = dispatcher.shutdown(Duration::from_secs(10));
//! println!("{} still pending", report.stats.targets[0].pending);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/scheduler.rs` is a small scheduler that submits its events this way.
//!
//! # Events of other shapes
//!
//! The bytes above are an event of Aurora's. Any other JSON is submitted with its fields
//! ([`Submission::of`]), or read by a schema: the configuration names inputs and says by JSON
//! Pointers where the key, the states, the job and the id of their events are
//! ([`webhook_event::Schema`]).
//!
//! ```
//! use webhook_config::Config;
//! use webhook_dispatch::{Submission, dry_run};
//!
//! let config = br#"{
//!     "inputs": {"nomad": {"schema": "nomad"}},
//!     "targets": [{
//!         "name": "failures", "targetURL": "http://localhost:5000/", "timeoutMsec": 5000,
//!         "headers": {}, "inputs": ["nomad"], "statuses": ["failed", "lost"]
//!     }]
//! }"#;
//! let config = Config::parse("webhook.json", config)?.config;
//! let event = br#"{"Topic":"Allocation","Key":"8d5d0e1c","Index":54,
//!     "Payload":{"Allocation":{"ClientStatus":"running"}}}"#;
//! // A dispatcher of this configuration takes it by `submitter.submit(submission, deadline)`.
//! let submission = Submission::new(&event[..]).input("nomad");
//! let dry_run = dry_run(&config, &submission)?;
//! let excluded = dry_run.routes[0].excluded.as_deref();
//! assert_eq!(excluded, Some("statuses: its state is running"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The key orders: events of one input with the same key are delivered one after the other. The id
//! is the idempotency key of an event that is submitted without one, so that a scheduler may send
//! an event again. The queue keeps what was read beside the body, and nothing of it for Aurora's
//! events of the default input, whose records are those of earlier versions.
//!
//! # What is promised
//!
//! - An event that [`submit`](Submitter::submit) accepted for a reliable target is delivered to it
//!   or kept as a dead letter, whatever crashes. It may arrive more than once, always under the
//!   same `webhook-id`. An event that was refused is never sent.
//! - An event that is submitted twice under one key, or has an id in it that was submitted before,
//!   is accepted once: see [`Submission`].
//! - A task's events reach a target in the order accepted: each is sent once the one before it is
//!   settled. Tasks and targets do not wait for each other; but once 32,768 tasks of a target wait
//!   for a retry, it reads no further in its queue.
//! - Memory is bounded: a target's `window` of events with up to 16 MiB of bodies, and as much
//!   again in the channel to its worker. A settled event counts into the window until its
//!   settlement is synced, so `window` also bounds what a crash can deliver twice. The log of a
//!   target's last attempts ([`Monitor::attempts`]) takes at most 1.1 MiB.
//! - A best-effort target gets one attempt for each event, in order, as Aurora made it; 410 and
//!   `Retry-After` are ignored. If it has no room for an event that other targets want as well,
//!   the event is dropped for it, and counted.
//! - [`Control::reload`] replaces the configuration without losing, reordering or repeating events.
//! - Dispatchers of several processes may share a queue
//!   ([`Queue::is_shared`]). Each event is delivered by one of them,
//!   in order, and by the next if that one ends. A process that loses its claim while an attempt is
//!   under way may repeat an event.
//! - An event older than `maxAgeMsec` is given up after its next failed attempt, or without one
//!   while the target's breaker is not closed.
//!
//! # How it works
//!
//! An event is announced to the workers of its targets only after its commit. Each layer uses only
//! those below it:
//!
//! - `supervisor` starts, reconfigures and stops workers when the configuration changes.
//! - `intake` takes an event from `submit` to the queue's writer, the thread `webhook-queue`. The
//!   thread `webhook-news` tells the workers what other processes did to a shared queue.
//! - `worker` runs one thread for each target, `worker-TARGET`, which carries out what the target's
//!   state decides. Its senders, `send-TARGET-N`, start on demand and end when idle.
//! - `target` decides: lanes, [`retry`], breaker, rate. Pure: no clock, I/O or thread.
//! - `delivery` makes one attempt: headers, format, signature, and what its result means.
//! - `http` makes connections: HTTP/1.1, sockets, name resolution, TLS, proxies.
//! - `shared` has the clock, ids, keys, outcomes, incidents, counters and the logs of attempts.
//!
//! [`Dispatcher::shutdown`] joins the threads of workers, senders, the writer and the news.
//!
//! *Architecture invariant*: ureq is used in one file and is in no public signature, nor is the
//! storage engine; there is no async runtime. Time, transport, storage and the retry schedule
//! come in through traits.

mod control;
mod delivery;
mod dispatcher;
mod http;
mod intake;
mod monitor;
mod shared;
mod supervisor;
mod target;
mod test_delivery;
mod worker;

pub use crate::control::{
    Control, OwedOfTask, PendingEvent, RepairError, StuckTask, StuckTasks, UnknownTarget,
};
pub use crate::delivery::{
    CLOUD_EVENT_TYPE, GENERIC_CLOUD_EVENT_TYPE, RESPONSE_KEPT, Verdict, WEBHOOK_ATTEMPT,
    WEBHOOK_EVENT_IDS, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, classify,
};
pub use crate::dispatcher::{Dispatcher, DispatcherBuilder, ShutdownReport, StartError};
pub use crate::http::HttpConnector;
pub use crate::http::header_lines::HeaderLines;
pub use crate::http::transport::{
    Answer, Connector, Request, Stopper, Transport, TransportError, TransportErrorKind,
};
pub use crate::intake::{
    DryRun, ParsedEvent, Receipt, Submission, SubmitError, Submitter, TargetRoute, dry_run,
};
pub use crate::monitor::{Monitor, Progress};
pub use crate::shared::{
    ATTEMPTS_KEPT, AttemptFilter, AttemptPage, AttemptRecord, AuroraCounters, BatchId,
    BreakerCause, BreakerState, ChannelObserver, Clock, Hold, HoldReason, Incident, InputStats,
    Latencies, NextStep, Observer, Outcome, Reason, Refusal, Silent, Stats, SystemClock,
    TargetStats, TracedAttempt, Tracer, event_attributes, event_key, rfc3339,
};
pub use crate::supervisor::{ReloadError, Reloaded};
pub use crate::target::FailureRecord;
pub use crate::target::retry::{self, FullJitter, Retry};
pub use crate::test_delivery::{
    TestDelivery, TestDeliveryError, TestRequest, attempt_once, test_request,
};
// What appears in the API above. To store events elsewhere, implement `Queue` by that crate.
pub use webhook_queue::{
    CorruptEntry, DeadLetter, Distribution, EntryId, EventId, InvalidEventId, Owed, Quarantined,
    Queue, QueueError, Sequence, SharedStatistics, Standbys, Statistics, TargetStatistics,
    Verification, WorkerStatistics, WriterStatistics,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
