//! Tasks of events whose commit decides whether best-effort targets get them.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Tasks with events on their way to the queue that best-effort targets get after the commit. A
/// later event of such a task that no commit decides would overtake them, so it waits.
#[derive(Debug, Default)]
pub(crate) struct UndecidedTasks {
    events: Mutex<HashMap<Arc<[u8]>, usize>>,
    decided: Condvar,
}

/// An event that is not decided for as long as this is held.
#[derive(Debug)]
pub(crate) struct Undecided {
    tasks: Arc<UndecidedTasks>,
    task: Arc<[u8]>,
}

impl UndecidedTasks {
    /// An event of this task is about to be handed to the queue.
    pub(crate) fn begin(self: &Arc<Self>, task: &Arc<[u8]>) -> Undecided {
        *self.events().entry(Arc::clone(task)).or_default() += 1;
        Undecided {
            tasks: Arc::clone(self),
            task: Arc::clone(task),
        }
    }

    /// Begins an event once all others of its task are decided, as [`wait`](UndecidedTasks::wait) does;
    /// `None` if they are not in time.
    pub(crate) fn begin_alone(
        self: &Arc<Self>,
        task: &Arc<[u8]>,
        deadline: Option<Instant>,
    ) -> Option<Undecided> {
        let mut events = self.decided_of(task, deadline)?;
        events.insert(Arc::clone(task), 1);
        drop(events);
        Some(Undecided {
            tasks: Arc::clone(self),
            task: Arc::clone(task),
        })
    }

    /// Waits until all events of a task are decided, up to the deadline (without one, not at all);
    /// whether they are.
    pub(crate) fn wait(&self, task: &[u8], deadline: Option<Instant>) -> bool {
        self.decided_of(task, deadline).is_some()
    }

    fn decided_of(
        &self,
        task: &[u8],
        deadline: Option<Instant>,
    ) -> Option<MutexGuard<'_, HashMap<Arc<[u8]>, usize>>> {
        let mut events = self.events();
        while events.contains_key(task) {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let left = left.filter(|left| !left.is_zero())?;
            let woken = self.decided.wait_timeout(events, left);
            events = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(events)
    }

    fn events(&self) -> MutexGuard<'_, HashMap<Arc<[u8]>, usize>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        let mut events = self.tasks.events();
        if let Some(count) = events.get_mut(&self.task) {
            *count -= 1;
            if *count == 0 {
                events.remove(&self.task);
                self.tasks.decided.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_task_is_decided_once_all_its_events_are() {
        let tasks = Arc::new(UndecidedTasks::default());
        let task: Arc<[u8]> = Arc::from(&b"t"[..]);
        let (first, second) = (tasks.begin(&task), tasks.begin(&task));
        assert!(!tasks.wait(b"t", None));
        assert!(tasks.wait(b"other", None));
        drop(first);
        let soon = Instant::now() + Duration::from_millis(10);
        assert!(!tasks.wait(b"t", Some(soon)));
        assert!(tasks.begin_alone(&task, Some(soon)).is_none());
        std::thread::scope(|scope| {
            scope.spawn(|| drop(second));
            let later = Instant::now() + Duration::from_secs(60);
            let alone = tasks.begin_alone(&task, Some(later)).unwrap();
            assert!(!tasks.wait(b"t", None));
            drop(alone);
        });
        assert!(tasks.wait(b"t", None));
    }
}
