//! webhookd follows log files that are rotated all the time, while it runs and while it is down,
//! and is killed again and again: every line must arrive.

use crate::behaviour::{Behaviour, percent};
use crate::events::Cluster;
use crate::history::{Ack, Arrival, Body, History, Id, Limits, RunNumber, Sent};
use crate::oracle::{self, Verdict};
use crate::receiver::{self, ArrivalLog, Awaited};
use crate::run::log;
use crate::say;
use crate::targets::{TARGETS, webhook_json};
use anyhow::{Context, Result, bail};
use fastrand::Rng;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::{Launch, Process, Server, Signal};

/// The target that gets the lines.
const TARGET: usize = 1;
/// What is done to a log between two kills: each step appends lines and may rotate it.
const STEPS: usize = 24;
/// The most lines of a step.
const LINES: usize = 80;
/// The longest pause after a step while webhookd runs, so that rotations meet a reader.
const PAUSE_MILLIS: u64 = 25;
/// How often arrivals are looked at.
const LOOK: Duration = Duration::from_millis(2);
/// How long the awaited arrivals may take before webhookd is killed without them.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the arrival of all lines may take in the end.
const TO_THE_END: Duration = Duration::from_secs(120);

/// How rotated files are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// `events.ndjson.1` is the newest one, and each rotation renames all.
    Numbers,
    /// `events.ndjson-20260101` keeps its name.
    Dates,
}

/// What was done to a log, and what the oracle found.
#[derive(Debug)]
pub(crate) struct Rotated {
    pub(crate) name: &'static str,
    pub(crate) kills: u16,
    pub(crate) lines: usize,
    pub(crate) counts: Counts,
    /// The most deliveries that one kill may cause to be made again.
    pub(crate) most_repeated: usize,
    pub(crate) verdict: Verdict,
    /// What webhookd did wrong besides, in sentences.
    pub(crate) problems: Vec<String>,
}

/// Rotations, by what was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) renamed: u64,
    pub(crate) copied: u64,
    pub(crate) compressed: u64,
}

/// Follows a log under each naming, and kills webhookd so many times meanwhile.
pub(crate) fn run(webhookd: &Path, folder: &Path, seed: u64, kills: u16) -> Result<Vec<Rotated>> {
    let mut rotated = Vec::new();
    for (naming, name) in [(Naming::Numbers, "numbers"), (Naming::Dates, "dates")] {
        let folder = folder.join(format!("rotated-{name}"));
        std::fs::create_dir(&folder).context("cannot make a folder for a log")?;
        let began = Instant::now();
        let seed = seed ^ (naming as u64) << 32;
        let follower = Follower {
            webhookd,
            folder: &folder,
            arrivals: Arc::default(),
            runs: 0,
            problems: Vec::new(),
        };
        let done = follower.run(name, LogFile::new(naming, &folder, seed), seed, kills)?;
        say(&format!(
            "rotated by {name:<9} {:>6} lines, {:>6} requests, {kills} kills, {:>4.1} s",
            done.lines,
            done.verdict.targets.first().map_or(0, |it| it.arrivals),
            began.elapsed().as_secs_f64(),
        ));
        rotated.push(done);
    }
    Ok(rotated)
}

/// The runs of webhookd that follow a log.
struct Follower<'p> {
    webhookd: &'p Path,
    folder: &'p Path,
    arrivals: Arc<ArrivalLog>,
    runs: RunNumber,
    problems: Vec<String>,
}

impl Follower<'_> {
    fn run(
        mut self,
        name: &'static str,
        mut file: LogFile,
        seed: u64,
        kills: u16,
    ) -> Result<Rotated> {
        let mut random = Rng::with_seed(seed.wrapping_add(1));
        self.run_until_known(&mut file)?;
        for _ in 1..kills {
            let share = random.usize(..1_000);
            let then = Duration::from_micros(random.u64(..100_000));
            self.run_until_killed(&mut file, share, then)?;
            // Some further rotations while it is certainly down.
            if percent(&mut random, 50) {
                for _ in 0..random.usize(..8) {
                    file.step()?;
                }
            }
        }
        self.run_to_the_end(&file)?;
        let mut limits = TARGETS[TARGET].limits();
        limits.name = name;
        let most_repeated = limits.most_repeated;
        let arrivals = std::mem::take(&mut *self.arrivals.arrivals());
        let (lines, counts) = (file.lines.len(), file.counts);
        Ok(Rotated {
            name,
            kills,
            lines,
            counts,
            most_repeated,
            verdict: oracle::check(&history(limits, file.lines, arrivals)),
            problems: self.problems,
        })
    }

    /// Runs webhookd until it has stored a position, and kills it. Before, it does not look for
    /// rotated files.
    fn run_until_known(&mut self, file: &mut LogFile) -> Result<()> {
        file.append(LINES)?;
        let (process, server) = self.start()?;
        let queue = self.folder.join("queue");
        let is_stored = || {
            let files = std::fs::read_dir(&queue).into_iter().flatten().flatten();
            files
                .map(|file| file.file_name().to_string_lossy().into_owned())
                .any(|name| name.starts_with("follow-") && name.ends_with(".json"))
        };
        wait_for(&process, PATIENCE, is_stored);
        process.signal(Signal::KILL);
        self.finish(process, server, None)
    }

    /// Rotates the log while webhookd runs, kills it once a share of the new lines (in a thousand)
    /// has arrived, and goes on rotating.
    fn run_until_killed(&mut self, file: &mut LogFile, share: usize, then: Duration) -> Result<()> {
        let (process, server) = self.start()?;
        let before = self.arrivals.arrivals().len();
        let steps = file.draw_steps();
        let wanted = before + steps.iter().sum::<usize>() * share / 1_000;
        std::thread::scope(|scope| {
            let writer = std::thread::Builder::new().name("log-writer".to_owned());
            let writer = writer.spawn_scoped(scope, || -> Result<()> {
                for lines in steps {
                    file.append(lines)?;
                    file.rotate()?;
                    file.pause();
                }
                Ok(())
            })?;
            let have_arrived = || self.arrivals.arrivals().len() >= wanted;
            wait_for(&process, PATIENCE, have_arrived);
            process.has_ended(then);
            process.signal(Signal::KILL);
            while !process.has_ended(PATIENCE) {}
            writer.join().expect("the writer does not panic")
        })?;
        self.finish(process, server, None)
    }

    /// Lets webhookd run until every line has arrived.
    fn run_to_the_end(&mut self, file: &LogFile) -> Result<()> {
        let mut bodies: HashSet<Body> = file.lines.iter().map(|sent| sent.body).collect();
        for arrival in self.arrivals.arrivals().iter() {
            bodies.remove(&arrival.body);
        }
        let mut awaited = Awaited::new(&self.arrivals, bodies);
        let (process, server) = self.start()?;
        wait_for(&process, TO_THE_END, || awaited.have_arrived());
        process.signal(Signal::TERM);
        if !process.has_ended(PATIENCE) {
            process.signal(Signal::KILL);
        }
        self.finish(process, server, Some(0))
    }

    fn start(&self) -> Result<(Process, Server)> {
        let server = receiver::start(&self.arrivals, Behaviour::healthy(), self.runs, 0);
        let config = webhook_json(&TARGETS[TARGET..=TARGET], &[server.url()]);
        let path = self.folder.join("webhook.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&config)?)
            .context("cannot write webhook.json")?;
        let launch = Launch::of(self.webhookd).arg("run");
        let launch = launch.args(["--follow", "--summary", "none"]);
        let launch = launch.arg("--webhook-config").arg(path);
        let launch = launch.arg("--queue").arg(self.folder.join("queue"));
        let launch = launch.arg("--events").arg(self.folder.join(LOG));
        Ok((launch.spawn(), server))
    }

    /// Waits for the end of a run, and looks at what it said. A kill has no exit code.
    fn finish(&mut self, process: Process, server: Server, code: Option<i32>) -> Result<()> {
        let ended = process.wait();
        server.finish();
        let (run, said) = (self.runs, &ended.stderr);
        if ended.code != code {
            let status = ended.status;
            self.problems.push(format!(
                "run {run} with rotations: webhookd ended with {status}"
            ));
        }
        for word in ["may be lost", "panicked"] {
            if let Some(line) = said.lines().find(|line| line.contains(word)) {
                self.problems
                    .push(format!("run {run} with rotations: {line}"));
            }
        }
        log(&self.folder.join("webhookd.log"))?.write_all(said.as_bytes())?;
        self.runs = self.runs.checked_add(1).context("too many runs")?;
        Ok(())
    }
}

/// Waits until it is done, webhookd has ended, or the time is over.
fn wait_for(process: &Process, longest: Duration, mut is_done: impl FnMut() -> bool) {
    let latest = Instant::now() + longest;
    while !is_done() && Instant::now() < latest && !process.has_ended(LOOK) {}
}

/// What a perfect webhookd would have acknowledged, for what was written and what arrived: each
/// line once, in their order. Its id is the one under which it arrived first.
fn history(limits: Limits, lines: Vec<Sent>, arrivals: Vec<Arrival>) -> History {
    let mut ids: HashMap<Body, Id> = HashMap::new();
    for arrival in &arrivals {
        if let Some(id) = arrival.id {
            ids.entry(arrival.body).or_insert(id);
        }
    }
    let acks = lines.iter().enumerate().map(|(event, sent)| Ack {
        event,
        // One that did not arrive gets an id that no event has.
        id: ids.get(&sent.body).copied().unwrap_or(event as Id),
        run: 0,
        at: Instant::now(),
        over_quota: 0,
    });
    History {
        targets: vec![limits],
        acks: acks.collect(),
        sent: lines,
        arrivals: vec![arrivals],
        ..History::default()
    }
}

/// The name of the log.
const LOG: &str = "events.ndjson";

/// A log, and the files that it was rotated to.
struct LogFile {
    naming: Naming,
    folder: PathBuf,
    random: Rng,
    cluster: Cluster,
    /// What was written, in order.
    lines: Vec<Sent>,
    /// Whether each rotated file is compressed, from the oldest to the newest.
    rotated: Vec<bool>,
    counts: Counts,
}

impl LogFile {
    fn new(naming: Naming, folder: &Path, seed: u64) -> LogFile {
        LogFile {
            naming,
            folder: folder.to_owned(),
            random: Rng::with_seed(seed),
            cluster: Cluster::new(seed),
            lines: Vec::new(),
            rotated: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// How many lines each of the next steps appends.
    fn draw_steps(&mut self) -> Vec<usize> {
        (0..STEPS).map(|_| self.draw_lines()).collect()
    }

    fn draw_lines(&mut self) -> usize {
        self.random.usize(1..=LINES)
    }

    fn step(&mut self) -> Result<()> {
        let lines = self.draw_lines();
        self.append(lines)?;
        self.rotate()
    }

    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(self.random.u64(..PAUSE_MILLIS)));
    }

    fn append(&mut self, lines: usize) -> Result<()> {
        let mut text = Vec::new();
        for _ in 0..lines {
            let event = self.cluster.next();
            text.extend_from_slice(&event.body);
            text.push(b'\n');
            self.lines.push(Sent {
                task: event.task,
                body: Body::of(&event.body),
                wanted: 1,
                times: 1,
            });
        }
        let file = File::options().create(true).append(true).open(self.live());
        file.and_then(|mut file| file.write_all(&text))
            .context("cannot append to the log")
    }

    /// Rotates the log, compresses a file that was rotated before, does both, or does nothing.
    fn rotate(&mut self) -> Result<()> {
        match self.random.usize(..100) {
            0..30 => self.rename()?,
            30..40 => self.copy_and_truncate()?,
            _ => {}
        }
        if percent(&mut self.random, 25) {
            self.compress()?;
        }
        Ok(())
    }

    fn rename(&mut self) -> Result<()> {
        let path = self.take_name()?;
        std::fs::rename(self.live(), path)?;
        if percent(&mut self.random, 50) {
            File::create(self.live())?;
        }
        self.counts.renamed += 1;
        Ok(())
    }

    fn copy_and_truncate(&mut self) -> Result<()> {
        let path = self.take_name()?;
        std::fs::copy(self.live(), path)?;
        File::options().write(true).open(self.live())?.set_len(0)?;
        self.counts.copied += 1;
        Ok(())
    }

    /// Compresses a file as logrotate does.
    fn compress(&mut self) -> Result<()> {
        let plain: Vec<usize> = (0..self.rotated.len())
            .filter(|index| !self.rotated[*index])
            .collect();
        let Some(&index) = self.random.choice(&plain) else {
            return Ok(());
        };
        let path = self.path(index, self.rotated.len());
        let status = Command::new("gzip").arg(&path).status();
        if !status.context("cannot start gzip")?.success() {
            bail!("gzip failed on {}", path.display());
        }
        self.rotated[index] = true;
        self.counts.compressed += 1;
        Ok(())
    }

    /// The path for a further rotated file; with numbers, the others are renamed.
    fn take_name(&mut self) -> Result<PathBuf> {
        let count = self.rotated.len();
        if self.naming == Naming::Numbers {
            for index in 0..count {
                std::fs::rename(self.path(index, count), self.path(index, count + 1))?;
            }
        }
        self.rotated.push(false);
        Ok(self.path(count, count + 1))
    }

    fn live(&self) -> PathBuf {
        self.folder.join(LOG)
    }

    /// The path of a rotated file while there are `count` of them; the oldest has index 0.
    fn path(&self, index: usize, count: usize) -> PathBuf {
        let end = if self.rotated[index] { ".gz" } else { "" };
        let name = match self.naming {
            Naming::Numbers => format!("{LOG}.{}{end}", count - index),
            Naming::Dates => format!("{LOG}-{}{end}", 20_260_101 + index),
        };
        self.folder.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Answer;
    use crate::oracle::Violation;

    /// The violations in what arrives of ten lines of one task.
    fn violations(change: impl FnOnce(&mut Vec<Arrival>)) -> Vec<Violation> {
        let body = |line: usize| Body::of(&line.to_le_bytes());
        let lines = (0..10).map(|line| Sent {
            task: 1,
            body: body(line),
            wanted: 1,
            times: 1,
        });
        let arrivals = (0..10).map(|line| Arrival {
            id: Some(1_000 + line as Id),
            batch: None,
            body: body(line),
            run: line as RunNumber / 5,
            at: Instant::now(),
            answer: Answer::Success,
        });
        let mut arrivals = arrivals.collect();
        change(&mut arrivals);
        let history = history(TARGETS[TARGET].limits(), lines.collect(), arrivals);
        oracle::check(&history).violations.into_keys().collect()
    }

    #[test]
    fn all_lines_in_order_are_sound_also_if_a_kill_repeats_some() {
        assert_eq!(violations(|_| {}), []);
        let repeated = |arrivals: &mut Vec<Arrival>| {
            let again = arrivals[4];
            arrivals.insert(5, Arrival { run: 1, ..again });
        };
        assert_eq!(violations(repeated), []);
    }

    #[test]
    fn a_lost_line_is_found() {
        for line in 0..10 {
            let lost = |arrivals: &mut Vec<Arrival>| {
                arrivals.remove(line);
            };
            assert_eq!(violations(lost), [Violation::Lost], "{line}");
        }
    }

    #[test]
    fn a_line_that_arrives_late_is_found() {
        let swapped = |arrivals: &mut Vec<Arrival>| arrivals.swap(6, 7);
        assert_eq!(violations(swapped), [Violation::OutOfOrder]);
    }

    #[test]
    fn a_line_that_is_read_as_two_events_is_found() {
        let twice = |arrivals: &mut Vec<Arrival>| {
            let again = arrivals[4];
            let id = Some(2_000);
            arrivals.insert(
                5,
                Arrival {
                    id,
                    run: 1,
                    ..again
                },
            );
        };
        assert_eq!(violations(twice), [Violation::UnstableId]);
    }

    #[test]
    fn a_line_that_arrives_in_part_is_found() {
        let cut = |arrivals: &mut Vec<Arrival>| {
            let id = Some(2_000);
            let part = Arrival {
                id,
                body: Body::of(b"part"),
                ..arrivals[4]
            };
            arrivals.insert(5, part);
        };
        assert_eq!(violations(cut), [Violation::Altered]);
    }
}
