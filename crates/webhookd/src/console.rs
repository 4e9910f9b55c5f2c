//! Output on standard error: messages, and a line of progress below them.

use crate::log::{self, LogWriter, RateLimitedLog, printable};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{StdoutLock, Write};

/// Reports an error or a result: in the log if there is one, else on standard error.
pub(crate) fn complain(text: &str) {
    if tracing::dispatcher::has_been_set() {
        tracing::error!("{text}");
    } else {
        print(&printable(text));
    }
}

/// Prints a message that is not a log line.
pub(crate) fn print(text: &str) {
    log::print(&format!("webhookd: {text}\n"));
}

/// Standard output, whose reader may close it: `| head` has read enough, which changes neither what
/// a command does nor its exit status. The rest of the output is dropped.
#[derive(Debug)]
pub(crate) struct Output(StdoutLock<'static>);

/// Standard output, for one command.
pub(crate) fn output() -> Output {
    Output(std::io::stdout().lock())
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        or_closed(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        or_closed(self.0.flush(), ())
    }
}

/// What a write returns, or `written` if the reader has closed the pipe.
fn or_closed<T>(result: std::io::Result<T>, written: T) -> std::io::Result<T> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(written),
        result => result,
    }
}

/// Writes to standard output.
///
/// # Errors
/// Standard output fails. A reader that has closed it is no failure.
pub(crate) fn write_out(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut out = output();
    out.write_all(text.as_ref())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// The log, with a line of progress below it when it is on a terminal.
#[derive(Clone)]
pub(crate) struct Console {
    writer: LogWriter,
    shows_progress: bool,
    log: RateLimitedLog,
}

impl Console {
    /// `length` is the length of the input in bytes, if it is known.
    pub(crate) fn new(length: Option<u64>, writer: &LogWriter) -> Console {
        let bar = match length {
            Some(length) => ProgressBar::new(length).with_style(
                ProgressStyle::with_template("{bar:30} {percent}% read, {msg} ({elapsed})")
                    .expect("the template is valid"),
            ),
            None => ProgressBar::new_spinner().with_style(
                ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
                    .expect("the template is valid"),
            ),
        };
        let shows_progress = !bar.is_hidden();
        if shows_progress {
            writer.show(bar);
        }
        Console {
            writer: writer.clone(),
            shows_progress,
            log: RateLimitedLog::new(),
        }
    }

    /// Whether standard error is a terminal, so that progress is visible.
    pub(crate) fn shows_progress(&self) -> bool {
        self.shows_progress
    }

    /// Updates the line of progress.
    pub(crate) fn progress(&self, read: u64, message: String) {
        self.writer.progress(read, message);
    }

    /// The log for lines that may come thousands of times.
    pub(crate) fn limited_log(&self) -> &RateLimitedLog {
        &self.log
    }

    /// Logs a line.
    pub(crate) fn info(&self, text: &str) {
        tracing::info!("{text}");
    }

    /// Logs an error.
    pub(crate) fn error(&self, text: &str) {
        tracing::error!("{text}");
    }

    /// Logs a line that may come thousands of times.
    pub(crate) fn warn_limited(&self, text: &str) {
        self.log.log(|| tracing::warn!("{text}"));
    }

    /// Removes the line of progress.
    pub(crate) fn finish(&self) {
        self.log.flush();
        self.writer.clear_progress();
    }
}
