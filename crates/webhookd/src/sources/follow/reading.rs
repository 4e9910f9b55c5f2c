//! An open file of `--follow`, and how far it was read.

use super::checkpoint::Checkpoint;
use super::tracker::{Mark, Tracker};
use crate::sources::completion::{Completion, Report};
use crate::sources::feeder::Feeder;
use crate::sources::splitter::{Line, Splitter};
use anyhow::{Context, Result};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_dispatch::{Receipt, Refusal};

/// Bytes asked for in one read.
const CHUNK: usize = 64 * 1024;

/// A file that is being read.
pub(super) struct Reading {
    file: File,
    checkpoint: Checkpoint,
    tracker: Arc<Tracker>,
    splitter: Splitter,
    /// Bytes read.
    offset: u64,
    saved: Instant,
}

impl Reading {
    /// Reads on from a checkpoint.
    pub(super) fn resume(file: File, checkpoint: Checkpoint, max_line: usize) -> Reading {
        let mark = checkpoint.mark();
        Reading {
            file,
            checkpoint,
            tracker: Arc::new(Tracker::new(mark)),
            splitter: Splitter::after(mark.line, max_line),
            offset: mark.offset,
            saved: Instant::now(),
        }
    }

    /// Goes back to the first line that must be read again.
    pub(super) fn rewind(&mut self, max_line: usize) {
        let mark = self.tracker.safe();
        self.tracker = Arc::new(Tracker::new(mark));
        self.splitter = Splitter::after(mark.line, max_line);
        self.offset = mark.offset;
    }

    pub(super) fn inode(&self) -> Result<u64> {
        Ok(self.file.metadata().context("cannot look at it")?.ino())
    }

    /// Whether the file no longer holds what was read of it.
    pub(super) fn is_overwritten(&self) -> Result<bool> {
        let metadata = self.file.metadata().context("cannot look at it")?;
        Ok(metadata.len() < self.offset || !self.checkpoint.is_in(&self.file, &metadata))
    }

    /// Whether the queue refused a line.
    pub(super) fn has_refused(&self) -> bool {
        self.tracker.has_refused()
    }

    /// Whether the outcome of every line is known.
    pub(super) fn is_settled(&self) -> bool {
        self.tracker.is_settled()
    }

    /// The time since the checkpoint was saved.
    pub(super) fn since_save(&self) -> Duration {
        self.saved.elapsed()
    }

    /// Reads a chunk, and feeds the lines in it. Returns false at the end of the file.
    pub(super) fn feed_some(&mut self, feeder: &Feeder) -> Result<bool> {
        let mut chunk = vec![0; CHUNK];
        let read = match self.file.read_at(&mut chunk, self.offset) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error).context("cannot read on"),
        };
        let chunk = &chunk[..read];
        feeder.report().stats().read_bytes(read as u64);
        let mut rest = chunk;
        while let Some(line) = self.splitter.next(&mut rest) {
            let end = self.offset + (chunk.len() - rest.len()) as u64;
            let fed = feed(feeder, &self.tracker, &self.checkpoint, line, end);
            if !fed || self.tracker.has_refused() {
                return Ok(true);
            }
        }
        self.offset += read as u64;
        Ok(read > 0)
    }

    /// Feeds the text after the last line feed, of a file that no longer grows.
    pub(super) fn feed_last(&mut self, feeder: &Feeder) {
        if let Some(line) = self.splitter.last() {
            feed(feeder, &self.tracker, &self.checkpoint, line, self.offset);
        }
    }

    /// Saves the position up to which every line is done.
    pub(super) fn save(&mut self, directory: &Path) -> Result<()> {
        self.saved = Instant::now();
        let mark = self.tracker.safe();
        if mark == self.checkpoint.mark() {
            return Ok(());
        }
        if self.checkpoint.advance(&self.file, mark).is_err() {
            // The file was truncated meanwhile, which makes the checkpoint useless. The next look
            // finds that out.
            return Ok(());
        }
        self.checkpoint.save(directory)
    }
}

/// Feeds a line that ends at `end`. Returns false if a signal arrived first.
fn feed(
    feeder: &Feeder,
    tracker: &Arc<Tracker>,
    checkpoint: &Checkpoint,
    line: Line<'_>,
    end: u64,
) -> bool {
    let Line::Text(number, _) = line else {
        // Its end may not have been read yet, so it cannot be marked.
        return feeder.submit(line, None, feeder.report());
    };
    tracker.begin(Mark {
        offset: end,
        line: number,
    });
    let completion = Arc::new(FollowedLine {
        tracker: Arc::clone(tracker),
        report: Arc::clone(feeder.report()),
    });
    let key = format!("follow {} {end}", checkpoint.reading);
    feeder.submit(line, Some(&key), &completion)
}

/// Tracks a line besides reporting on it.
struct FollowedLine {
    tracker: Arc<Tracker>,
    report: Arc<Report>,
}

impl Completion for FollowedLine {
    fn accepted(&self, line: u64, receipt: &Receipt) {
        self.tracker.finish(line);
        self.report.accepted(line, receipt);
    }

    /// The line is read again, at once or after the next start, so it does not count as refused.
    fn refused(&self, line: u64, refusal: &Refusal) {
        self.tracker.refuse();
        self.report
            .warn_of_line(line, &crate::console::chain(refusal));
    }

    fn rejected(&self, line: u64, why: &str) {
        self.tracker.finish(line);
        self.report.rejected(line, why);
    }
}
