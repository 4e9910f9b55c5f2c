//! The outcome of a line: it is acknowledged, counted, and logged if it was not accepted.

use super::acks::{AckIds, AckSender};
use super::stats::{InputCounters, InputStats};
use crate::console::Console;
use std::collections::BTreeSet;
use std::sync::Arc;
use webhook_dispatch::Receipt;
use webhook_queue::Sequence;

/// Receives the outcome of each line of a source, once per line.
pub(super) trait Completion: Send + Sync + 'static {
    /// Its events were accepted, or what was not understood of it is kept.
    fn accepted(&self, line: u64, accepted: Accepted);

    /// An event of it was submitted, and the queue did not accept it.
    fn refused(&self, line: u64, why: &str);

    /// An event of it is not understood, or too long; it is skipped.
    fn rejected(&self, line: u64, why: &str);

    /// What its events must not overtake each other in, if lines that are refused are read again.
    fn sequence(&self) -> Option<&Sequence> {
        None
    }
}

/// What was accepted of a line.
#[derive(Debug)]
pub(super) enum Accepted {
    /// The line is one event.
    Event(Receipt),
    /// The line is a document with any number of events.
    Document(Vec<Receipt>),
}

/// Reports on the lines of one source.
pub(crate) struct Report {
    /// The input, if it is not the default one, and the source, if there are several.
    prefix: String,
    console: Console,
    acks: Option<AckSender>,
    stats: Arc<InputStats>,
    counters: Arc<InputCounters>,
}

impl Report {
    /// `source` is its name, if there are several.
    pub(crate) fn new(
        source: Option<&str>,
        console: Console,
        acks: Option<AckSender>,
        stats: Arc<InputStats>,
        input: &Arc<str>,
    ) -> Report {
        let mut prefix = String::new();
        if !input.is_empty() {
            prefix.push_str(&format!("input {input}: "));
        }
        if let Some(source) = source {
            prefix.push_str(&format!("{source}: "));
        }
        Report {
            prefix,
            console,
            acks,
            counters: stats.input(input),
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

    /// Counts an event that was submitted.
    pub(super) fn event(&self) {
        self.stats.event();
        self.counters.event();
    }

    /// Counts and logs what is kept as a reject.
    pub(super) fn unknown(&self, line: u64, why: &str) {
        self.counters.unknown();
        self.warn_of_line(
            line,
            &format!("not understood, and kept as a reject: {why}"),
        );
    }

    /// Where a line is, for the file of rejects.
    pub(super) fn place(&self, line: u64) -> String {
        format!("{}line {line}", self.prefix)
    }

    /// Logs something about a line, unless too many are logged.
    pub(super) fn warn_of_line(&self, line: u64, text: &str) {
        self.warn(&format!("{}: {text}", self.place(line)));
    }

    pub(super) fn warn(&self, text: &str) {
        self.console.warn_limited(text);
    }

    /// Logs something that may come thousands of times.
    pub(super) fn info(&self, text: &str) {
        self.console.limited_log().log(|| tracing::info!("{text}"));
    }

    /// Logs what an operator must know.
    pub(super) fn error(&self, text: &str) {
        self.console.error(text);
    }

    /// Logs and counts lines of a followed file that could not be read.
    pub(super) fn gap(&self, text: &str) {
        self.stats.gap();
        self.console.error(text);
    }
}

impl Completion for Report {
    fn accepted(&self, line: u64, accepted: Accepted) {
        let Some(acks) = &self.acks else { return };
        match accepted {
            Accepted::Event(receipt) => {
                if receipt.is_safe() {
                    acks.send(line, AckIds::One(receipt.id), receipt.over_quota);
                }
            }
            Accepted::Document(receipts) => {
                if receipts.iter().all(Receipt::is_safe) {
                    let ids = receipts.iter().map(|receipt| receipt.id).collect();
                    let over = receipts
                        .iter()
                        .flat_map(|receipt| receipt.over_quota.iter());
                    let over: BTreeSet<Arc<str>> = over.cloned().collect();
                    acks.send(line, AckIds::Several(ids), over.into_iter().collect());
                }
            }
        }
    }

    fn refused(&self, line: u64, why: &str) {
        self.stats.refuse();
        self.warn_of_line(line, why);
    }

    fn rejected(&self, line: u64, why: &str) {
        self.stats.reject();
        self.counters.reject();
        self.warn_of_line(line, why);
    }
}
