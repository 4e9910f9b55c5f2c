//! The memory that all requests share.
//!
//! No request waits for memory while it holds some that only its peer can make it release: a request
//! reserves what it needs at once, in the order of arrival. So none waits for another that waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long one must wait for memory before slow peers give theirs up.
const PRESSURE: Duration = Duration::from_millis(500);

/// The bytes that are free.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    room: Arc<Semaphore>,
    bytes: usize,
    waiting: Arc<Mutex<Waiting>>,
    /// The memory that it is a part of.
    whole: Option<Arc<Held>>,
}

/// Requests that wait for memory.
#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    /// Since when there is one, if there is.
    since: Option<Instant>,
}

/// No memory was released in time.
#[derive(Debug)]
pub(super) struct NoRoom;

/// Bytes that are held until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Held {
    permit: Option<OwnedSemaphorePermit>,
    whole: Option<Arc<Held>>,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Budget {
        let bytes = bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Budget {
            room: Arc::new(Semaphore::new(bytes)),
            bytes,
            waiting: Arc::default(),
            whole: None,
        }
    }

    /// Shares out memory that is held. It is released after the last part of it.
    pub(super) fn within(held: Held) -> Budget {
        let bytes = held.bytes();
        Budget {
            whole: Some(Arc::new(held)),
            ..Budget::new(bytes)
        }
    }

    /// All bytes, free or not.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds `bytes` more, all of them at most. Who waits longest is served first.
    ///
    /// # Errors
    /// Others held too much for this time.
    pub(super) async fn add(
        &self,
        held: &mut Held,
        bytes: usize,
        patience: Duration,
    ) -> Result<(), NoRoom> {
        let bytes = u32::try_from(bytes.min(self.bytes)).map_err(|_| NoRoom)?;
        let permit = match Arc::clone(&self.room).try_acquire_many_owned(bytes) {
            Ok(permit) => permit,
            Err(_) => {
                let _waits = Waits::begin(&self.waiting);
                let permit = Arc::clone(&self.room).acquire_many_owned(bytes);
                tokio::time::timeout(patience, permit)
                    .await
                    .map_err(|_| NoRoom)?
                    .map_err(|_| NoRoom)?
            }
        };
        match &mut held.permit {
            Some(all) => all.merge(permit),
            none => *none = Some(permit),
        }
        held.whole.clone_from(&self.whole);
        Ok(())
    }

    /// Whether a request has waited for memory for some time.
    pub(super) fn is_pressed(&self) -> bool {
        let since = lock(&self.waiting).since;
        since.is_some_and(|since| since.elapsed() >= PRESSURE)
    }
}

fn lock(waiting: &Mutex<Waiting>) -> std::sync::MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a request that waits until it is dropped.
struct Waits<'a>(&'a Mutex<Waiting>);

impl Waits<'_> {
    fn begin(waiting: &Mutex<Waiting>) -> Waits<'_> {
        let mut all = lock(waiting);
        all.count += 1;
        all.since.get_or_insert_with(Instant::now);
        drop(all);
        Waits(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut all = lock(self.0);
        all.count -= 1;
        if all.count == 0 {
            all.since = None;
        }
    }
}

impl Held {
    /// How many they are.
    pub(super) fn bytes(&self) -> usize {
        let permit = self.permit.as_ref();
        permit.map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Splits `bytes` off, or everything if it is less.
    pub(super) fn split(&mut self, bytes: usize) -> Held {
        let Some(all) = &mut self.permit else {
            return Held::default();
        };
        let bytes = bytes.min(all.num_permits());
        Held {
            permit: all.split(bytes),
            whole: self.whole.clone(),
        }
    }

    /// Releases everything but `bytes`.
    pub(super) fn keep(&mut self, bytes: usize) {
        drop(self.split(self.bytes().saturating_sub(bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn held_memory_is_released_when_it_is_dropped() {
        let budget = Budget::new(10);
        let mut first = Held::default();
        budget.add(&mut first, 4, SHORT).await.unwrap();
        budget.add(&mut first, 4, SHORT).await.unwrap();
        let mut second = Held::default();
        assert!(budget.add(&mut second, 3, SHORT).await.is_err());
        drop(first);
        assert!(budget.add(&mut second, 10, SHORT).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_that_is_shared_out_is_released_after_its_last_part() {
        let budget = Budget::new(10);
        let mut held = Held::default();
        budget.add(&mut held, 10, SHORT).await.unwrap();
        let window = Budget::within(held);
        let mut part = Held::default();
        window.add(&mut part, 6, SHORT).await.unwrap();
        let mut line = part.split(2);
        part.keep(0);
        window.add(&mut line, 8, SHORT).await.unwrap();
        drop((window, part));
        let mut other = Held::default();
        assert!(budget.add(&mut other, 1, SHORT).await.is_err());
        drop(line);
        assert!(budget.add(&mut other, 10, SHORT).await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_first_is_served_first() {
        let budget = Budget::new(10);
        let mut first = Held::default();
        budget.add(&mut first, 4, SHORT).await.unwrap();
        let large = async {
            let mut held = Held::default();
            budget.add(&mut held, 8, SHORT).await.unwrap();
            assert_eq!(held.bytes(), 8);
        };
        let small = async {
            let mut held = Held::default();
            assert!(
                budget.add(&mut held, 6, Duration::ZERO).await.is_err(),
                "it does not overtake one that waits"
            );
            drop(first);
        };
        tokio::join!(large, small);
    }
}
