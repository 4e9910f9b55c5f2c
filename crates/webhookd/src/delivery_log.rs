//! `--delivery-log`: a line of JSON for each attempt, written by a thread of its own.
//!
//! The threads that deliver hand attempts over through a bounded channel, and never wait: an attempt
//! that finds the channel full is dropped and counted.

use crate::attempt_json::AttemptJson;
use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use webhook_dispatch::AttemptRecord;

/// Attempts that wait to be written, at most: some 3 MiB.
const WAITING: usize = 8 * 1024;
/// Bytes that are written at once, unless one line has more.
const WRITE_BYTES: usize = 64 * 1024;
/// How long the end of the program waits for the rest to be written.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Attempts of this process that were not written.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The running thread.
pub(crate) struct DeliveryLog {
    sender: DeliveryLogSender,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

/// Hands attempts over to the thread; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryLogSender {
    entries: Sender<Entry>,
    reopen: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Entry {
    Attempt(Arc<str>, Box<AttemptRecord<'static>>),
    /// Makes the thread look at `reopen`.
    Wake,
    End,
}

/// Attempts that were not written: the channel was full, or the file could not be written.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

impl DeliveryLog {
    /// Appends to the file `path`; `-` is standard output.
    ///
    /// # Errors
    /// The file cannot be opened, or the system refuses a thread.
    pub(crate) fn start(path: &Path) -> Result<DeliveryLog> {
        let path = (path != Path::new("-")).then(|| path.to_owned());
        let output: Box<dyn Write + Send> = match &path {
            Some(path) => Box::new(open(path)?),
            None => Box::new(io::stdout()),
        };
        let (entries, waiting) = crossbeam_channel::bounded(WAITING);
        let (ending, ended) = crossbeam_channel::bounded(0);
        let reopen = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            path,
            output,
            reopen: Arc::clone(&reopen),
            lines: Vec::new(),
            is_failing: false,
            is_torn: false,
        };
        let thread = std::thread::Builder::new()
            .name("delivery-log".to_owned())
            .spawn(move || {
                let _ending: Sender<()> = ending;
                writer.run(&waiting);
            })
            .context("cannot start a thread")?;
        Ok(DeliveryLog {
            sender: DeliveryLogSender { entries, reopen },
            ended,
            thread,
        })
    }

    pub(crate) fn sender(&self) -> DeliveryLogSender {
        self.sender.clone()
    }

    /// Ends the thread once all attempts are written, unless that takes too long: a thread that
    /// still writes then ends with the process.
    pub(crate) fn finish(self) {
        let deadline = Instant::now() + FLUSH_TIME;
        let sent = self.sender.entries.send_deadline(Entry::End, deadline);
        if sent.is_ok()
            && self
                .ended
                .recv_deadline(deadline)
                .is_err_and(|it| !it.is_timeout())
        {
            // A panic has been logged.
            drop(self.thread.join());
        } else {
            tracing::error!("the delivery log is incomplete: its reader did not read in time");
        }
    }
}

impl DeliveryLogSender {
    /// Hands an attempt over. Never waits.
    pub(crate) fn send(&self, target: &Arc<str>, attempt: &AttemptRecord<'_>) {
        let mut attempt = attempt.clone();
        attempt.response = Cow::Borrowed("");
        let entry = Entry::Attempt(Arc::clone(target), Box::new(attempt.into_owned()));
        if self.entries.try_send(entry).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes the thread open the file again: it was renamed. Never waits.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::SeqCst);
        // If the channel is full, the thread is busy, and looks at it before the next write.
        drop(self.entries.try_send(Entry::Wake));
    }
}

/// Opens a file to append to it. A FIFO must have a reader, which is not waited for.
fn open(path: &Path) -> Result<File> {
    let failed = || format!("cannot write the delivery log to {}", path.display());
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = File::options();
    options.create(true).append(true).custom_flags(flags);
    let file = match options.open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
            return Err(error).with_context(failed).context(
                "no process reads the FIFO of the delivery log: start its reader before webhookd",
            );
        }
        opened => opened.with_context(failed)?,
    };
    fcntl_setfl(&file, OFlags::APPEND).with_context(failed)?;
    Ok(file)
}

/// The state of the thread.
struct Writer {
    /// `None` for standard output.
    path: Option<PathBuf>,
    output: Box<dyn Write + Send>,
    reopen: Arc<AtomicBool>,
    lines: Vec<u8>,
    /// Whether the last write failed.
    is_failing: bool,
    /// Whether the last write ended within a line.
    is_torn: bool,
}

impl Writer {
    fn run(mut self, entries: &Receiver<Entry>) {
        let mut ended = false;
        while !ended && let Ok(entry) = entries.recv() {
            let mut next = Some(entry);
            while let Some(entry) = next {
                match entry {
                    Entry::Attempt(target, attempt) => self.add(&target, &attempt),
                    Entry::Wake => {}
                    Entry::End => ended = true,
                }
                let has_room = !ended && self.lines.len() < WRITE_BYTES;
                next = has_room.then(|| entries.try_recv().ok()).flatten();
            }
            self.write();
        }
    }

    fn add(&mut self, target: &str, attempt: &AttemptRecord<'_>) {
        serde_json::to_writer(&mut self.lines, &AttemptJson::of(target, attempt))
            .expect("texts and numbers are always JSON, and a vector takes it");
        self.lines.push(b'\n');
    }

    /// Writes the lines, to a file of the same name if it is to be opened again.
    fn write(&mut self) {
        if self.reopen.swap(false, Ordering::SeqCst)
            && let Some(path) = &self.path
        {
            match open(path) {
                Ok(file) => {
                    self.output = Box::new(file);
                    self.is_torn = false;
                }
                Err(error) => {
                    tracing::error!("{error:#}; it is still written to the file opened before");
                }
            }
        }
        if self.lines.is_empty() {
            return;
        }
        if self.is_torn {
            self.lines.insert(0, b'\n');
        }
        match self.write_lines() {
            Ok(()) => self.is_failing = false,
            Err((written, error)) => {
                let lines = memchr::memchr_iter(b'\n', &self.lines[written..]).count();
                DROPPED.fetch_add(lines as u64, Ordering::Relaxed);
                self.is_torn = match written {
                    0 => self.is_torn,
                    _ => self.lines[written - 1] != b'\n',
                };
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(
                        "the delivery log cannot be written, lines are dropped: {error}"
                    );
                }
            }
        }
        self.lines.clear();
    }

    /// Writes the lines. If that fails, returns how many bytes were written.
    fn write_lines(&mut self) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < self.lines.len() {
            match self.output.write(&self.lines[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        self.output.flush().map_err(|error| (written, error))?;
        self.is_torn = false;
        Ok(())
    }
}
