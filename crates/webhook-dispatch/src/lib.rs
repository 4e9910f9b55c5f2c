//! Who delivers it: blocking senders on threads, fed by crossbeam channels.
//!
//! A [`Dispatcher`] is started from a [`webhook_config::Config`]; a [`Submitter`] hands it events.
//! What it does with them is decided by pure functions (lanes, [`retry`], the circuit breaker, outcomes),
//! which threads only carry out: one for each target, its senders, and the queue's writer.
//!
//! *Architecture invariant*: ureq is used in one file and is in no public signature, nor is the
//! storage engine; there is no async runtime. Time, transport, storage and the retry schedule
//! come in through traits.

mod agenda;
mod breaker;
mod clock;
mod courier;
mod dead_letter;
mod dispatcher;
mod format;
mod gate;
mod lane;
mod line;
mod monitor;
mod naming;
mod outcome;
mod rate;
mod resolve;
pub mod retry;
mod sender;
mod sign;
mod stats;
mod submit;
mod transport;
mod trouble;
mod ureq_transport;
mod writer;

pub use breaker::BreakerState;
pub use clock::{Clock, SystemClock};
pub use dead_letter::{Obituary, RESPONSE_KEPT, Reason, rfc3339};
pub use dispatcher::{Dispatcher, DispatcherBuilder, ShutdownReport, StartError};
pub use format::CLOUD_EVENT_TYPE;
pub use monitor::{Monitor, Progress};
pub use naming::{parse_webhook_id, webhook_id};
pub use outcome::{Outcome, Verdict, judge};
pub use retry::{FullJitter, Retry};
pub use sign::{WEBHOOK_ATTEMPT, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
pub use stats::{AuroraCounters, Latencies, Stats, TargetStats};
pub use submit::{Receipt, Refusal, SubmitError, Submitter};
pub use transport::{
    Answer, Connector, Request, Stopper, Transport, TransportError, TransportErrorKind,
};
pub use trouble::{Follows, Observer, Silent, Trouble};
pub use ureq_transport::HttpConnector;
