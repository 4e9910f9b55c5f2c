//! Reloads of the configuration: on SIGHUP, by the admin API, or when the file has changed. They run
//! one at a time, all by [`Reloader::reload`].

mod file;
mod reloader;
mod thread;

pub(crate) use file::{ConfigFile, Look, Overrides};
pub(crate) use reloader::{Cause, NotReloaded, Reload, Reloader, log_diagnostics};
pub(crate) use thread::ReloadThread;

/// When to reload the configuration
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ReloadArgs {
    /// Reload the configuration when it, or a file that it refers to, has changed
    ///
    /// SIGHUP and `webhookd reload` reload it, too. A file that is not valid changes nothing.
    #[arg(long)]
    pub(crate) watch: bool,
}
