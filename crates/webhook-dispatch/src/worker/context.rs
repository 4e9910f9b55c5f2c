//! What a worker is given when it starts.

use crate::delivery::Endpoint;
use crate::shared::Observer;
use crate::target::retry::Retry;
use crate::worker::handle::TargetHandle;
use crossbeam_channel::Receiver;
use std::convert::Infallible;
use std::sync::Arc;
use webhook_queue::{Queue, Settlement};

/// What a worker is given when it starts.
pub(crate) struct WorkerContext {
    pub(crate) handle: Arc<TargetHandle>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// `None` for a best-effort target.
    pub(crate) queue_access: Option<QueueAccess>,
    pub(crate) retry: Arc<dyn Retry>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Receivers that disconnect when the earlier workers of this target name have ended. Nothing
    /// is sent before.
    pub(crate) predecessors: Vec<Receiver<Infallible>>,
}

/// Reads and settles the events of a reliable target.
#[derive(Clone)]
pub(crate) struct QueueAccess {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) settlements: Arc<dyn SettlementSink>,
}

/// Accepts settlements, which are synced with one of the next groups.
pub(crate) trait SettlementSink: Send + Sync {
    fn settle(&self, settlement: Settlement);

    /// Has those so far synced without a wait for others.
    fn flush(&self);
}
