//! `webhookd receive` as a child process.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the receiver may take to say where it listens, and to end.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running receiver. It is killed when this is dropped before [`Receiver::finish`].
pub(super) struct Receiver {
    child: Child,
    url: String,
    bodies: mpsc::Receiver<std::io::Result<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Receiver {
    /// Starts it on a free port and waits until it listens.
    pub(super) fn start(webhookd: &Path) -> Result<Receiver> {
        let mut child = Command::new(webhookd)
            .args(["receive", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", webhookd.display()))?;
        let mut stdout = child.stdout.take().context("standard output is piped")?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        // The pipes are read all the time: a full one would stop the receiver.
        let (tell_line, lines) = mpsc::channel();
        let (tell_bodies, bodies) = mpsc::channel();
        let readers = vec![
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    // After the first line nobody listens any more; reading goes on.
                    drop(tell_line.send(line));
                }
            }),
            std::thread::spawn(move || {
                let mut all = Vec::new();
                let outcome = stdout.read_to_end(&mut all).map(|_| all);
                drop(tell_bodies.send(outcome));
            }),
        ];
        let mut receiver = Receiver {
            child,
            url: String::new(),
            bodies,
            readers,
        };
        let line = lines
            .recv_timeout(DEADLINE)
            .context("the receiver does not start")?;
        match line.strip_prefix("listening on ") {
            Some(url) => url.clone_into(&mut receiver.url),
            None => bail!("the receiver does not say where it listens, but: {line}"),
        }
        Ok(receiver)
    }

    /// Where it listens.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends it and returns all that it printed.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process has an id")?, Signal::TERM)
            .context("the receiver has ended before its time")?;
        let bodies = self
            .bodies
            .recv_timeout(DEADLINE)
            .context("the receiver does not end")??;
        let status = self.child.wait().context("the receiver's exit")?;
        if !status.success() {
            bail!("the receiver ended with {status}");
        }
        for reader in self.readers.drain(..) {
            if reader.join().is_err() {
                bail!("reading from the receiver has panicked");
            }
        }
        Ok(bodies)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
