//! Prints bodies on standard output, one per line, in the order of arrival.

use anyhow::{Context, Result, anyhow};
use hyper::body::Bytes;
use std::io::{BufWriter, ErrorKind, Write};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};

/// Bodies that may wait to be printed; beyond these, responses wait.
const WAITING: usize = 256;

/// A request to print.
pub(super) struct Arrival {
    /// Request line and headers, for standard error; `None` without `--headers`.
    pub(super) head: Option<Vec<u8>>,
    /// For standard output, followed by a line feed.
    pub(super) body: Bytes,
}

/// Passes requests to the printer; cheap to clone.
#[derive(Clone)]
pub(super) struct Sender(mpsc::Sender<Option<Arrival>>);

impl Sender {
    /// Passes a request to the printer, and waits while too many wait.
    ///
    /// # Errors
    /// Printing has ended, so the request is not printed.
    pub(super) async fn send(&self, arrival: Arrival) -> Result<()> {
        self.0
            .send(Some(arrival))
            .await
            .map_err(|_| anyhow!("printing has ended"))
    }
}

/// The thread that prints. It ends at [`Printer::finish`], or when standard output is closed. It
/// notifies the `Notify` that it was given when it ends.
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
                // Received by `finish`, if that is called.
                drop(tell.send(print(arrivals)));
                ended.notify_one();
            })?;
        Ok(Printer {
            sender: Sender(sender),
            outcome,
        })
    }

    /// A sender for the connections.
    pub(super) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Waits until all requests are printed.
    ///
    /// # Errors
    /// Standard output failed, other than by being closed.
    pub(super) async fn finish(self) -> Result<()> {
        // The thread may have ended already, if standard output was closed.
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

/// Prints until `None` arrives. Flushes whenever no request waits.
fn print(mut arrivals: mpsc::Receiver<Option<Arrival>>) -> std::io::Result<()> {
    let mut output = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    let mut errors = std::io::stderr();
    while let Some(Some(arrival)) = arrivals.blocking_recv() {
        if let Some(head) = arrival.head {
            // A closed standard error is no reason to lose bodies.
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
