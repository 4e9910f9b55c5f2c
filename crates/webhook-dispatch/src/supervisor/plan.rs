//! What a reload is going to do, prepared as far as it can fail.

use crate::delivery::Endpoint;
use crate::intake::{RoutingTable, Storage, TargetEntry};
use crate::supervisor::pending_worker::PendingWorker;
use crate::supervisor::reload::Reloaded;
use std::sync::Arc;

/// What a target of the new configuration needs.
pub(crate) enum Step {
    /// Nothing but another try, if it had stopped after a 410.
    Keep,
    /// Other settings.
    Reconfigure(Arc<Endpoint>),
    /// A worker.
    Start(PendingWorker),
    /// The worker of before, which is about to end, or, if it has ended, another one.
    Revive(Arc<Endpoint>, PendingWorker),
}

/// A target of the new configuration, and what it needs before there is a worker for it.
pub(crate) struct Need {
    pub(crate) entry: TargetEntry,
    /// Other settings than before; `None` if nothing changed.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) worker: Found,
}

/// What there is of a target's worker.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Found {
    /// It runs.
    Running,
    /// It may still run.
    Leaving,
    /// It is to be started.
    None,
}

/// A reload, prepared as far as it can fail.
pub(crate) struct Plan {
    pub(crate) routing_table: RoutingTable,
    pub(crate) steps: Vec<Step>,
    pub(crate) opened: Opened,
    pub(crate) reloaded: Reloaded,
}

/// A queue that was opened for a plan; closed again if the plan comes to nothing.
pub(crate) struct Opened(pub(crate) Option<Storage>);

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(storage) = &self.0 {
            storage.writer.shutdown();
        }
    }
}
