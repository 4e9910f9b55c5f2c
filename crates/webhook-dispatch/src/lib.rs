//! Who delivers it: blocking senders on threads, fed by crossbeam channels.
//!
//! A [`Dispatcher`] is started from a [`webhook_config::Config`]; a [`Submitter`] hands it events.
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
//!     Ok(receipt) => println!("durable, as {}", webhook_dispatch::webhook_id(receipt.id)),
//!     Err(refused) if matches!(refused.refusal, Refusal::Full) => { /* later: refused.event */ }
//!     Err(refused) => return Err(refused.into()),
//! }
//! let report = dispatcher.shutdown(Duration::from_secs(10));
//! println!("{} still owed", report.stats.targets[0].pending);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/scheduler.rs` is a scheduler in small.
//!
//! # What is promised
//!
//! - What [`submit`](Submitter::submit) accepted for a reliable target is delivered to it or kept
//!   as a dead letter, whatever crashes. It may arrive more than once, always under the same
//!   `webhook-id`.
//! - An event that is submitted twice under one key is accepted once: see [`Submission`].
//! - An event is not sent to a target before the ones accepted before it, of the same task, are
//!   settled there. Different tasks and different targets do not wait for each other; but at most
//!   32,768 tasks of a target may wait for their retry before it reads no further in its queue.
//! - In memory are a target's `window` of events and 16 MiB of their bodies, and as much again on
//!   its way there. What was settled and is not synced counts into the window, so that this is
//!   also what a crash can deliver twice.
//! - A best-effort target gets one attempt for each event, in order, as Aurora gave; what its
//!   receiver asks for by 410 or `Retry-After` is not heard. Where an event is for other targets,
//!   too, it is dropped for one that has no room, and counted.
//! - [`Control::reload`] replaces the configuration and keeps all of this: no event is lost,
//!   reordered, or sent twice for it.
//! - An event that has outlived `maxAgeMsec` is given up after its next failed attempt; while the
//!   receiver is known to be down, without one.
//!
//! # How it works
//!
//! What is done is decided by pure functions (lanes, [`retry`], the circuit breaker, outcomes,
//! brought together in one agenda for each target), which threads only carry out: `lane-TARGET`
//! owns a target's agenda, `send-TARGET-N` are its senders, which come on demand and end when idle,
//! and `webhook-queue` writes. [`Dispatcher::shutdown`] joins them all.
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

pub use crate::control::{Control, RepairError};
pub use crate::delivery::{
    CLOUD_EVENT_TYPE, RESPONSE_KEPT, Verdict, WEBHOOK_ATTEMPT, WEBHOOK_ID, WEBHOOK_SIGNATURE,
    WEBHOOK_TIMESTAMP, classify,
};
pub use crate::dispatcher::{Dispatcher, DispatcherBuilder, ShutdownReport, StartError};
pub use crate::http::HttpConnector;
pub use crate::http::header_lines::HeaderLines;
pub use crate::http::transport::{
    Answer, Connector, Request, Stopper, Transport, TransportError, TransportErrorKind,
};
pub use crate::intake::{Receipt, Submission, SubmitError, Submitter};
pub use crate::monitor::{Monitor, Progress};
pub use crate::shared::{
    AuroraCounters, BreakerState, Clock, Incident, Latencies, NextStep, Observer, Outcome, Reason,
    Refusal, Silent, Stats, SystemClock, TargetStats, parse_webhook_id, rfc3339, webhook_id,
};
pub use crate::supervisor::{ReloadError, Reloaded};
pub use crate::target::FailureRecord;
pub use crate::target::retry::{self, FullJitter, Retry};
pub use crate::test_delivery::{TestDelivery, TestDeliveryError, attempt_once};
