//! `--follow`: lines of a file that grows, is rotated, cut off, or is not there yet.
//!
//! It is looked at ten times a second: that works on every file system, and costs nothing that
//! could be measured.

mod place;
mod tracker;

pub(crate) use tracker::Tracker;

use super::feeder::{Feeder, Source};
use super::splitter::{Line, Splitter};
use crate::signals::Signals;
use crate::wiring::News;
use anyhow::{Context, Result};
use crossbeam_channel::Sender;
use place::Place;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracker::Mark;

/// Bytes asked for in one reading.
const CHUNK: usize = 64 * 1024;
/// How long it waits when there is nothing to read.
const STEP: Duration = Duration::from_millis(100);
/// How often the place is written while there is something to read.
const SAVING: Duration = Duration::from_secs(1);
/// How long it waits for the disk once it is asked to end.
const AT_THE_END: Duration = Duration::from_secs(2);
/// How long it waits after the queue did not take a line.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// Follows a file.
pub(crate) struct Follower {
    path: PathBuf,
    /// Where the place is kept.
    directory: PathBuf,
    longest: usize,
}

/// A file that is open.
struct Reading {
    file: File,
    place: Place,
    tracker: Arc<Tracker>,
    splitter: Splitter,
    /// What was read of it.
    offset: u64,
    saved: Instant,
}

/// Why reading a file has stopped.
#[derive(PartialEq, Eq)]
enum Stopped {
    AskedToEnd,
    /// There is another file of this name.
    Rotated,
    /// It was cut off, or overwritten from its beginning.
    Truncated,
}

impl Follower {
    pub(crate) fn new(path: PathBuf, directory: PathBuf, longest: usize) -> Follower {
        Follower {
            path,
            directory,
            longest,
        }
    }

    /// Follows on a thread of its own, until a signal has come.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start(
        self,
        mut feeder: Feeder,
        signals: Arc<Signals>,
        news: Sender<News>,
    ) -> Result<()> {
        std::thread::Builder::new()
            .name("source-follow".to_owned())
            .spawn(move || {
                let followed = self.keep_following(&mut feeder, &signals);
                let followed =
                    followed.with_context(|| format!("cannot follow {}", self.path.display()));
                // Nobody listens any more once the program ends.
                drop(news.send(News::SourceEnded(followed)));
            })
            .context("cannot start a thread")?;
        Ok(())
    }

    /// Follows until a signal has come, whatever is in the way of it for a time: a full disk, a
    /// file that may not be read yet. It goes on at the kept place, and what is read again is
    /// known by its key.
    ///
    /// # Errors
    /// The kept place cannot be read at the start.
    fn keep_following(&self, feeder: &mut Feeder, signals: &Signals) -> Result<()> {
        let mut known = Place::load(&self.directory, &self.path)?;
        loop {
            let Err(error) = self.follow(known, feeder, signals) else {
                return Ok(());
            };
            let path = self.path.display();
            feeder.say_sparingly(&format!("cannot follow {path} for now: {error:#}"));
            known = loop {
                if signals.pause(AFTER_REFUSAL) {
                    return Ok(());
                }
                if let Ok(known) = Place::load(&self.directory, &self.path) {
                    break known;
                }
            };
        }
    }

    fn follow(
        &self,
        mut known: Option<Place>,
        feeder: &mut Feeder,
        signals: &Signals,
    ) -> Result<()> {
        if let Some(place) = &known
            && !self.is_current(place)
            && let Some(old) = place.find_renamed()
        {
            // Rotated while nobody looked.
            let mut reading = Reading::resume(old, place.clone(), self.longest);
            if self.read(&mut reading, feeder, signals)? == Stopped::AskedToEnd {
                return Ok(());
            }
        }
        loop {
            let Some(file) = self.wait_for_file(signals)? else {
                return Ok(());
            };
            let current = known.take().filter(|place| {
                file.metadata()
                    .is_ok_and(|metadata| place.is_in(&file, &metadata))
            });
            let place = match current {
                Some(place) => place,
                None => {
                    let place = Place::start(&self.path, &file)?;
                    // Before a line of it is named by it.
                    place.save(&self.directory)?;
                    place
                }
            };
            let mut reading = Reading::resume(file, place, self.longest);
            if self.read(&mut reading, feeder, signals)? == Stopped::AskedToEnd {
                return Ok(());
            }
        }
    }

    fn is_current(&self, place: &Place) -> bool {
        File::open(&self.path).is_ok_and(|file| {
            file.metadata()
                .is_ok_and(|metadata| place.is_in(&file, &metadata))
        })
    }

    /// The file of this name, as soon as there is one; none if a signal comes first.
    fn wait_for_file(&self, signals: &Signals) -> Result<Option<File>> {
        loop {
            match File::open(&self.path) {
                Ok(file) => return Ok(Some(file)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).context("cannot open it"),
            }
            if signals.pause(STEP) {
                return Ok(None);
            }
        }
    }

    /// Reads a file until it is done with, or a signal has come. What was read is safe then, but
    /// for what the end of the program cut short.
    fn read(
        &self,
        reading: &mut Reading,
        feeder: &mut Feeder,
        signals: &Signals,
    ) -> Result<Stopped> {
        let mut last_look = false;
        let mut waited = true;
        loop {
            if signals.asked_to_end() || feeder.is_deaf() {
                self.settle_at_the_end(reading)?;
                return Ok(Stopped::AskedToEnd);
            }
            if reading.tracker.has_refused() {
                self.go_back(reading, signals)?;
            }
            if waited && reading.is_overwritten()? {
                self.settle(reading, signals)?;
                return Ok(Stopped::Truncated);
            }
            waited = false;
            if reading.feed_some(feeder, signals)? {
                last_look = false;
                if reading.saved.elapsed() >= SAVING {
                    reading.save(&self.directory)?;
                }
                continue;
            }
            reading.save(&self.directory)?;
            if last_look {
                reading.feed_last(feeder, signals);
                if self.settle(reading, signals)? {
                    return Ok(Stopped::Rotated);
                }
                continue;
            }
            // Whoever wrote to it may write a last line after it was renamed.
            last_look = self.is_rotated(reading)?;
            signals.pause(STEP);
            waited = true;
        }
    }

    fn is_rotated(&self, reading: &Reading) -> Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(metadata.ino() != reading.place_inode()?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).context("cannot look at it"),
        }
    }

    /// Waits until the fate of all that was read is known, or a signal has come, and keeps the
    /// place; whether all of it was taken.
    fn settle(&self, reading: &mut Reading, signals: &Signals) -> Result<bool> {
        while !reading.tracker.is_settled() && !signals.pause(Duration::from_millis(1)) {}
        reading.save(&self.directory)?;
        Ok(reading.tracker.is_settled() && !reading.tracker.has_refused())
    }

    /// Keeps the place once what is under way is safe. What is not in time is read again after the
    /// next start, and known then.
    fn settle_at_the_end(&self, reading: &mut Reading) -> Result<()> {
        let until = Instant::now() + AT_THE_END;
        while !reading.tracker.is_settled() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        reading.save(&self.directory)
    }

    /// Goes back to the first line that the queue did not take.
    fn go_back(&self, reading: &mut Reading, signals: &Signals) -> Result<()> {
        self.settle(reading, signals)?;
        signals.pause(AFTER_REFUSAL);
        reading.rewind(self.longest);
        Ok(())
    }
}

impl Reading {
    fn resume(file: File, place: Place, longest: usize) -> Reading {
        let mark = place.mark();
        Reading {
            file,
            place,
            tracker: Arc::new(Tracker::new(mark)),
            splitter: Splitter::after(mark.line, longest),
            offset: mark.offset,
            saved: Instant::now(),
        }
    }

    fn rewind(&mut self, longest: usize) {
        let mark = self.tracker.safe();
        self.tracker = Arc::new(Tracker::new(mark));
        self.splitter = Splitter::after(mark.line, longest);
        self.offset = mark.offset;
    }

    fn place_inode(&self) -> Result<u64> {
        Ok(self.file.metadata().context("cannot look at it")?.ino())
    }

    /// Whether what was read before is not what is there now.
    fn is_overwritten(&self) -> Result<bool> {
        let metadata = self.file.metadata().context("cannot look at it")?;
        Ok(metadata.len() < self.offset || !self.place.is_in(&self.file, &metadata))
    }

    /// Reads some, and feeds the lines in it; false at the end of what is there.
    fn feed_some(&mut self, feeder: &mut Feeder, signals: &Signals) -> Result<bool> {
        let mut chunk = vec![0; CHUNK];
        let read = match self.file.read_at(&mut chunk, self.offset) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error).context("cannot read on"),
        };
        let chunk = &chunk[..read];
        feeder.count_bytes(read as u64);
        let mut rest = chunk;
        while let Some(line) = self.splitter.next(&mut rest) {
            let end = self.offset + (chunk.len() - rest.len()) as u64;
            let fed = feed(feeder, &self.tracker, &self.place, line, end, signals);
            if !fed || self.tracker.has_refused() {
                return Ok(true);
            }
        }
        self.offset += read as u64;
        Ok(read > 0)
    }

    /// Feeds what stands after the last line feed of a file that will not grow any more.
    fn feed_last(&mut self, feeder: &mut Feeder, signals: &Signals) {
        let offset = self.offset;
        if let Some(line) = self.splitter.last() {
            feed(feeder, &self.tracker, &self.place, line, offset, signals);
        }
    }

    fn save(&mut self, directory: &std::path::Path) -> Result<()> {
        self.saved = Instant::now();
        let mark = self.tracker.safe();
        if mark == self.place.mark() {
            return Ok(());
        }
        if self.place.advance(&self.file, mark).is_err() {
            // Cut off meanwhile: its old place is good for nothing, and the next look tells.
            return Ok(());
        }
        self.place.save(directory)
    }
}

/// Feeds a line that ends at `end`; false if a signal came first.
fn feed(
    feeder: &mut Feeder,
    tracker: &Arc<Tracker>,
    place: &Place,
    line: Line<'_>,
    end: u64,
    signals: &Signals,
) -> bool {
    match line {
        Line::TooLong(number) => {
            feeder.reject_too_long(number);
            true
        }
        Line::Text(number, text) => {
            let mark = Mark {
                offset: end,
                line: number,
            };
            let source = Source {
                tracker: Arc::clone(tracker),
                number: tracker.begin(mark),
                key: format!("follow {} {end}", place.reading),
            };
            feeder.submit(number, Arc::from(text), Some(&source), signals)
        }
    }
}
