//! The outcome of a line: it is acknowledged, counted, and logged if it was not accepted.

use super::acks::AckSender;
use super::stats::InputStats;
use crate::console::{Console, chain};
use std::sync::Arc;
use webhook_dispatch::{Receipt, Refusal};

/// Receives the outcome of each line of a source, once per line.
pub(super) trait Completion: Send + Sync + 'static {
    /// Its event was accepted.
    fn accepted(&self, line: u64, receipt: &Receipt);

    /// Its event was submitted, and the queue did not accept it.
    fn refused(&self, line: u64, refusal: &Refusal);

    /// It is not an event, or too long; it is skipped.
    fn rejected(&self, line: u64, why: &str);
}

/// Reports on the lines of one source.
pub(crate) struct Report {
    /// Name of the source and a colon, if there are several sources.
    prefix: String,
    console: Console,
    acks: Option<AckSender>,
    stats: Arc<InputStats>,
}

impl Report {
    pub(crate) fn new(
        source: Option<&str>,
        console: Console,
        acks: Option<AckSender>,
        stats: Arc<InputStats>,
    ) -> Report {
        Report {
            prefix: source.map_or_else(String::new, |source| format!("{source}: ")),
            console,
            acks,
            stats,
        }
    }

    pub(super) fn stats(&self) -> &InputStats {
        &self.stats
    }

    /// Whether acknowledgements can no longer be written.
    pub(super) fn has_lost_acks(&self) -> bool {
        self.acks.as_ref().is_some_and(AckSender::has_failed)
    }

    /// Logs that reading ended at this line, because of a signal.
    pub(super) fn ended_at(&self, line: u64) {
        let prefix = &self.prefix;
        self.console.info(&format!(
            "{prefix}line {line} and those after it were not accepted"
        ));
    }

    /// Logs something about a line, unless too many are logged.
    pub(super) fn warn_of_line(&self, line: u64, text: &str) {
        self.warn(&format!("{}line {line}: {text}", self.prefix));
    }

    pub(super) fn warn(&self, text: &str) {
        self.console.warn_limited(text);
    }

    /// Logs and counts lines of a followed file that could not be read.
    pub(super) fn gap(&self, text: &str) {
        self.stats.gap();
        self.console.error(text);
    }
}

impl Completion for Report {
    fn accepted(&self, line: u64, receipt: &Receipt) {
        if let Some(acks) = self.acks.as_ref().filter(|_| receipt.is_safe()) {
            acks.send(line, receipt.id, &receipt.over_quota);
        }
    }

    fn refused(&self, line: u64, refusal: &Refusal) {
        self.stats.refuse();
        self.warn_of_line(line, &chain(refusal));
    }

    fn rejected(&self, line: u64, why: &str) {
        self.stats.reject();
        self.warn_of_line(line, why);
    }
}
