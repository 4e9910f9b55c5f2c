//! Submits the documents of a stream, and keeps the cursor up to which all are accepted.

use super::stats::StreamStats;
use crate::sources::completion::Report;
use crate::sources::feeder::Feeder;
use crate::sources::saved;
use crate::sources::splitter::Line;
use crate::sources::tracker::{TrackedLine, Tracker};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the cursor is written, at most.
const SAVING: Duration = Duration::from_secs(1);
/// How long to wait for the disk when the program ends.
const AT_THE_END: Duration = Duration::from_secs(2);
/// How often a wait looks again.
const STEP: Duration = Duration::from_millis(1);

/// A position in a stream: its cursor, or its beginning.
pub(super) type Cursor = Option<String>;

/// What the file of the cursor holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    source: String,
    cursor: Cursor,
}

/// Submits the documents of a stream in order.
pub(super) struct Documents {
    feeder: Feeder,
    stats: Arc<StreamStats>,
    tracker: Arc<Tracker<Cursor>>,
    /// The position after the last document that was submitted.
    last: Cursor,
    /// Documents so far.
    number: u64,
    directory: PathBuf,
    saved: Cursor,
    saved_at: Instant,
}

impl Documents {
    /// Goes on at the cursor that was saved in `directory`.
    ///
    /// # Errors
    /// Its file cannot be read, or is damaged.
    pub(super) fn resume(
        feeder: Feeder,
        stats: Arc<StreamStats>,
        directory: PathBuf,
    ) -> Result<Documents> {
        let found = saved::load::<Saved>(&directory, &file_name(stats.name()), "the stream")?;
        let cursor = found.and_then(|found| found.cursor);
        stats.saved(cursor.as_deref());
        Ok(Documents {
            feeder,
            stats,
            tracker: Arc::new(Tracker::new(cursor.clone())),
            last: cursor.clone(),
            number: 0,
            directory,
            saved: cursor,
            saved_at: Instant::now(),
        })
    }

    /// The cursor up to which every document is accepted or skipped.
    pub(super) fn cursor(&self) -> Cursor {
        self.tracker.safe()
    }

    /// The position after the last document that was submitted.
    pub(super) fn position(&self) -> Cursor {
        self.last.clone()
    }

    /// Whether the program ends.
    pub(super) fn must_end(&self) -> bool {
        self.feeder.must_end()
    }

    /// Whether the queue refused a document, so that it must be read again.
    pub(super) fn has_refused(&self) -> bool {
        self.tracker.has_refused()
    }

    pub(super) fn report(&self) -> &Report {
        self.feeder.report()
    }

    /// Waits, unless a signal arrives. Returns whether one has.
    pub(super) fn pause(&self, time: Duration) -> bool {
        self.feeder.signals().pause(time)
    }

    /// Submits a document, after which the stream is at `cursor`; without one, where it was. Waits for
    /// room if it must.
    pub(super) fn submit(&mut self, document: &[u8], cursor: Cursor) {
        self.stats.document();
        let number = self.begin(cursor);
        let completion = Arc::new(TrackedLine {
            tracker: Arc::clone(&self.tracker),
            report: Arc::clone(self.feeder.report()),
        });
        let line = Line::Text(number, document);
        if !self.feeder.submit(line, None, &completion) {
            // A signal came first: it is read again after the next start.
            self.tracker.refuse();
        }
    }

    /// Reports a document that is too long, and begins like this.
    pub(super) fn skip_too_long(&mut self, beginning: &[u8]) {
        self.stats.document();
        self.number += 1;
        let line = Line::TooLong(self.number, beginning);
        let _submitted = self.feeder.submit(line, None, self.feeder.report());
    }

    /// Moves to a cursor that came without an event.
    pub(super) fn advance(&mut self, cursor: Cursor) {
        self.stats.document();
        let number = self.begin(cursor);
        self.tracker.finish(number);
    }

    fn begin(&mut self, cursor: Cursor) -> u64 {
        self.number += 1;
        if cursor.is_some() {
            self.last = cursor;
        }
        self.tracker.begin(self.number, self.last.clone());
        self.number
    }

    /// Logs and counts that documents may have been missed.
    pub(super) fn gap(&self, text: &str) {
        self.stats.gap();
        let name = self.stats.name();
        let text = format!("stream {name}: events may be lost: {text}");
        self.feeder.report().error(&text);
    }

    /// Begins again at `cursor`, once every document that was submitted has an outcome. The next
    /// response is read from there.
    pub(super) fn restart_at(&mut self, cursor: Cursor) {
        self.tracker = Arc::new(Tracker::new(cursor.clone()));
        self.last = cursor;
    }

    /// Waits until every document has an outcome, or a signal arrives.
    pub(super) fn settle(&self) {
        while !self.tracker.is_settled() && !self.pause(STEP) {}
    }

    /// Waits for outcomes of documents for a moment, and saves the cursor.
    ///
    /// # Errors
    /// See [`Documents::save`].
    pub(super) fn settle_at_the_end(&mut self) -> Result<()> {
        let until = Instant::now() + AT_THE_END;
        while !self.tracker.is_settled() && Instant::now() < until {
            std::thread::sleep(STEP);
        }
        self.save()
    }

    /// Saves the cursor, at most once a second, and before a longer wait for input.
    ///
    /// # Errors
    /// See [`Documents::save`].
    pub(super) fn save_in_time(
        &mut self,
        has_input_within: impl Fn(Duration) -> bool,
    ) -> Result<()> {
        while self.cursor() != self.saved || !self.tracker.is_settled() {
            let left = SAVING.saturating_sub(self.saved_at.elapsed());
            let wait = if self.tracker.is_settled() {
                left
            } else {
                STEP
            };
            if left.is_zero() && self.cursor() != self.saved {
                self.save()?;
            } else if has_input_within(wait) {
                break;
            }
        }
        Ok(())
    }

    /// Saves the cursor up to which every document is accepted.
    ///
    /// # Errors
    /// Its file cannot be written.
    pub(super) fn save(&mut self) -> Result<()> {
        self.saved_at = Instant::now();
        let cursor = self.cursor();
        if cursor == self.saved {
            return Ok(());
        }
        let name = self.stats.name();
        let saved = Saved {
            source: name.to_owned(),
            cursor,
        };
        saved::save(&self.directory, &file_name(name), &saved)?;
        self.saved = saved.cursor;
        self.stats.saved(self.saved.as_deref());
        Ok(())
    }
}

/// The name of the cursor's file. A source's name has no dot, and the slash before a resource type
/// becomes one.
fn file_name(name: &str) -> String {
    format!("stream-{}.json", name.replace('/', "."))
}
