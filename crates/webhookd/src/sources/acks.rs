//! `--acks`: a line for each event that is accepted and need not be sent again.

use anyhow::{Context, Result, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError};
use serde_json::Value;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use webhook_queue::EventId;

/// Acknowledgements that may wait to be written.
const WAITING: usize = 64 * 1024;
/// How long the reader has for the last acknowledgements, even if the deliveries have used up
/// `--grace`.
const LAST: Duration = Duration::from_secs(1);
/// How often a sender that waits for the writer checks for its deadline.
const STEP: Duration = Duration::from_millis(100);

/// An acknowledgement.
struct Ack {
    /// The source, if there are several.
    source: Option<Arc<str>>,
    line: u64,
    ids: AckIds,
    /// The targets that will not get an event of the line.
    over_quota: Arc<[Arc<str>]>,
}

/// The ids of a line's events.
#[derive(Debug)]
pub(crate) enum AckIds {
    /// The line is one event.
    One(EventId),
    /// The line is a document with any number of events.
    Several(Vec<EventId>),
}

/// Writes acknowledgements, on a thread of its own: `{"line":7,"id":"evt_…"}`, with `"ids"` for the
/// events of a line that may have several, with `"source"` before them if there are several, and with `"overQuota":["…"]` after them if some targets will
/// not get the event.
pub(crate) struct Acks {
    lines: Sender<Ack>,
    failed: Arc<AtomicBool>,
    deadline: Arc<Deadline>,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
    thread: JoinHandle<std::io::Result<()>>,
}

/// Until when to wait for the reader of the acknowledgements.
#[derive(Default)]
struct Deadline {
    /// Not set: as long as it takes. `None`: later than a clock can count.
    at: OnceLock<Option<Instant>>,
    /// Whether an acknowledgement was left out.
    missed: AtomicBool,
}

impl Deadline {
    fn get(&self) -> Option<Instant> {
        self.at.get().copied().flatten()
    }
}

/// Hands acknowledgements over; cheap to clone.
#[derive(Clone)]
pub(crate) struct AckSender {
    source: Option<Arc<str>>,
    lines: Sender<Ack>,
    failed: Arc<AtomicBool>,
    deadline: Arc<Deadline>,
}

impl AckSender {
    /// Waits for the writer if it must. An acknowledgement is left out only if it is not written
    /// by the deadline that [`Acks::set_deadline`] sets.
    pub(crate) fn send(&self, line: u64, ids: AckIds, over_quota: Arc<[Arc<str>]>) {
        let ack = Ack {
            source: self.source.clone(),
            line,
            ids,
            over_quota,
        };
        let mut ack = match self.lines.try_send(ack) {
            // `finish` reports a writer that failed.
            Ok(()) | Err(TrySendError::Disconnected(_)) => return,
            Err(TrySendError::Full(ack)) => ack,
        };
        while self.deadline.get().is_none_or(|at| Instant::now() < at) {
            match self.lines.send_timeout(ack, STEP) {
                Ok(()) | Err(SendTimeoutError::Disconnected(_)) => return,
                Err(SendTimeoutError::Timeout(back)) => ack = back,
            }
        }
        self.deadline.missed.store(true, Ordering::SeqCst);
    }

    /// Whether acknowledgements can no longer be written.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }
}

impl Acks {
    /// Appends to the file `path`; `-` is standard output.
    ///
    /// # Errors
    /// The file cannot be opened, or the system refuses a thread.
    pub(crate) fn start(path: &Path) -> Result<Acks> {
        let out: Box<dyn Write + Send> =
            if path == Path::new("-") {
                Box::new(std::io::stdout())
            } else {
                let file = File::options().create(true).append(true).open(path);
                Box::new(file.with_context(|| {
                    format!("cannot write acknowledgements to {}", path.display())
                })?)
            };
        Acks::writing(out, WAITING)
    }

    fn writing(out: Box<dyn Write + Send>, waiting: usize) -> Result<Acks> {
        let (lines, waiting) = crossbeam_channel::bounded(waiting);
        let (ending, ended) = crossbeam_channel::bounded(0);
        let failed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&failed);
        let thread = std::thread::Builder::new()
            .name("acks".to_owned())
            .spawn(move || {
                let result = write(out, &waiting);
                flag.store(result.is_err(), Ordering::SeqCst);
                drop::<Sender<()>>(ending);
                result
            })
            .context("cannot start a thread")?;
        Ok(Acks {
            lines,
            failed,
            deadline: Arc::default(),
            ended,
            thread,
        })
    }

    /// A sender for the lines of `source`, which is named if there are several.
    pub(crate) fn sender(&self, source: Option<&str>) -> AckSender {
        AckSender {
            source: source.map(Arc::from),
            lines: self.lines.clone(),
            failed: Arc::clone(&self.failed),
            deadline: Arc::clone(&self.deadline),
        }
    }

    /// Waits up to `grace` for the reader from now on: one that reads nothing must not keep
    /// webhookd from ending.
    pub(crate) fn set_deadline(&self, grace: Duration) {
        self.deadline
            .at
            .get_or_init(|| Instant::now().checked_add(grace));
    }

    /// Writes the rest. Every [`AckSender`] must be dropped before.
    ///
    /// # Errors
    /// An acknowledgement was not written.
    pub(crate) fn finish(self) -> Result<()> {
        drop(self.lines);
        let in_time = match self.deadline.get() {
            Some(until) => {
                let until = until.max(Instant::now() + LAST);
                self.ended.recv_deadline(until) != Err(RecvTimeoutError::Timeout)
            }
            None => true,
        };
        if !in_time || self.deadline.missed.load(Ordering::SeqCst) {
            // The thread ends with the process.
            bail!(
                "not all acknowledgements were read within --grace: events without one may have \
                 been accepted, too"
            );
        }
        let written = self
            .thread
            .join()
            .map_err(|_| anyhow::anyhow!("the writer of acknowledgements panicked"))?;
        written.context("cannot write acknowledgements")
    }
}

fn write(out: Box<dyn Write + Send>, lines: &Receiver<Ack>) -> std::io::Result<()> {
    let mut out = BufWriter::new(out);
    while let Ok(ack) = lines.recv() {
        write_line(&mut out, &ack)?;
        // One flush for all that wait.
        for ack in lines.try_iter() {
            write_line(&mut out, &ack)?;
        }
        out.flush()?;
    }
    out.flush()
}

fn write_line(out: &mut impl Write, ack: &Ack) -> std::io::Result<()> {
    out.write_all(b"{")?;
    if let Some(source) = &ack.source {
        write!(out, r#""source":{},"#, Value::from(&**source))?;
    }
    write!(out, r#""line":{},"#, ack.line)?;
    match &ack.ids {
        AckIds::One(id) => write!(out, r#""id":"{}""#, id)?,
        AckIds::Several(ids) => {
            let ids: Value = ids.iter().map(|id| id.to_string()).collect();
            write!(out, r#""ids":{ids}"#)?;
        }
    }
    if !ack.over_quota.is_empty() {
        let names: Value = ack.over_quota.iter().map(|name| &**name).collect();
        write!(out, r#","overQuota":{names}"#)?;
    }
    out.write_all(b"}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that reads once for each permit, and without bound once the permits are dropped.
    struct Gated {
        permits: Receiver<()>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _permit = self.permits.recv();
            drop(self.taken.send(bytes.to_vec()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Acks, Sender<()>, Receiver<Vec<u8>>) {
        let (permit, permits) = crossbeam_channel::unbounded();
        let (taken, text) = crossbeam_channel::unbounded();
        (
            Acks::writing(Box::new(Gated { permits, taken }), 2).unwrap(),
            permit,
            text,
        )
    }

    #[test]
    fn a_reader_that_reads_nothing_does_not_keep_it_from_ending() {
        let (acks, permit, _text) = gated();
        let sender = acks.sender(None);
        acks.set_deadline(Duration::ZERO);
        for line in 1..=10 {
            sender.send(line, AckIds::One(EventId([1; 16])), Arc::default());
        }
        drop(sender);
        let error = acks.finish().unwrap_err().to_string();
        assert!(error.contains("--grace"), "{error}");
        drop(permit);
    }

    #[test]
    fn a_reader_has_time_for_the_last_acknowledgements_after_the_grace() {
        let (acks, permit, text) = gated();
        let sender = acks.sender(None);
        sender.send(1, AckIds::One(EventId([1; 16])), Arc::default());
        drop(sender);
        acks.set_deadline(Duration::ZERO);
        let reader = std::thread::spawn(move || drop(permit));
        acks.finish().unwrap();
        reader.join().unwrap();
        assert!(text.iter().next().is_some());
    }

    #[test]
    fn a_slow_reader_gets_every_line() {
        let (acks, permit, text) = gated();
        let sender = acks.sender(None);
        let feeder = std::thread::spawn(move || {
            for line in 1..=100 {
                sender.send(line, AckIds::One(EventId([1; 16])), Arc::default());
            }
        });
        drop(permit);
        feeder.join().unwrap();
        acks.set_deadline(Duration::MAX);
        acks.finish().unwrap();
        let written: Vec<u8> = text.iter().flatten().collect();
        assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 100);
    }
}
