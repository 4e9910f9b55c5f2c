//! The thread that reloads: on request, and with `--watch` when the file has changed, or a file that
//! it refers to.

use super::file::Look;
use super::reloader::{Cause, Reloader};
use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the file is read. Its content is compared, so that every kind of change is seen:
/// writing in place, renaming over it, pointing a link elsewhere.
const EVERY: Duration = Duration::from_secs(1);
/// How long the end of the program waits for a reload under way.
const END_TIME: Duration = Duration::from_secs(1);

/// The running thread.
pub(crate) struct ReloadThread {
    requests: ReloadRequests,
    stopped: Arc<AtomicBool>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

/// Requests reloads without waiting for them.
#[derive(Clone)]
pub(crate) struct ReloadRequests(Sender<()>);

impl ReloadThread {
    /// Starts the thread. With `watches`, it reads the file again and again.
    ///
    /// # Errors
    /// The system refuses it.
    pub(crate) fn start(reloader: Arc<Reloader>, watches: bool) -> Result<ReloadThread> {
        // One request stands for all that arrive during a reload.
        let (requests, requested) = crossbeam_channel::bounded(1);
        let (ending, ended) = crossbeam_channel::bounded(0);
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let thread = std::thread::Builder::new()
            .name("config-reload".to_owned())
            .spawn(move || {
                let _ending: Sender<()> = ending;
                serve(&reloader, &requested, &stop, watches);
            })
            .context("cannot start a thread")?;
        Ok(ReloadThread {
            requests: ReloadRequests(requests),
            stopped,
            ended,
            thread,
        })
    }

    pub(crate) fn requests(&self) -> ReloadRequests {
        self.requests.clone()
    }

    /// Ends the thread. A reload that waits for a file system ends with the process.
    pub(crate) fn stop(self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread.
        self.requests.send();
        if self.ended.recv_timeout(END_TIME) == Err(RecvTimeoutError::Disconnected) {
            // A panic has been logged.
            drop(self.thread.join());
        }
    }
}

impl ReloadRequests {
    pub(crate) fn send(&self) {
        // If one waits already, it reads the file later than now.
        self.0.try_send(()).ok();
    }
}

fn serve(reloader: &Reloader, requests: &Receiver<()>, stopped: &AtomicBool, watches: bool) {
    let mut before: Option<Look> = None;
    while !stopped.load(Ordering::SeqCst) {
        if watches {
            let now = reloader.file().look();
            // A file that is being written differs from look to look. The first look counts by
            // itself: the file may have changed since the start.
            if before.as_ref().is_none_or(|before| now.is_like(before)) {
                reloader.reload_if_new(&now);
            }
            before = Some(now);
        }
        let request = match watches {
            true => requests.recv_timeout(EVERY),
            false => requests.recv().map_err(RecvTimeoutError::from),
        };
        match request {
            Ok(()) if stopped.load(Ordering::SeqCst) => return,
            // The reloader logs and counts the result.
            Ok(()) => drop(reloader.reload(Cause::Signal)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
