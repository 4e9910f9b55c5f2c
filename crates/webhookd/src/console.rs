//! What is said on standard error, and the line of progress at its end.

use crate::log::{RateLimitedLog, Screen, printable};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;

/// Says why something did not go, or what came of it, whoever listens: in the log, if there is one.
pub(crate) fn complain(text: &str) {
    if tracing::dispatcher::has_been_set() {
        tracing::error!("{text}");
    } else {
        print(&printable(text));
    }
}

/// Says something that is no log line, whoever listens.
pub(crate) fn print(text: &str) {
    // Without a standard error there is nowhere to say that it is gone.
    drop(writeln!(std::io::stderr().lock(), "webhookd: {text}"));
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
    bar: ProgressBar,
    log: RateLimitedLog,
}

impl Console {
    /// `length` is that of the input in bytes, if it is known.
    pub(crate) fn new(length: Option<u64>, screen: &Screen) -> Console {
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
        screen.show(bar.clone());
        Console {
            bar,
            log: RateLimitedLog::new(),
        }
    }

    /// Whether progress is seen by anybody.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// Shows how far it is.
    pub(crate) fn progress(&self, read: u64, message: String) {
        self.bar.set_position(read);
        self.bar.set_message(message);
        self.bar.tick();
    }

    /// What limits lines that may come thousands of times.
    pub(crate) fn limited_log(&self) -> &RateLimitedLog {
        &self.log
    }

    /// Says something.
    pub(crate) fn info(&self, text: &str) {
        tracing::info!("{text}");
    }

    /// Says something that may come thousands of times.
    pub(crate) fn warn_limited(&self, text: &str) {
        self.log.log(|| tracing::warn!("{text}"));
    }

    /// Takes the line of progress away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
        self.log.finish();
    }
}
