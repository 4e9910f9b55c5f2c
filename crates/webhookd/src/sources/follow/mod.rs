//! `--follow`: lines of a file that grows, is rotated, truncated, or does not exist yet.
//!
//! The file is polled ten times a second. That works on every file system, at a cost too small to
//! measure.

mod checkpoint;
mod reading;
mod tracker;

use super::feeder::Feeder;
use crate::messages::Message;
use anyhow::{Context, Result};
use checkpoint::Checkpoint;
use crossbeam_channel::Sender;
use reading::Reading;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
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

/// Follows a file.
pub(crate) struct Follower {
    path: PathBuf,
    /// Where the checkpoint is kept.
    directory: PathBuf,
    max_line: usize,
    feeder: Feeder,
}

/// Why reading a file has ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// The program ends.
    Stopped,
    /// Another file has the name now.
    Rotated,
    /// The file was truncated, or overwritten from its beginning.
    Truncated,
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

    fn follow(&self, mut known: Option<Checkpoint>) -> Result<()> {
        if let Some(checkpoint) = &known
            && !self.is_current(checkpoint)
            && let Some(old) = checkpoint.find_renamed()
        {
            // Rotated while webhookd was stopped.
            let mut reading = Reading::resume(old, checkpoint.clone(), self.max_line);
            if self.read(&mut reading)? == Ended::Stopped {
                return Ok(());
            }
        }
        while let Some(file) = self.wait_for_file()? {
            let current = known.take().filter(|known| {
                file.metadata()
                    .is_ok_and(|metadata| known.is_in(&file, &metadata))
            });
            let checkpoint = match current {
                Some(checkpoint) => checkpoint,
                None => {
                    let checkpoint = Checkpoint::start(&self.path, &file)?;
                    // Keys of lines refer to it, so it is saved before the first line is submitted.
                    checkpoint.save(&self.directory)?;
                    checkpoint
                }
            };
            let mut reading = Reading::resume(file, checkpoint, self.max_line);
            if self.read(&mut reading)? == Ended::Stopped {
                break;
            }
        }
        Ok(())
    }

    fn is_current(&self, checkpoint: &Checkpoint) -> bool {
        File::open(&self.path).is_ok_and(|file| {
            file.metadata()
                .is_ok_and(|metadata| checkpoint.is_in(&file, &metadata))
        })
    }

    /// Opens the file as soon as it exists; `None` if a signal arrives first.
    fn wait_for_file(&self) -> Result<Option<File>> {
        loop {
            match File::open(&self.path) {
                Ok(file) => return Ok(Some(file)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).context("cannot open it"),
            }
            if self.pause(STEP) {
                return Ok(None);
            }
        }
    }

    /// Reads a file until it is rotated or truncated, or a signal arrives. What was read is durable
    /// then, except for lines that the end of the program cuts short.
    fn read(&self, reading: &mut Reading) -> Result<Ended> {
        let mut last_look = false;
        let mut waited = true;
        loop {
            if self.feeder.must_end() {
                self.settle_at_the_end(reading)?;
                return Ok(Ended::Stopped);
            }
            if reading.has_refused() {
                self.go_back(reading)?;
            }
            if waited && reading.is_overwritten()? {
                self.settle(reading)?;
                return Ok(Ended::Truncated);
            }
            waited = false;
            if reading.feed_some(&self.feeder)? {
                last_look = false;
                if reading.since_save() >= SAVING {
                    reading.save(&self.directory)?;
                }
                continue;
            }
            reading.save(&self.directory)?;
            if last_look {
                reading.feed_last(&self.feeder);
                if self.settle(reading)? {
                    return Ok(Ended::Rotated);
                }
                continue;
            }
            // A program may write a last line to its file after it was renamed.
            last_look = self.is_rotated(reading)?;
            self.pause(STEP);
            waited = true;
        }
    }

    fn is_rotated(&self, reading: &Reading) -> Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(metadata.ino() != reading.inode()?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).context("cannot look at it"),
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

    /// Goes back to the first line that the queue refused.
    fn go_back(&self, reading: &mut Reading) -> Result<()> {
        self.settle(reading)?;
        self.pause(AFTER_REFUSAL);
        reading.rewind(self.max_line);
        Ok(())
    }
}
