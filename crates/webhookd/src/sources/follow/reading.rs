//! An open file of `--follow`, and how far it was read.

use super::checkpoint::{COMPARED, Checkpoint, FINGERPRINT, Mark, before};
use super::content::{Content, FileId, is_damage};
use crate::sources::feeder::Feeder;
use crate::sources::splitter::{Line, Splitter};
use crate::sources::tracker::{TrackedLine, Tracker};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes asked for in one read.
const CHUNK: usize = 64 * 1024;

/// A file that is being read.
pub(super) struct Reading {
    content: Content,
    checkpoint: Checkpoint,
    tracker: Arc<Tracker<Mark>>,
    splitter: Splitter,
    /// What was read, and not fed yet.
    chunk: Vec<u8>,
    /// Bytes fed, which come before the chunk.
    offset: u64,
    /// The first bytes of the file, as many as its fingerprint has.
    start: Vec<u8>,
    /// Whether the file was found to be overwritten. It may look the same again later.
    overwritten: bool,
    /// The last bytes fed; empty if they are not known.
    tail: Vec<u8>,
    /// The longest that the file was.
    length: u64,
    saved: Instant,
    /// When something was read.
    read: Instant,
}

/// What a read has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Bytes,
    End,
    /// The file no longer holds what was read of it.
    Overwritten,
    /// A compressed file cannot be decompressed any further.
    Damage,
}

impl Reading {
    /// Reads on from a checkpoint.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn resume(
        mut content: Content,
        checkpoint: Checkpoint,
        max_line: usize,
    ) -> Result<Reading> {
        let mark = checkpoint.mark();
        let tail = before(&mut content, mark.offset).context("cannot read on")?;
        let start = start(&mut content)?;
        Ok(Reading {
            start,
            overwritten: false,
            tail,
            content,
            checkpoint,
            tracker: Arc::new(Tracker::new(mark)),
            splitter: Splitter::after(mark.line, max_line),
            chunk: Vec::new(),
            offset: mark.offset,
            length: mark.offset,
            saved: Instant::now(),
            read: Instant::now(),
        })
    }

    /// Goes back to the first line that must be read again, in a file that is not overwritten.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn rewind(&mut self, max_line: usize) -> Result<()> {
        let mark = self.tracker.safe();
        self.tracker = Arc::new(Tracker::new(mark));
        self.splitter = Splitter::after(mark.line, max_line);
        self.chunk.clear();
        self.offset = mark.offset;
        self.tail = before(&mut self.content, mark.offset).context("cannot read on")?;
        Ok(())
    }

    pub(super) fn id(&self) -> Result<FileId> {
        self.content.id().context("cannot look at it")
    }

    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    pub(super) fn into_checkpoint(self) -> Checkpoint {
        self.checkpoint
    }

    /// Whether the file may grow.
    pub(super) fn may_grow(&self) -> bool {
        !self.content.is_compressed()
    }

    /// The time since something was read.
    pub(super) fn since_read(&self) -> Duration {
        self.read.elapsed()
    }

    /// Whether the file no longer holds what was read of it.
    pub(super) fn is_overwritten(&mut self) -> Result<bool> {
        if self.content.is_compressed() {
            return Ok(false);
        }
        let metadata = self.content.metadata().context("cannot look at it")?;
        if !self.overwritten {
            self.overwritten = metadata.len() < self.offset || !self.holds_ends()?;
        }
        if self.overwritten {
            return Ok(true);
        }
        self.length = self.length.max(metadata.len());
        Ok(false)
    }

    /// Whether the file begins as it did, and has the last bytes fed where they were.
    fn holds_ends(&mut self) -> Result<bool> {
        let start = self.content.bytes(0, self.start.len());
        if start.context("cannot look at it")? != self.start {
            return Ok(false);
        }
        let tail = before(&mut self.content, self.offset).context("cannot look at it")?;
        Ok(tail.ends_with(&self.tail))
    }

    /// Whether everything that the file is known to have held is durable, or skipped.
    pub(super) fn is_complete(&self) -> bool {
        let split = self.offset - self.splitter.kept() as u64;
        self.is_settled() && !self.has_refused() && split >= self.length
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

    /// Reads a chunk.
    pub(super) fn fetch(&mut self, feeder: &Feeder) -> Result<Found> {
        self.chunk.resize(CHUNK, 0);
        let read = match self.content.read_at(&mut self.chunk, self.offset) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => 0,
            Err(error) if self.content.is_compressed() && is_damage(&error) => {
                return Ok(Found::Damage);
            }
            Err(error) => return Err(error).context("cannot read on"),
        };
        self.chunk.truncate(read);
        // Looked at after the read: what was read before the file was overwritten is valid.
        if self.is_overwritten()? {
            return Ok(Found::Overwritten);
        }
        if read == 0 {
            return Ok(Found::End);
        }
        feeder.report().stats().read_bytes(read as u64);
        self.read = Instant::now();
        Ok(Found::Bytes)
    }

    /// Whether the checkpoint must be saved before the chunk is fed, which may take long: without
    /// the file's beginning it does not recognise a copy of the file.
    pub(super) fn lacks_beginning(&self) -> bool {
        let read = self.offset + self.chunk.len() as u64;
        self.checkpoint.lacks_beginning(read)
    }

    /// Feeds the lines in the chunk.
    pub(super) fn feed(&mut self, feeder: &Feeder) {
        let chunk = std::mem::take(&mut self.chunk);
        let mut rest = &chunk[..];
        while let Some(line) = self.splitter.next(&mut rest) {
            let end = self.offset + (chunk.len() - rest.len()) as u64;
            let fed = feed(feeder, &self.tracker, &self.checkpoint, line, end);
            if !fed || self.tracker.has_refused() {
                return;
            }
        }
        self.offset += chunk.len() as u64;
        self.tail
            .extend_from_slice(&chunk[chunk.len().saturating_sub(COMPARED)..]);
        self.tail.drain(..self.tail.len().saturating_sub(COMPARED));
        self.chunk = chunk;
        self.chunk.clear();
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
        if mark == self.checkpoint.mark() && !self.lacks_beginning() {
            return Ok(());
        }
        let intact = !self.is_overwritten()?;
        self.checkpoint.advance(&mut self.content, mark, intact)?;
        if intact && self.start.len() < FINGERPRINT {
            self.start = start(&mut self.content)?;
        }
        self.checkpoint.save(directory)
    }
}

/// The first bytes of a file. A compressed one is not looked at again.
fn start(content: &mut Content) -> Result<Vec<u8>> {
    if content.is_compressed() {
        return Ok(Vec::new());
    }
    content.bytes(0, FINGERPRINT).context("cannot read on")
}

/// Feeds a line that ends at `end`. Returns false if a signal arrived first.
fn feed(
    feeder: &Feeder,
    tracker: &Arc<Tracker<Mark>>,
    checkpoint: &Checkpoint,
    line: Line<'_>,
    end: u64,
) -> bool {
    let Line::Text(number, _) = line else {
        // Its end may not have been read yet, so it cannot be marked.
        return feeder.submit(line, None, feeder.report());
    };
    let after = Mark {
        offset: end,
        line: number,
    };
    tracker.begin(number, after);
    let completion = Arc::new(TrackedLine {
        tracker: Arc::clone(tracker),
        report: Arc::clone(feeder.report()),
    });
    let key = format!("follow {} {end}", checkpoint.reading);
    feeder.submit(line, Some(&key), &completion)
}
