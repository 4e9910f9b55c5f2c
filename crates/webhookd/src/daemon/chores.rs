//! The threads that look after a running program.

use super::Daemon;
use super::housekeeping::Housekeeping;
use crate::console::Console;
use crate::notify;
use crate::reload::{ReloadArgs, Watch};
use anyhow::Result;
use std::sync::Arc;

/// Looks after a running program.
pub(crate) struct Chores {
    housekeeping: Housekeeping,
    watch: Option<Watch>,
}

impl Chores {
    /// Starts the threads. From now on the program is ready.
    ///
    /// # Errors
    /// The system refuses them.
    pub(crate) fn start(
        daemon: &Arc<Daemon>,
        console: &Console,
        args: ReloadArgs,
    ) -> Result<Chores> {
        let housekeeping = Housekeeping::start(Arc::clone(daemon), console.sparing().clone())?;
        let watch = args
            .watch
            .then(|| Watch::start(Arc::clone(&daemon.reloader)))
            .transpose()?;
        daemon.is_up();
        notify::ready("running");
        Ok(Chores {
            housekeeping,
            watch,
        })
    }

    /// Ends them.
    pub(crate) fn stop(self) {
        if let Some(watch) = self.watch {
            watch.stop();
        }
        self.housekeeping.stop();
    }
}
