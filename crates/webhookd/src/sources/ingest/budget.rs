//! The memory that all requests share.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a request waits for others to release memory.
const PATIENCE: Duration = Duration::from_secs(2);

/// The bytes that are free.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    room: Arc<Semaphore>,
}

/// No memory was released in time.
#[derive(Debug)]
pub(super) struct NoRoom;

/// Bytes that are held until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Held(Option<OwnedSemaphorePermit>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Budget {
        Budget {
            room: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Holds `bytes` more.
    ///
    /// # Errors
    /// Other requests held too much for too long.
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
    /// Splits `bytes` off, or everything if it is less.
    pub(super) fn split(&mut self, bytes: usize) -> Held {
        let Some(all) = &mut self.0 else {
            return Held::default();
        };
        let bytes = bytes.min(all.num_permits());
        Held(all.split(bytes))
    }

    /// Releases everything but `bytes`.
    pub(super) fn keep(&mut self, bytes: usize) {
        let all = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        drop(self.split(all.saturating_sub(bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn held_memory_is_released_when_it_is_dropped() {
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
