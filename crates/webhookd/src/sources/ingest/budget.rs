//! The memory that the events of all requests together may take.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a request waits for others to let go of memory.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes to be shared by all requests.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    room: Arc<Semaphore>,
}

/// There was no room in time.
#[derive(Debug)]
pub(super) struct NoRoom;

/// Bytes that are taken until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Held(Option<OwnedSemaphorePermit>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Budget {
        Budget {
            room: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Adds `bytes` to what is held.
    ///
    /// # Errors
    /// Others held too much for too long.
    pub(super) async fn add(&self, held: &mut Held, bytes: usize) -> Result<(), NoRoom> {
        let bytes = u32::try_from(bytes).map_err(|_| NoRoom)?;
        let room = Arc::clone(&self.room);
        let permit = match Arc::clone(&self.room).try_acquire_many_owned(bytes) {
            Ok(permit) => permit,
            Err(_) => tokio::time::timeout(PATIENCE, room.acquire_many_owned(bytes))
                .await
                .map_err(|_| NoRoom)?
                .map_err(|_| NoRoom)?,
        };
        match &mut held.0 {
            Some(all) => all.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}

impl Held {
    /// Takes `bytes` of it apart, or all of it if it is less.
    pub(super) fn split(&mut self, bytes: usize) -> Held {
        let Some(all) = &mut self.0 else {
            return Held::default();
        };
        let bytes = bytes.min(all.num_permits());
        Held(all.split(bytes))
    }

    /// Lets go of all but `bytes`.
    pub(super) fn keep(&mut self, bytes: usize) {
        let all = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        drop(self.split(all.saturating_sub(bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_given_back_when_it_is_dropped() {
        let budget = Budget::new(10);
        let mut first = Held::default();
        budget.add(&mut first, 4).await.unwrap();
        budget.add(&mut first, 4).await.unwrap();
        let mut second = Held::default();
        assert!(budget.add(&mut second, 3).await.is_err());
        drop(first);
        assert!(budget.add(&mut second, 10).await.is_ok());
    }
}
