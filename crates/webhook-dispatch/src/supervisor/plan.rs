//! A prepared reload: all that can fail is done.

use crate::delivery::Endpoint;
use crate::intake::{RoutingTable, Storage, TargetEntry};
use crate::supervisor::pending_worker::PendingWorker;
use crate::supervisor::reload::Reloaded;
use std::sync::Arc;

/// The change of a configured target's worker.
pub(crate) enum WorkerChange {
    /// It stays, and tries a target again that was stopped by a 410.
    Keep,
    /// It continues under other settings.
    Reconfigure(Arc<Endpoint>),
    /// A new worker begins.
    Start(PendingWorker),
    /// The retiring worker continues under these settings; if it has ended, the new one begins.
    Revive(Arc<Endpoint>, PendingWorker),
}

/// A configured target, before it has a worker.
pub(crate) struct Need {
    pub(crate) entry: TargetEntry,
    /// The new endpoint; `None` if the settings did not change.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) worker: ExistingWorker,
}

/// Whether a target has a worker already.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum ExistingWorker {
    /// It runs.
    Running,
    /// It retires, and may have ended by now.
    Retiring,
    /// There is none.
    None,
}

/// A prepared reload.
pub(crate) struct Plan {
    pub(crate) routing_table: RoutingTable,
    pub(crate) changes: Vec<WorkerChange>,
    pub(crate) opened: Opened,
    pub(crate) reloaded: Reloaded,
}

/// A queue opened for a plan. Dropped with the plan, it is closed again.
pub(crate) struct Opened(pub(crate) Option<Storage>);

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(storage) = &self.0 {
            storage.shutdown();
        }
    }
}
