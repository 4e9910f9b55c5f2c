//! Standard error: a bounded buffer, and a thread that writes it. A thread that logs never waits for
//! the reader of standard error; lines that find no room are dropped and counted.

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that wait to be written. As many again are being written.
const BUFFER_BYTES: usize = 1 << 20;
/// How long the end of the program waits for the rest to be written.
const FLUSH_TIME: Duration = Duration::from_secs(2);
/// The same when the time for the shutdown is over: enough for a reader that keeps up, and for the
/// thread that writes, on a busy machine.
const LATE_FLUSH_TIME: Duration = Duration::from_secs(1);

/// The one writer of the process, once the log is installed.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Writes to standard error, above the line of progress if there is one. Clones share the buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    dropped_total: AtomicU64,
    bar: OnceLock<ProgressBar>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// When a signal wants the program to have ended.
    deadline: OnceLock<Instant>,
}

/// What is still to be written.
#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lines dropped since the last report of them.
    dropped: u64,
    /// The newest state of the line of progress.
    progress: Option<Progress>,
    /// Whether the program ends: the thread ends when all is written.
    finishing: bool,
    /// Whether the thread has ended.
    ended: bool,
}

#[derive(Debug)]
enum Progress {
    Read(u64, String),
    Cleared,
}

impl LogWriter {
    /// Starts the thread, and makes this the writer of the process.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(super) fn install() -> Result<LogWriter> {
        let writer = LogWriter::default();
        let shared = Arc::clone(&writer.0);
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || shared.write_all(&mut Stderr))
            .context("cannot start a thread")?;
        *locked(&writer.0.thread) = Some(thread);
        // A second log is refused by tracing.
        drop(WRITER.set(writer.clone()));
        Ok(writer)
    }

    /// Keeps this line of progress at the bottom.
    pub(crate) fn show(&self, bar: ProgressBar) {
        // There is only one.
        drop(self.0.bar.set(bar));
    }

    /// Updates the line of progress.
    pub(crate) fn progress(&self, read: u64, message: String) {
        self.0
            .change(|waiting| waiting.progress = Some(Progress::Read(read, message)));
    }

    /// Removes the line of progress.
    pub(crate) fn clear_progress(&self) {
        self.0
            .change(|waiting| waiting.progress = Some(Progress::Cleared));
    }
}

/// Writes text that is not a log line: by the writer of the process, or directly if there is none.
pub(crate) fn print(text: &str) {
    match WRITER.get() {
        Some(writer) => writer.0.add(text.as_bytes()),
        // If standard error is closed, there is no place to report that.
        None => drop(io::stderr().lock().write_all(text.as_bytes())),
    }
}

/// Lines dropped so far, since standard error was not read or failed.
pub(crate) fn dropped_lines() -> u64 {
    let writer = WRITER.get();
    writer.map_or(0, |writer| writer.0.dropped_total.load(Ordering::Relaxed))
}

/// Lets [`finish`] wait until then only, or a moment if that has passed.
pub(crate) fn finish_by(deadline: Instant) {
    if let Some(writer) = WRITER.get() {
        // The first one holds.
        writer.0.deadline.get_or_init(|| deadline);
    }
}

/// Ends the writer of the process, once all is written or the time for that is over.
pub(crate) fn finish() {
    if let Some(writer) = WRITER.get() {
        writer.0.finish(writer.0.flush_time());
    }
}

impl Shared {
    /// Adds a text of whole lines, or counts them if there is no room.
    fn add(&self, text: &[u8]) {
        let lines = count_lines(text);
        self.change(|waiting| {
            if waiting.lines.len() + text.len() > BUFFER_BYTES {
                self.count_dropped(waiting, lines);
            } else {
                waiting.lines.extend_from_slice(text);
            }
        });
    }

    fn count_dropped(&self, waiting: &mut Waiting, lines: u64) {
        waiting.dropped += lines;
        self.dropped_total.fetch_add(lines, Ordering::Relaxed);
    }

    /// The thread: writes what waits until the program ends.
    fn write_all(&self, out: &mut impl Write) {
        let mut lines = Vec::new();
        loop {
            let mut waiting = locked(&self.waiting);
            while waiting.lines.is_empty() && waiting.progress.is_none() && !waiting.finishing {
                let woken = self.changed.wait(waiting);
                waiting = woken.unwrap_or_else(PoisonError::into_inner);
            }
            if waiting.lines.is_empty() && waiting.progress.is_none() {
                waiting.ended = true;
                self.changed.notify_all();
                return;
            }
            lines.clear();
            std::mem::swap(&mut lines, &mut waiting.lines);
            let progress = waiting.progress.take();
            drop(waiting);
            self.write(out, &lines);
            if let (Some(progress), Some(bar)) = (progress, self.bar.get()) {
                progress.draw(bar);
            }
        }
    }

    fn write(&self, out: &mut impl Write, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let written = match self.bar.get() {
            Some(bar) => bar.suspend(|| out.write_all(lines)),
            None => out.write_all(lines),
        };
        let mut waiting = locked(&self.waiting);
        if written.is_err() {
            self.count_dropped(&mut waiting, count_lines(lines));
            return;
        }
        let dropped = std::mem::take(&mut waiting.dropped);
        drop(waiting);
        if dropped > 0 {
            tracing::error!(
                dropped,
                "{dropped} log lines were dropped, because standard error was not read"
            );
        }
    }

    fn flush_time(&self) -> Duration {
        self.deadline.get().map_or(FLUSH_TIME, |at| {
            at.saturating_duration_since(Instant::now())
                .clamp(LATE_FLUSH_TIME, FLUSH_TIME)
        })
    }

    /// Ends the thread once all is written, unless that takes longer.
    fn finish(&self, longest: Duration) {
        self.change(|waiting| waiting.finishing = true);
        let (waiting, _) = self
            .changed
            .wait_timeout_while(locked(&self.waiting), longest, |waiting| !waiting.ended)
            .unwrap_or_else(PoisonError::into_inner);
        let ended = waiting.ended;
        drop(waiting);
        // A thread that is still writing ends with the process.
        if let Some(thread) = locked(&self.thread).take().filter(|_| ended) {
            drop(thread.join());
        }
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut locked(&self.waiting));
        self.changed.notify_all();
    }
}

impl Progress {
    fn draw(self, bar: &ProgressBar) {
        match self {
            Progress::Read(read, message) => {
                bar.set_position(read);
                bar.set_message(message);
                bar.tick();
            }
            Progress::Cleared => bar.finish_and_clear(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

impl MakeWriter<'_> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&self) -> LogWriter {
        self.clone()
    }
}

impl Write for LogWriter {
    /// Takes everything, since each log event is written at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error. If another process has made it non-blocking, a write waits for its reader.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        loop {
            match stderr.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::OUT)];
                    poll(&mut fds, None)?;
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

    /// A standard error whose reader reads once for each permit.
    struct Gated {
        permits: Receiver<io::Result<()>>,
        read: Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.recv().unwrap_or(Ok(()))?;
            drop(self.read.send(bytes.to_vec()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Arc<Shared>, Sender<io::Result<()>>, Receiver<Vec<u8>>) {
        let (permit, permits) = bounded(0);
        let (read, text) = unbounded();
        let shared = Arc::new(Shared::default());
        let writing = Arc::clone(&shared);
        let thread = std::thread::spawn(move || writing.write_all(&mut Gated { permits, read }));
        *locked(&shared.thread) = Some(thread);
        (shared, permit, text)
    }

    #[test]
    fn a_line_that_finds_no_room_is_dropped_and_counted() {
        let (shared, permit, text) = gated();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        // Each returns at once, though no line is read.
        for _ in 0..3 * BUFFER_BYTES / line.len() {
            shared.add(&line);
        }
        let dropped = shared.dropped_total.load(Ordering::Relaxed);
        assert!(dropped >= 1024, "{dropped}");
        drop(permit);
        shared.finish(Duration::from_secs(60));
        let written: u64 = text.try_iter().map(|text| count_lines(&text)).sum();
        assert_eq!(written + dropped, 3 * 1024);
        assert_eq!(locked(&shared.waiting).dropped, 0, "they were reported");
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_reads_nothing() {
        let (shared, permit, _text) = gated();
        shared.add(b"one\n");
        shared.finish(Duration::from_millis(1));
        assert!(!locked(&shared.waiting).ended);
        drop(permit);
    }

    #[test]
    fn the_rest_is_written_within_what_is_left_of_the_shutdown() {
        let flush_time = |deadline: Option<Instant>| {
            let shared = Shared::default();
            if let Some(deadline) = deadline {
                shared.deadline.set(deadline).unwrap();
            }
            shared.flush_time()
        };
        let now = Instant::now();
        assert_eq!(flush_time(None), FLUSH_TIME);
        assert_eq!(flush_time(Some(now)), LATE_FLUSH_TIME);
        let much = now + Duration::from_secs(3600);
        assert_eq!(flush_time(Some(much)), FLUSH_TIME);
    }

    #[test]
    fn lines_that_a_failing_standard_error_lost_are_reported_once_it_works() {
        let (shared, permit, text) = gated();
        shared.add(b"one\ntwo\n");
        permit.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
        shared.add(b"three\n");
        permit.send(Ok(())).unwrap();
        assert_eq!(text.recv().unwrap(), b"three\n");
        drop(permit);
        shared.finish(Duration::from_secs(60));
        assert_eq!(shared.dropped_total.load(Ordering::Relaxed), 2);
        assert_eq!(locked(&shared.waiting).dropped, 0);
    }
}
