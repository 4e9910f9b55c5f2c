//! How old the oldest entries are that targets are owed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use webhook_queue::QueueError;

use crate::log::{Log, TargetId};
use crate::reader::{Place, Reader};

/// Numbers of the log that are looked through at each look.
const NEAR: u64 = 20_000;

/// The time between two looks through more. At a high rate, most of them are truncated by then.
const FAR: Duration = Duration::from_secs(15);

/// The ages as of the last look, for all targets that are owed something.
#[derive(Debug)]
pub(crate) struct Ages {
    log: Arc<Log>,
    reader: Arc<Reader>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last look through all.
    looked: Option<Instant>,
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
            (state.generation, state.looked) = (generation, None);
            for place in state.all.values_mut().chain(state.own.values_mut()) {
                *place = Place::default();
            }
        }
        let looked = self.state().looked;
        let is_due = looked.is_none_or(|looked| looked.elapsed() >= FAR);
        for &target in targets {
            if self.log.read().totals(target).owed <= 0 {
                let state = &mut *self.state();
                state.all.remove(&target);
                state.own.remove(&target);
                continue;
            }
            let place = self.state().all.get(&target).copied();
            let place = self.look(target, &all, place.unwrap_or_default(), is_due)?;
            self.state().all.insert(target, place);
            if own.len() < all.len() {
                let place = self.state().own.get(&target).copied();
                let place = self.look(target, &own, place.unwrap_or_default(), is_due)?;
                self.state().own.insert(target, place);
            } else {
                self.state().own.insert(target, place);
            }
        }
        if is_due {
            self.state().looked = Some(Instant::now());
        }
        Ok(())
    }

    /// The place of a target in some slots, read again if it has changed and is near or due.
    fn look(
        &self,
        target: TargetId,
        slots: &[i16],
        place: Place,
        is_due: bool,
    ) -> Result<Place, QueueError> {
        let (is_settled, ahead) = {
            let log = self.log.read();
            let oldest = place.after + 1;
            let is_settled = oldest <= log.truncated() || log.is_settled(target, oldest);
            (is_settled, log.last().saturating_sub(place.after))
        };
        let is_same = place.accepted_at.is_some() && !is_settled;
        if is_same || ahead > NEAR && !is_due {
            return Ok(place);
        }
        self.reader.oldest(target, slots, place)
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
