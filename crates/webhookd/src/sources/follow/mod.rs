//! `--follow`: lines of a file that grows, is rotated, truncated, or does not exist yet.
//!
//! The file is polled ten times a second. That works on every file system, at a cost too small to
//! measure. A rotated file is read to its end before the next newer one, up to the file itself.
//! Whatever cannot be read is reported as a gap.

mod checkpoint;
mod content;
mod reading;
mod rotated;
mod search;

use super::feeder::Feeder;
use crate::messages::Message;
use anyhow::{Context, Result};
use checkpoint::Checkpoint;
use content::Content;
use crossbeam_channel::Sender;
use reading::{Found, Reading};
use rotated::Candidate;
use search::{Next, find, is_newer, open_first};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long to wait when there is nothing to read.
const STEP: Duration = Duration::from_millis(100);
/// How often the checkpoint is written while there is something to read.
const SAVING: Duration = Duration::from_secs(1);
/// How long to wait for the disk when the program ends.
const AT_THE_END: Duration = Duration::from_secs(2);
/// How long to wait after the queue refused a line, or after an error.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);
/// How often to look for a file, or to read a damaged one, while a rotation may be under way.
const TRIES: u32 = 5;
/// How long a rotated file is read on while the next one is empty: a program writes to its old file
/// until it is told of the rotation.
const LINGER: Duration = Duration::from_secs(300);

/// Follows a file.
pub(crate) struct Follower {
    path: PathBuf,
    /// Where the checkpoint is kept.
    directory: PathBuf,
    max_line: usize,
    feeder: Feeder,
}

/// Why reading a file has ended.
enum Ended {
    /// The program ends.
    Stopped,
    /// It was rotated, and read to its end.
    Rotated(Next),
    /// It was truncated, or overwritten from its beginning.
    Overwritten,
    /// It is compressed, and damaged or incomplete.
    Damaged,
}

impl Follower {
    pub(crate) fn new(
        path: PathBuf,
        directory: PathBuf,
        max_line: usize,
        feeder: Feeder,
    ) -> Follower {
        Follower {
            path,
            directory,
            max_line,
            feeder,
        }
    }

    /// Follows the file on a thread of its own, until a signal arrives.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn start(self, messages: Sender<Message>) -> Result<()> {
        std::thread::Builder::new()
            .name("source-follow".to_owned())
            .spawn(move || {
                let followed = self
                    .keep_following()
                    .with_context(|| format!("cannot follow {}", self.path.display()));
                // While the program ends, the message is not received.
                drop(messages.send(Message::SourceEnded(followed)));
            })
            .context("cannot start a thread")?;
        Ok(())
    }

    /// Follows until a signal arrives. After a passing error, such as a full disk or a file that
    /// may not be read yet, it goes on at the checkpoint; lines that are read again have the same
    /// keys as before.
    ///
    /// # Errors
    /// The checkpoint cannot be read at the start.
    fn keep_following(&self) -> Result<()> {
        let mut known = self.load()?;
        loop {
            let Err(error) = self.follow(known) else {
                return Ok(());
            };
            let path = self.path.display();
            let report = self.feeder.report();
            report.warn(&format!("cannot follow {path} for now: {error:#}"));
            known = loop {
                if self.pause(AFTER_REFUSAL) {
                    return Ok(());
                }
                if let Ok(known) = self.load() {
                    break known;
                }
            };
        }
    }

    fn load(&self) -> Result<Option<Checkpoint>> {
        Checkpoint::load(&self.directory, &self.path)
    }

    /// Waits, unless a signal arrives. Returns whether one has.
    fn pause(&self, time: Duration) -> bool {
        self.feeder.signals().pause(time)
    }

    fn follow(&self, known: Option<Checkpoint>) -> Result<()> {
        let mut next = match known {
            Some(known) => self.resume(known, false)?,
            None => self.wait_for_file()?,
        };
        let mut damaged = 0;
        // `None` once a signal has arrived.
        while let Some(mut reading) = next {
            next = match self.read(&mut reading)? {
                Ended::Stopped => None,
                Ended::Rotated(found) => Some(self.go_on(found)?),
                Ended::Overwritten => {
                    let complete = reading.is_complete();
                    self.resume(reading.into_checkpoint(), complete)?
                }
                Ended::Damaged if damaged < TRIES => {
                    // It may still be written.
                    damaged += 1;
                    match self.pause(AFTER_REFUSAL) {
                        true => None,
                        false => self.resume(reading.into_checkpoint(), false)?,
                    }
                }
                Ended::Damaged => {
                    damaged = 0;
                    let at = reading.checkpoint().mark();
                    self.gap(&format!(
                        "a compressed file cannot be decompressed after line {} (byte {})",
                        at.line, at.offset
                    ));
                    match self.wait_until(|| self.next_after(&reading))? {
                        Some(found) => Some(self.go_on(found)?),
                        None => None,
                    }
                }
            };
        }
        Ok(())
    }

    /// Reads on at a checkpoint: in the file itself, or in a rotated file or a copy. If there is
    /// none, the lines after the checkpoint are lost, unless it is `complete`; then it reads what was
    /// written later. `None` if a signal arrives.
    fn resume(&self, mut known: Checkpoint, complete: bool) -> Result<Option<Reading>> {
        let mut tries = 0;
        while tries < TRIES {
            let list = self.list(&known)?;
            if let Some((_, content)) = find(&list, &known)? {
                known.take_from(&content)?;
                return Reading::resume(content, known, self.max_line).map(Some);
            }
            if complete {
                break;
            }
            // Without any file, its file system may not be mounted yet.
            tries += u32::from(!list.is_empty());
            if self.pause(STEP) {
                return Ok(None);
            }
        }
        let newer = || {
            let list = self.list(&known)?.into_iter();
            open_first(list.filter(|it| is_newer(it, &known)).collect())
        };
        let mut found = newer()?;
        let mark = known.mark();
        if !complete && (mark.offset > 0 || known.knows_content()) {
            let next = found.as_ref().map_or(&self.path, |found| &found.path);
            self.gap(&format!(
                "the file that was read up to line {} (byte {}) is neither there nor among the \
                 rotated files; going on at the beginning of {}",
                mark.line,
                mark.offset,
                next.display()
            ));
        }
        if found.is_none() {
            found = self.wait_until(newer)?;
        }
        found.map(|found| self.go_on(found)).transpose()
    }

    /// Looks for something until it is there; `None` if a signal arrives first.
    fn wait_until<T>(&self, look: impl Fn() -> Result<Option<T>>) -> Result<Option<T>> {
        loop {
            let found = look()?;
            if found.is_some() {
                return Ok(found);
            }
            if self.pause(STEP) {
                return Ok(None);
            }
        }
    }

    /// Begins to read the next file.
    fn go_on(&self, next: Next) -> Result<Reading> {
        for gap in next.gaps {
            self.gap(&gap);
        }
        self.begin(next.content)
    }

    fn begin(&self, mut content: Content) -> Result<Reading> {
        let checkpoint = Checkpoint::start(&self.path, &mut content)?;
        // Keys of lines refer to it, so it is saved before the first line is submitted.
        checkpoint.save(&self.directory)?;
        Reading::resume(content, checkpoint, self.max_line)
    }

    fn list(&self, known: &Checkpoint) -> Result<Vec<Candidate>> {
        rotated::list(&self.path, known.file()).context("cannot look at it")
    }

    /// The file to read after a rotated one that was read to its end; `None` while it must be read
    /// on.
    fn next_after(&self, reading: &Reading) -> Result<Option<Next>> {
        let id = reading.id()?;
        if let Ok(metadata) = std::fs::metadata(&self.path)
            && content::id(&metadata) == id
        {
            return Ok(None);
        }
        let known = reading.checkpoint();
        let mut list = self.list(known)?;
        let place = list.iter().position(|it| it.id == id);
        let place = match place {
            Some(place) => Some(place),
            None => find(&list, known)?.map(|(place, _)| place),
        };
        let mut pruned = None;
        match place {
            Some(place) => drop(list.drain(..=place)),
            None => {
                // Renamed to another folder, or deleted. What was rotated between it and the oldest
                // file that is left may be deleted, too.
                list.retain(|it| is_newer(it, known));
                let oldest = list.iter().find(|it| !it.is_live);
                pruned = oldest.map(|oldest| {
                    format!(
                        "the rotated file that was read last is deleted, and so may be others up to \
                         {}",
                        oldest.path.display()
                    )
                });
            }
        }
        let may_grow = reading.may_grow() && reading.since_read() < LINGER;
        if list.is_empty() || may_grow && list.iter().all(|it| it.is_empty) {
            return Ok(None);
        }
        let mut next = open_first(list)?;
        if let Some(next) = &mut next {
            next.gaps.extend(pruned);
        }
        Ok(next)
    }

    /// Reports lines that could not be read.
    fn gap(&self, text: &str) {
        let path = self.path.display();
        let report = self.feeder.report();
        report.gap(&format!("lines of {path} may be lost: {text}"));
    }

    /// Opens the file as soon as it exists; `None` if a signal arrives first.
    fn wait_for_file(&self) -> Result<Option<Reading>> {
        self.wait_until(|| match std::fs::File::open(&self.path) {
            Ok(file) => self.begin(Content::plain(file)).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("cannot open it"),
        })
    }

    /// Reads a file until it is rotated or overwritten, or a signal arrives. What was read is durable
    /// then, except for lines that the end of the program cuts short.
    fn read(&self, reading: &mut Reading) -> Result<Ended> {
        let mut next = None;
        loop {
            if self.feeder.must_end() {
                self.settle_at_the_end(reading)?;
                return Ok(Ended::Stopped);
            }
            if reading.has_refused() && !self.go_back(reading)? {
                return Ok(Ended::Overwritten);
            }
            match reading.fetch(&self.feeder)? {
                Found::Bytes => {
                    next = None;
                    if reading.lacks_beginning() || reading.since_save() >= SAVING {
                        reading.save(&self.directory)?;
                    }
                    reading.feed(&self.feeder);
                    continue;
                }
                Found::Overwritten => {
                    self.settle(reading)?;
                    return Ok(Ended::Overwritten);
                }
                Found::Damage => {
                    if self.settle(reading)? {
                        return Ok(Ended::Damaged);
                    }
                    continue;
                }
                Found::End => {}
            }
            reading.save(&self.directory)?;
            if let Some(next) = next.take() {
                reading.feed_last(&self.feeder);
                if self.settle(reading)? {
                    return Ok(Ended::Rotated(next));
                }
                continue;
            }
            // A program may write a last line to its file before it writes to the next one.
            next = self.next_after(reading)?;
            self.pause(STEP);
        }
    }

    /// Waits until the outcome of every line that was read is known, or a signal arrives, and saves
    /// the checkpoint. Returns whether all of them were accepted or skipped.
    fn settle(&self, reading: &mut Reading) -> Result<bool> {
        while !reading.is_settled() && !self.pause(Duration::from_millis(1)) {}
        reading.save(&self.directory)?;
        Ok(reading.is_settled() && !reading.has_refused())
    }

    /// Saves the checkpoint once the lines under way are durable. Those that are not in time are
    /// read again after the next start, under the same keys.
    fn settle_at_the_end(&self, reading: &mut Reading) -> Result<()> {
        let until = Instant::now() + AT_THE_END;
        while !reading.is_settled() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        reading.save(&self.directory)
    }

    /// Goes back to the first line that the queue refused. Returns false if the file no longer has it.
    fn go_back(&self, reading: &mut Reading) -> Result<bool> {
        self.settle(reading)?;
        self.pause(AFTER_REFUSAL);
        if reading.is_overwritten()? {
            return Ok(false);
        }
        reading.rewind(self.max_line)?;
        Ok(true)
    }
}
