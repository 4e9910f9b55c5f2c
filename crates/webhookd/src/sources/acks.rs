//! `--acks`: a line for each event that a feeder need not send again.

use anyhow::{Context, Result, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use webhook_dispatch::webhook_id;
use webhook_queue::EventId;

/// Acknowledgements that may wait to be written.
const WAITING: usize = 64 * 1024;
/// How long a reader has for what is left, though the time that it is waited for be over: the end
/// of the deliveries may have used up all of it.
const LAST: Duration = Duration::from_secs(1);
/// How often a sender that waits for the writer looks whether it still may.
const STEP: Duration = Duration::from_millis(100);

/// Writes acknowledgements, on a thread of its own: `{"line":7,"id":"evt_…"}`.
pub(crate) struct Acks {
    lines: Sender<(u64, EventId)>,
    failed: Arc<AtomicBool>,
    hurry: Arc<Hurry>,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
    thread: JoinHandle<std::io::Result<()>>,
}

/// Until when whoever reads the acknowledgements is waited for.
#[derive(Default)]
struct Hurry {
    /// Not set: as long as it takes. `None`: later than a clock can count.
    until: OnceLock<Option<Instant>>,
    /// Whether an acknowledgement was left out.
    left_out: AtomicBool,
}

impl Hurry {
    fn until(&self) -> Option<Instant> {
        self.until.get().copied().flatten()
    }
}

/// Hands acknowledgements over; cheap to clone.
#[derive(Clone)]
pub(crate) struct AckSender {
    lines: Sender<(u64, EventId)>,
    hurry: Arc<Hurry>,
}

impl AckSender {
    /// Waits for the writer if it must. An acknowledgement is left out only if it is not taken
    /// by the end that [`Acks::hurry`] sets.
    pub(crate) fn send(&self, line: u64, id: EventId) {
        let mut ack = match self.lines.try_send((line, id)) {
            // A writer that failed is told of at the end.
            Ok(()) | Err(TrySendError::Disconnected(_)) => return,
            Err(TrySendError::Full(ack)) => ack,
        };
        while self
            .hurry
            .until()
            .is_none_or(|until| Instant::now() < until)
        {
            match self.lines.send_timeout(ack, STEP) {
                Ok(()) | Err(SendTimeoutError::Disconnected(_)) => return,
                Err(SendTimeoutError::Timeout(back)) => ack = back,
            }
        }
        self.hurry.left_out.store(true, Ordering::SeqCst);
    }
}

impl Acks {
    /// Starts writing to `path`, at its end if it is a file; `-` is standard output.
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
            hurry: Arc::default(),
            ended,
            thread,
        })
    }

    pub(crate) fn sender(&self) -> AckSender {
        AckSender {
            lines: self.lines.clone(),
            hurry: Arc::clone(&self.hurry),
        }
    }

    /// Set once nobody takes acknowledgements any more.
    pub(crate) fn failure(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.failed)
    }

    /// From now on, a reader that takes nothing is waited for up to `grace` in all: one that
    /// stands still must not keep webhookd from ending.
    pub(crate) fn hurry(&self, grace: Duration) {
        self.hurry
            .until
            .get_or_init(|| Instant::now().checked_add(grace));
    }

    /// Writes what is left. Every [`AckSender`] must be gone.
    pub(crate) fn finish(self) -> Result<()> {
        drop(self.lines);
        let in_time = match self.hurry.until() {
            Some(until) => {
                let until = until.max(Instant::now() + LAST);
                self.ended.recv_deadline(until) != Err(RecvTimeoutError::Timeout)
            }
            None => true,
        };
        if !in_time || self.hurry.left_out.load(Ordering::SeqCst) {
            // The thread ends with the process.
            bail!(
                "whoever reads the acknowledgements did not take all of them within --grace: what \
                 was not acknowledged may have been accepted all the same"
            );
        }
        let written = self
            .thread
            .join()
            .map_err(|_| anyhow::anyhow!("the writer of acknowledgements panicked"))?;
        written.context("cannot write acknowledgements")
    }
}

fn write(out: Box<dyn Write + Send>, lines: &Receiver<(u64, EventId)>) -> std::io::Result<()> {
    let mut out = BufWriter::new(out);
    while let Ok((line, id)) = lines.recv() {
        write_line(&mut out, line, id)?;
        // One flush for all that came meanwhile.
        for (line, id) in lines.try_iter() {
            write_line(&mut out, line, id)?;
        }
        out.flush()?;
    }
    out.flush()
}

fn write_line(out: &mut impl Write, line: u64, id: EventId) -> std::io::Result<()> {
    let id = webhook_id(id);
    writeln!(out, r#"{{"line":{line},"id":"{id}"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that takes something for each permit, and everything once there are no more.
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
    fn a_reader_that_stands_still_does_not_keep_it_from_ending() {
        let (acks, permit, _text) = gated();
        let sender = acks.sender();
        acks.hurry(Duration::ZERO);
        for line in 1..=10 {
            sender.send(line, EventId([1; 16]));
        }
        drop(sender);
        let error = acks.finish().unwrap_err().to_string();
        assert!(error.contains("--grace"), "{error}");
        drop(permit);
    }

    #[test]
    fn a_reader_that_takes_them_has_time_for_the_last_though_the_grace_is_over() {
        let (acks, permit, text) = gated();
        let sender = acks.sender();
        sender.send(1, EventId([1; 16]));
        drop(sender);
        acks.hurry(Duration::ZERO);
        let reader = std::thread::spawn(move || drop(permit));
        acks.finish().unwrap();
        reader.join().unwrap();
        assert!(text.iter().next().is_some());
    }

    #[test]
    fn a_slow_reader_gets_every_line() {
        let (acks, permit, text) = gated();
        let sender = acks.sender();
        let feeder = std::thread::spawn(move || {
            for line in 1..=100 {
                sender.send(line, EventId([1; 16]));
            }
        });
        drop(permit);
        feeder.join().unwrap();
        acks.hurry(Duration::MAX);
        acks.finish().unwrap();
        let written: Vec<u8> = text.iter().flatten().collect();
        assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 100);
    }
}
