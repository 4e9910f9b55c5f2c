//! Standard error, shared with the line of progress.

use indicatif::ProgressBar;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use tracing_subscriber::fmt::MakeWriter;

/// Standard error. Output goes above the line of progress, if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen {
    bar: Arc<OnceLock<ProgressBar>>,
}

impl Screen {
    /// Keeps this line of progress at the bottom.
    pub(crate) fn show(&self, bar: ProgressBar) {
        // There is only one.
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
    /// Writes everything, since each log event is written at once.
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
