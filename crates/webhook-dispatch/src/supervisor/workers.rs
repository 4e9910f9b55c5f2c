//! The workers of a dispatcher: their handles, and their threads.

use crate::supervisor::pending_worker::{PendingWorker, WorkerHandle};
use crate::supervisor::plan::WorkerChange;
use crate::worker::handle::{Command, ReliableHandles, TargetHandle};
use crossbeam_channel::Receiver;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use webhook_config::{Delivery, QueueSettings, Target};

/// A target's name, and whether it is reliable: a changed `delivery` makes it another target.
type Key = (Arc<str>, bool);

/// The workers of a dispatcher.
pub(crate) struct Workers {
    /// The settings of the queue, once it is open.
    pub(super) queue_settings: Option<QueueSettings>,
    /// The handles of all targets since the start.
    pub(super) handles: HashMap<Key, Arc<TargetHandle>>,
    /// The reliable ones of these, shared with the queue's writer.
    pub(super) reliable: ReliableHandles,
    running: HashMap<Key, WorkerHandle>,
    /// Threads of workers that were replaced, or that never began.
    replaced: Vec<JoinHandle<()>>,
    retirements: u64,
}

impl Default for Workers {
    fn default() -> Workers {
        Workers {
            queue_settings: None,
            handles: HashMap::new(),
            reliable: ReliableHandles::default(),
            running: HashMap::new(),
            replaced: Vec::new(),
            retirements: TargetHandle::RETIREMENTS,
        }
    }
}

impl Workers {
    /// The handle of the reliable target of this name, configured or removed.
    pub(crate) fn reliable_handle(&self, target: &str) -> Option<&Arc<TargetHandle>> {
        self.handles.get(&(Arc::from(target), true))
    }

    /// Receivers that disconnect once the present workers of this target name have ended.
    pub(crate) fn ends_of(&self, target: &Arc<str>) -> Vec<Receiver<Infallible>> {
        let keys = [true, false].map(|reliable| (Arc::clone(target), reliable));
        let workers = keys.iter().filter_map(|key| self.running.get(key));
        workers.map(|worker| worker.ended.clone()).collect()
    }

    /// Commands a removed target's worker to end once nothing is under way.
    pub(crate) fn retire(&mut self, handle: &TargetHandle) {
        handle.retire(self.retirements);
        self.retirements += 1;
    }

    /// Joins every worker. Command each to stop before.
    pub(crate) fn join(&mut self) {
        let running = self.running.drain().map(|(_, worker)| worker.thread);
        for thread in running.chain(self.replaced.drain(..)) {
            // The events of a worker that panicked are still in the queue.
            drop(thread.join());
        }
    }

    /// Adds the handles of new targets.
    pub(crate) fn add_handles(&mut self, handles: &[Arc<TargetHandle>]) {
        let mut reliable = self
            .reliable
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for handle in handles {
            let key = (Arc::clone(&handle.name), handle.is_reliable());
            self.handles
                .entry(key)
                .or_insert_with(|| Arc::clone(handle));
            if handle.is_reliable() {
                let entry = reliable.entry(Arc::clone(&handle.name));
                entry.or_insert_with(|| Arc::clone(handle));
            }
        }
    }

    /// Carries out the change of a target's worker.
    pub(crate) fn apply(&mut self, handle: &Arc<TargetHandle>, change: WorkerChange) {
        match change {
            WorkerChange::Keep => {
                handle.command(Command::Reopen);
            }
            WorkerChange::Reconfigure(endpoint) => {
                handle.command(Command::Reconfigure(endpoint));
            }
            WorkerChange::Start(pending) => self.begin(handle, pending),
            WorkerChange::Revive(endpoint, pending) => {
                if handle.cancel_retirement() {
                    handle.command(Command::Revive(endpoint));
                    self.replaced.push(pending.cancel());
                } else {
                    self.begin(handle, pending);
                }
            }
        }
    }

    fn begin(&mut self, handle: &Arc<TargetHandle>, pending: PendingWorker) {
        handle.begin();
        let worker = pending.begin();
        let key = (Arc::clone(&handle.name), handle.is_reliable());
        if let Some(old) = self.running.insert(key, worker) {
            self.replaced.push(old.thread);
        }
    }

    /// Joins the workers that have ended.
    pub(crate) fn reap(&mut self) {
        let workers = std::mem::take(&mut self.running);
        for (key, worker) in workers {
            if worker.thread.is_finished() {
                self.replaced.push(worker.thread);
            } else {
                self.running.insert(key, worker);
            }
        }
        for thread in std::mem::take(&mut self.replaced) {
            if thread.is_finished() {
                drop(thread.join());
            } else {
                self.replaced.push(thread);
            }
        }
    }
}

/// The key of a configured target.
pub(crate) fn key_of(target: &Target) -> Key {
    let reliable = target.delivery() == Delivery::Reliable;
    (Arc::from(target.name().as_str()), reliable)
}
