//! Puts what arrived on standard output, each body a line, in the order of arrival.

use anyhow::{Context, Result, anyhow};
use hyper::body::Bytes;
use std::io::{BufWriter, ErrorKind, Write};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};

/// Bodies that may wait to be printed; beyond these, answers wait.
const WAITING: usize = 256;

/// A request, as it is printed.
pub(super) struct Arrival {
    /// Request line and headers, for standard error; `None` if not asked for.
    pub(super) head: Option<Vec<u8>>,
    /// For standard output, with a line feed behind it.
    pub(super) body: Bytes,
}

/// Where connections put what arrived.
#[derive(Clone)]
pub(super) struct Sender(mpsc::Sender<Option<Arrival>>);

impl Sender {
    /// Hands an arrival over for printing, waiting while too many wait already.
    ///
    /// # Errors
    ///
    /// When printing has ended: the arrival will not be printed.
    pub(super) async fn send(&self, arrival: Arrival) -> Result<()> {
        self.0
            .send(Some(arrival))
            .await
            .map_err(|_| anyhow!("printing has ended"))
    }
}

/// The thread that prints. It ends at [`Printer::finish`], or by itself, after telling so
/// through the `Notify` given to it, when standard output takes no more.
pub(super) struct Printer {
    sender: Sender,
    outcome: oneshot::Receiver<std::io::Result<()>>,
}

impl Printer {
    /// Starts the thread.
    pub(super) fn start(ended: Arc<Notify>) -> std::io::Result<Printer> {
        let (sender, arrivals) = mpsc::channel(WAITING);
        let (tell, outcome) = oneshot::channel();
        std::thread::Builder::new()
            .name("receive-print".to_owned())
            .spawn(move || {
                // The end of `finish` waits for this answer; when nobody waits it is not needed.
                drop(tell.send(print(arrivals)));
                ended.notify_one();
            })?;
        Ok(Printer {
            sender: Sender(sender),
            outcome,
        })
    }

    /// A handle for the connections.
    pub(super) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Waits until everything handed over is printed.
    ///
    /// # Errors
    ///
    /// When standard output failed otherwise than by being closed.
    pub(super) async fn finish(self) -> Result<()> {
        // The thread may have ended before, when standard output was closed.
        drop(self.sender.0.send(None).await);
        match self
            .outcome
            .await
            .context("the printing thread has panicked")?
        {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(error).context("cannot write to standard output")
            }
            _ => Ok(()),
        }
    }
}

/// Prints until `None` comes. Flushes whenever nothing more waits.
fn print(mut arrivals: mpsc::Receiver<Option<Arrival>>) -> std::io::Result<()> {
    let mut output = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    let mut errors = std::io::stderr();
    while let Some(Some(arrival)) = arrivals.blocking_recv() {
        if let Some(head) = arrival.head {
            // Closed standard error is no reason to lose bodies.
            drop(errors.write_all(&head));
        }
        output.write_all(&arrival.body)?;
        output.write_all(b"\n")?;
        if arrivals.is_empty() {
            output.flush()?;
        }
    }
    output.flush()
}
