//! `--watch`: a reload when the file has changed, or a file that it refers to.

use super::Reloader;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the file is read. By its content, whatever is done to it is seen: writing, renaming
/// over it, turning a link around.
const EVERY: Duration = Duration::from_secs(1);

/// Looks at the file on a thread of its own.
pub(crate) struct Watch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses it.
    pub(crate) fn start(reloader: Arc<Reloader>) -> Result<Watch> {
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("config-watch".to_owned())
            .spawn({
                let ended = Arc::clone(&ended);
                move || watch(&reloader, &ended)
            })
            .context("cannot start a thread")?;
        Ok(Watch { ended, thread })
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        // It only looks; nothing hangs on how it ended.
        drop(self.thread.join());
    }
}

fn watch(reloader: &Reloader, ended: &AtomicBool) {
    let mut before = reloader.file().look();
    // The file may have changed between the start and this look.
    reloader.reload_if_new(&before);
    while !ended.load(Ordering::SeqCst) {
        std::thread::park_timeout(EVERY);
        let now = reloader.file().look();
        // A file that is still being written differs from look to look.
        if now.is_like(&before) {
            reloader.reload_if_new(&now);
        }
        before = now;
    }
}
