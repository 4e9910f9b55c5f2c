//! One run of webhookd, which is fed events and whose acknowledgements are noted.

use crate::clock::Clock;
use crate::history::{Ack, RunNumber, parse_id};
use crate::targets::TARGETS;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fs::File;
use std::io::PipeReader;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use testkit::load::Feeder;
use testkit::{Launch, Process, full_pipe};

/// An event on its way: its place in the history, and its body.
pub(crate) type Pending = (usize, Arc<[u8]>);

/// What all runs of webhookd are started with.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) webhookd: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) queue: PathBuf,
    /// Its standard error is appended here.
    pub(crate) log: PathBuf,
}

/// What one run is started with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Bytes that a file of its may have.
    pub(crate) file_bytes: Option<u64>,
    pub(crate) grace: Duration,
    /// Events a second; all at once if there is none.
    pub(crate) rate: Option<u32>,
    /// Whether the input ends after the events.
    pub(crate) input_ends: bool,
    /// Whether its standard error is a full pipe that nothing reads.
    pub(crate) unread: bool,
    /// The wall clock, if it is not the machine's.
    pub(crate) clock: Option<Clock>,
}

/// A run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) process: Process,
    feeder: Feeder,
    /// Open and not read, so that a write to standard error neither goes on nor fails.
    _unread: Option<PipeReader>,
    fed: Arc<Vec<Pending>>,
    acks: Acks,
}

/// An acknowledgement, with the event's place among those fed, or what is no acknowledgement.
type AckLine = Result<Ack, String>;

/// Acknowledgements in their order.
#[derive(Clone, Debug, Default)]
struct Acks(Arc<Mutex<Vec<AckLine>>>);

/// The end of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    /// What was acknowledged, in that order.
    pub(crate) acks: Vec<Ack>,
    /// Events that were written, all or in part, by their place in the history.
    pub(crate) written: Vec<usize>,
    /// What was fed and not acknowledged, in order.
    pub(crate) left: Vec<Pending>,
}

impl Run {
    /// Starts webhookd, for the run of this number, and begins to feed it.
    pub(crate) fn start(
        paths: &Paths,
        settings: Settings,
        number: RunNumber,
        fed: Vec<Pending>,
    ) -> Result<Run> {
        let acks = Acks::default();
        let noted = acks.clone();
        let launch = launch(paths, &settings)?;
        let (unread, launch) = match settings.unread {
            false => (None, launch.error(log(&paths.log)?)),
            true => {
                let (reader, writer) = full_pipe();
                (Some(reader), launch.error(writer))
            }
        };
        let mut process = launch
            .lines(move |line| noted.all().push(parse(line, number)))
            .spawn();
        let fed = Arc::new(fed);
        let (events, mut next) = (Arc::clone(&fed), 0);
        let input = process.take_input();
        let feeder = Feeder::lines(input, settings.rate, settings.input_ends, move |out| {
            let Some((_, body)) = events.get(next) else {
                return false;
            };
            next += 1;
            out.extend_from_slice(body);
            out.push(b'\n');
            true
        });
        Ok(Run {
            process,
            feeder,
            _unread: unread,
            fed,
            acks,
        })
    }

    /// Waits until so many events are acknowledged, webhookd has ended, or the time is over.
    pub(crate) fn wait_for_acks(&self, count: usize, longest: Duration) {
        self.process
            .wait_for(longest, || self.acks.all().len() >= count);
    }

    /// Waits for its end, and returns what happened to the events.
    pub(crate) fn finish(self) -> Result<Outcome> {
        let id = self.process.id();
        let ended = self.process.wait();
        Clock::clean_up(id);
        let written = self.feeder.written().min(self.fed.len());
        // It may have ended before it had read everything.
        drop(self.feeder.join());
        let mut acked = vec![false; self.fed.len()];
        let mut acks = Vec::new();
        for ack in self.acks.all().drain(..) {
            let mut ack = ack.map_err(anyhow::Error::msg)?;
            let Some((event, _)) = self.fed.get(ack.event) else {
                bail!("line {} is acknowledged, but was not fed", ack.event + 1);
            };
            acked[ack.event] = true;
            ack.event = *event;
            acks.push(ack);
        }
        let left = self.fed.iter().zip(&acked);
        let left = left.filter(|(_, acked)| !**acked);
        Ok(Outcome {
            status: ended.status,
            acks,
            written: self.fed[..written]
                .iter()
                .map(|(event, _)| *event)
                .collect(),
            left: left.map(|(pending, _)| pending.clone()).collect(),
        })
    }
}

impl Acks {
    fn all(&self) -> MutexGuard<'_, Vec<AckLine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(line: &[u8], run: RunNumber) -> AckLine {
    let text = || format!("not an acknowledgement: {}", String::from_utf8_lossy(line));
    ack(line, run).ok_or_else(text)
}

fn ack(line: &[u8], run: RunNumber) -> Option<Ack> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Fields {
        line: usize,
        id: String,
        #[serde(default)]
        over_quota: Vec<String>,
    }
    let fields: Fields = serde_json::from_slice(line).ok()?;
    let mut over_quota = 0;
    for name in fields.over_quota {
        over_quota |= 1 << TARGETS.iter().position(|target| target.name == name)?;
    }
    Some(Ack {
        event: fields.line.checked_sub(1)?,
        id: parse_id(&fields.id)?,
        run,
        at: Instant::now(),
        over_quota,
    })
}

/// Opens the file that webhookd's standard error is appended to.
pub(crate) fn log(path: &Path) -> Result<File> {
    let log = File::options().create(true).append(true).open(path);
    log.with_context(|| format!("cannot write {}", path.display()))
}

fn launch(paths: &Paths, settings: &Settings) -> Result<Launch> {
    let launch = match settings.file_bytes {
        None => Launch::of(&paths.webhookd),
        Some(bytes) => {
            // Writing beyond the limit is to fail, not to kill; the unit is 512 bytes.
            let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
            let shell = Launch::of("sh").args(["-c", &script, "sh"]);
            shell.arg(&paths.webhookd)
        }
    };
    let grace = format!("{}ms", settings.grace.as_millis());
    let paths: [(&str, &Path); 2] = [
        ("--webhook-config", &paths.config),
        ("--queue", &paths.queue),
    ];
    let launch = match &settings.clock {
        None => launch,
        Some(clock) => clock.launch(launch)?,
    };
    let launch = launch.arg("run");
    let launch = launch.args(["--acks", "-", "--summary", "none", "--grace", &grace]);
    Ok(paths
        .into_iter()
        .fold(launch, |launch, (name, path)| launch.arg(name).arg(path)))
}
