//! How old the oldest entries are that targets are owed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use webhook_queue::QueueError;

use crate::log::{Log, TargetId};
use crate::reader::{Place, Reader};

/// The ages as of the last look, for all targets that are owed something.
#[derive(Debug)]
pub(crate) struct Ages {
    log: Arc<Log>,
    reader: Arc<Reader>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The generation of the reader that the places are of.
    generation: u64,
    /// Of all slots, and of those of this process.
    all: HashMap<TargetId, Place>,
    own: HashMap<TargetId, Place>,
}

impl Ages {
    pub(crate) fn new(log: Arc<Log>, reader: Arc<Reader>) -> Ages {
        Ages {
            log,
            reader,
            state: Mutex::default(),
        }
    }

    /// Looks again. The log was followed before.
    ///
    /// # Errors
    /// The database cannot be read; what was found so far counts.
    pub(crate) fn refresh(&self, targets: &[TargetId]) -> Result<(), QueueError> {
        let (generation, all, own) = self.reader.slots();
        if generation != self.state().generation {
            let state = &mut *self.state();
            state.generation = generation;
            for place in state.all.values_mut().chain(state.own.values_mut()) {
                place.after = 0;
            }
        }
        for &target in targets {
            if self.log.read().totals(target).owed <= 0 {
                let state = &mut *self.state();
                state.all.remove(&target);
                state.own.remove(&target);
                continue;
            }
            let place = self.state().all.get(&target).copied().unwrap_or_default();
            let place = self.reader.oldest(target, &all, place)?;
            self.state().all.insert(target, place);
            if own.len() < all.len() {
                let place = self.state().own.get(&target).copied().unwrap_or_default();
                let place = self.reader.oldest(target, &own, place)?;
                self.state().own.insert(target, place);
            } else {
                self.state().own.insert(target, place);
            }
        }
        Ok(())
    }

    /// When the oldest entry that a target is owed was accepted, by the server's clock.
    pub(crate) fn oldest(&self, target: TargetId) -> Option<i64> {
        self.state().all.get(&target)?.accepted_at
    }

    /// The same of all targets and the slots of this process.
    pub(crate) fn oldest_of_own(&self) -> Option<i64> {
        self.state()
            .own
            .values()
            .filter_map(|it| it.accepted_at)
            .min()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
