//! What is said on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use webhook_dispatch::{Observer, Trouble};

/// Lines about trouble with single events that are printed in a second; the rest is counted.
const LINES_A_SECOND: u32 = 20;

/// Says something, whoever listens.
pub(crate) fn complain(text: &str) {
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

/// Standard error, with a line of progress at its end when it is a terminal.
#[derive(Clone)]
pub(crate) struct Console {
    bar: ProgressBar,
    limit: Arc<Mutex<Limit>>,
}

struct Limit {
    since: Instant,
    printed: u32,
    kept_back: u64,
}

impl Console {
    /// `length` is that of the input in bytes, if it is known.
    pub(crate) fn new(length: Option<u64>) -> Console {
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
        Console {
            bar,
            limit: Arc::new(Mutex::new(Limit {
                since: Instant::now(),
                printed: 0,
                kept_back: 0,
            })),
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

    /// Says something, above the line of progress.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| complain(text));
    }

    /// Says something that may come thousands of times.
    pub(crate) fn say_sparingly(&self, text: &str) {
        let kept_back = {
            let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
            if limit.since.elapsed() >= Duration::from_secs(1) {
                limit.since = Instant::now();
                limit.printed = 0;
            }
            if limit.printed >= LINES_A_SECOND {
                limit.kept_back += 1;
                return;
            }
            limit.printed += 1;
            std::mem::take(&mut limit.kept_back)
        };
        self.tell_kept_back(kept_back);
        self.say(text);
    }

    /// Takes the line of progress away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
        let kept_back = {
            let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut limit.kept_back)
        };
        self.tell_kept_back(kept_back);
    }

    fn tell_kept_back(&self, lines: u64) {
        if lines > 0 {
            self.say(&format!("({lines} more like these were not printed)"));
        }
    }
}

impl Observer for Console {
    fn trouble(&self, trouble: &Trouble<'_>) {
        match trouble {
            Trouble::AttemptFailed { .. } => self.say_sparingly(&trouble.to_string()),
            _ => self.say(&trouble.to_string()),
        }
    }
}
