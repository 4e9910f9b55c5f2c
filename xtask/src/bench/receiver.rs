//! The receiver's process, as the benchmark talks to it.

use super::child::processor_time;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A receiver; killed when dropped.
#[derive(Debug)]
pub(super) struct Receiver {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub(super) address: SocketAddr,
}

/// What is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// Requests.
    pub(super) goal: u64,
    /// How long each answer takes.
    pub(super) delay_ms: u64,
    /// Requests that come before those whose latency counts, and where bodies have their stamp.
    pub(super) stamps: Option<(u64, usize)>,
}

/// What came.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Report {
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) odd: u64,
    pub(super) first_us: u64,
    pub(super) last_us: u64,
    pub(super) latencies_us: Option<[u32; 5]>,
}

impl Report {
    /// From the first request read to the last one answered.
    pub(super) fn span(&self) -> Duration {
        Duration::from_micros(self.last_us.saturating_sub(self.first_us))
    }
}

impl Receiver {
    pub(super) fn start(tool: &Path) -> Result<Receiver> {
        #[derive(Deserialize)]
        struct Hello {
            address: SocketAddr,
        }
        let mut child = Command::new(tool)
            .arg("receiver")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", tool.display()))?;
        let stdin = child.stdin.take().context("standard input is piped")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut receiver = Receiver {
            child,
            stdin,
            stdout: BufReader::new(stdout),
            address: ([127, 0, 0, 1], 0).into(),
        };
        receiver.address = receiver.read::<Hello>()?.address;
        Ok(receiver)
    }

    /// `http://127.0.0.1:PORT/`.
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Counts from now on.
    pub(super) fn begin(&mut self, expected: Expected) -> Result<()> {
        let (skip, stamp) = match expected.stamps {
            Some((skip, at)) => (skip, at.to_string()),
            None => (0, "-".to_owned()),
        };
        let Expected { goal, delay_ms, .. } = expected;
        let said: String = self.ask(&format!("begin {goal} {delay_ms} {skip} {stamp}"))?;
        ensure!(said == "begun", "the receiver said {said}");
        Ok(())
    }

    /// Waits for the goal, for a while; how many came.
    pub(super) fn wait(&mut self, longest: Duration) -> Result<u64> {
        self.ask(&format!("await {}", longest.as_millis()))
    }

    pub(super) fn report(&mut self) -> Result<Report> {
        self.ask("report")
    }

    /// The head of the first request, as it came.
    pub(super) fn head(&mut self) -> Result<String> {
        self.ask("head")
    }

    pub(super) fn processor_time(&self) -> Duration {
        processor_time(self.child.id())
    }

    fn ask<T: DeserializeOwned>(&mut self, question: &str) -> Result<T> {
        writeln!(self.stdin, "{question}").context("the receiver has ended")?;
        self.stdin.flush().context("the receiver has ended")?;
        self.read()
    }

    fn read<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .context("the receiver says nothing")?;
        serde_json::from_str(&line).with_context(|| format!("the receiver said {line:?}"))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
