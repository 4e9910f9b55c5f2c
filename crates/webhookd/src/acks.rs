//! `--acks`: a line for each event that a feeder need not send again.

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use webhook_dispatch::webhook_id;
use webhook_queue::EventId;

/// Acknowledgements that may wait to be written.
const WAITING: usize = 64 * 1024;

/// Writes acknowledgements, on a thread of its own: `{"line":7,"id":"evt_…"}`.
pub(crate) struct Acks {
    lines: Sender<(u64, EventId)>,
    failed: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<()>>,
}

/// Hands acknowledgements over; cheap to clone.
#[derive(Clone)]
pub(crate) struct AckSender {
    lines: Sender<(u64, EventId)>,
}

impl AckSender {
    /// Waits for the writer if it must: an acknowledgement is never left out.
    pub(crate) fn send(&self, line: u64, id: EventId) {
        match self.lines.try_send((line, id)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            // A writer that failed is told of at the end.
            Err(TrySendError::Full(ack)) => drop(self.lines.send(ack)),
        }
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
        let (lines, waiting) = crossbeam_channel::bounded(WAITING);
        let failed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&failed);
        let thread = std::thread::Builder::new()
            .name("acks".to_owned())
            .spawn(move || {
                let result = write(out, &waiting);
                flag.store(result.is_err(), Ordering::SeqCst);
                result
            })
            .context("cannot start a thread")?;
        Ok(Acks {
            lines,
            failed,
            thread,
        })
    }

    pub(crate) fn sender(&self) -> AckSender {
        AckSender {
            lines: self.lines.clone(),
        }
    }

    /// Whether nobody takes acknowledgements any more.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Writes what is left. Every [`AckSender`] must be gone.
    pub(crate) fn finish(self) -> Result<()> {
        drop(self.lines);
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
