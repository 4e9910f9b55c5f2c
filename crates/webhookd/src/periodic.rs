//! A thread that repeats a task until it is stopped.

use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A task that runs at once, and again after each pause.
pub(crate) struct Periodic {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Periodic {
    /// Starts a thread of this name.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn start(
        name: &str,
        pause: Duration,
        mut task: impl FnMut() + Send + 'static,
    ) -> Result<Periodic> {
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn({
                let stopped = Arc::clone(&stopped);
                move || {
                    while !stopped.load(Ordering::SeqCst) {
                        task();
                        std::thread::park_timeout(pause);
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(Periodic { stopped, thread })
    }

    /// Waits for the task, and ends the thread.
    pub(crate) fn stop(self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        // A task that panicked has said so; the program ends now in any case.
        drop(self.thread.join());
    }
}
