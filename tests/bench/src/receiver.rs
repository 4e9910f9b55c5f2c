//! The receiver's process, as the benchmark talks to it.

use crate::tool::receiver::Report;
use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use std::sync::mpsc;
use std::time::Duration;
use testkit::{Launch, Process};

/// How long the receiver may take to answer a command, beside what it is told to wait.
const DEADLINE: Duration = Duration::from_secs(60);

/// A receiver; killed when dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) process: Process,
    lines: mpsc::Receiver<Vec<u8>>,
    /// `http://127.0.0.1:PORT/`.
    pub(crate) url: String,
}

/// The events of a measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) events: u64,
    /// Whether a body holds an event in each line, and not one event.
    pub(crate) lines: bool,
    /// How long each answer takes.
    pub(crate) delay_ms: u64,
    /// Bodies have stamps, and the latency counts after this many.
    pub(crate) warm_up: Option<u64>,
}

impl Receiver {
    pub(crate) fn start() -> Result<Receiver> {
        Receiver::of(tool("receiver")?)
    }

    /// Starts one that checks the order of the keys and notices repetitions, of
    /// [numbered events](crate::tool::numbered_load).
    pub(crate) fn of_numbered_events() -> Result<Receiver> {
        Receiver::of(tool("receiver")?.arg("--numbered"))
    }

    fn of(tool: Launch) -> Result<Receiver> {
        let (printed, lines) = mpsc::channel();
        let process = tool
            // Nothing reads it once the receiver is dropped.
            .lines(move |line| drop(printed.send(line.to_owned())))
            .spawn();
        let mut receiver = Receiver {
            process,
            lines,
            url: String::new(),
        };
        receiver.url = receiver.read()?;
        Ok(receiver)
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }

    /// Counts from now on.
    pub(crate) fn begin(&mut self, expected: Expected) -> Result<()> {
        let skip = expected
            .warm_up
            .map_or("-".to_owned(), |skip| skip.to_string());
        let bodies = if expected.lines { "lines" } else { "event" };
        let Expected {
            events, delay_ms, ..
        } = expected;
        let said: String = self.ask(&format!("begin {events} {delay_ms} {skip} {bodies}"))?;
        ensure!(said == "begun", "the receiver said {said}");
        Ok(())
    }

    /// Waits for the goal, for a while; how many events came.
    pub(crate) fn wait(&mut self, longest: Duration) -> Result<u64> {
        self.ask(&format!("await {}", longest.as_millis()))
    }

    pub(crate) fn report(&mut self) -> Result<Report> {
        self.ask("report")
    }

    /// The head of the first request that came.
    pub(crate) fn head(&mut self) -> Result<String> {
        self.ask("head")
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        self.process.write(format!("{command}\n"));
        self.read()
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T> {
        let line = self
            .lines
            .recv_timeout(DEADLINE)
            .context("the receiver is gone")?;
        serde_json::from_slice(&line).context("the receiver's answer")
    }
}

/// This program as one of its tools.
pub(crate) fn tool(name: &str) -> Result<Launch> {
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    Ok(Launch::of(program).args(["tool", name]))
}
