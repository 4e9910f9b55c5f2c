//! `--watch`: a reload when the file has changed, or a file that it refers to.

use super::file::Look;
use super::reloader::Reloader;
use crate::periodic::Periodic;
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;

/// How often the file is read. Its content is compared, so that every kind of change is seen:
/// writing in place, renaming over it, pointing a link elsewhere.
const EVERY: Duration = Duration::from_secs(1);

/// Reads the file again and again, on a thread of its own.
///
/// # Errors
/// The system refuses the thread.
pub(crate) fn watch(reloader: Arc<Reloader>) -> Result<Periodic> {
    let mut before: Option<Look> = None;
    Periodic::start("config-watch", EVERY, move || {
        let now = reloader.file().look();
        // A file that is being written differs from look to look. The first look counts by itself:
        // the file may have changed since the start.
        if before.as_ref().is_none_or(|before| now.is_like(before)) {
            reloader.reload_if_new(&now);
        }
        before = Some(now);
    })
}
