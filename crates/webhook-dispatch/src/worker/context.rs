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
    /// None for a best-effort target.
    pub(crate) queue_access: Option<QueueAccess>,
    pub(crate) retry: Arc<dyn Retry>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Disconnected when the workers that served this target's name before have ended. Nothing is
    /// sent before.
    pub(crate) predecessors: Vec<Receiver<Infallible>>,
}

/// Where the events of a reliable target are read and settled.
#[derive(Clone)]
pub(crate) struct QueueAccess {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) settlements: Arc<dyn SettlementSink>,
}

/// Takes settlements, to be synced soon.
pub(crate) trait SettlementSink: Send + Sync {
    fn settle(&self, settlement: Settlement);
}
