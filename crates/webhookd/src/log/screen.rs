//! Standard error, where a line of progress may be in the way.

use indicatif::ProgressBar;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use tracing_subscriber::fmt::MakeWriter;

/// Standard error. Once there is a line of progress, what is written goes above it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen {
    bar: Arc<OnceLock<ProgressBar>>,
}

impl Screen {
    /// Has this line of progress kept at the bottom.
    pub(crate) fn show(&self, bar: ProgressBar) {
        // The first one stays; there is never a second.
        drop(self.bar.set(bar));
    }
}

impl MakeWriter<'_> for Screen {
    type Writer = Screen;

    fn make_writer(&self) -> Screen {
        self.clone()
    }
}

impl Write for Screen {
    /// All of it at once: an event is written in one piece.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().lock().write_all(bytes);
        match self.bar.get() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
