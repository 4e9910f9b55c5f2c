//! A torture from its first run to its last.

use super::daemon::{Daemon, Feeding, Outcome, Pending, Settings};
use super::history::{Ack, Body, History, RunNumber, Sent};
use super::load::Load;
use super::mood::Mood;
use super::plan::{Kind, Plan};
use super::receiver::{Journal, Receiver};
use super::report::{Counts, Report};
use super::targets::{TARGETS, wanted, webhook_json};
use super::{oracle, queue, say};
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long acknowledgements may take before a run is killed without them, and how long webhookd
/// may wait for a delivery before it gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long webhookd goes on delivering when asked to end.
const GRACE: Duration = Duration::from_millis(300);
/// How long the delivery of all that is left may take.
const TO_THE_END: Duration = Duration::from_secs(600);

/// A torture that goes on.
#[derive(Debug)]
pub(super) struct Campaign {
    webhookd: PathBuf,
    folder: PathBuf,
    queue: PathBuf,
    log: PathBuf,
    load: Load,
    history: History,
    journals: Vec<Arc<Journal>>,
    /// Fed and not acknowledged yet.
    left: Vec<Pending>,
    runs: RunNumber,
    counts: Counts,
    /// What webhookd did that no run of it may do.
    misdeeds: Vec<String>,
    began: Instant,
}

impl Campaign {
    pub(super) fn new(webhookd: PathBuf, folder: &Path, seed: u64) -> Result<Campaign> {
        Ok(Campaign {
            webhookd,
            folder: folder.to_owned(),
            queue: folder.join("queue"),
            log: folder.join("webhookd.log"),
            load: Load::new(seed)?,
            history: History {
                targets: TARGETS.iter().map(|target| target.receiving()).collect(),
                ..History::default()
            },
            journals: TARGETS.iter().map(|_| Arc::default()).collect(),
            left: Vec::new(),
            runs: 0,
            counts: Counts::default(),
            misdeeds: Vec::new(),
            began: Instant::now(),
        })
    }

    /// Runs webhookd as planned, until `goal` events are fed in all, and ends it. A run that ends
    /// by itself, with nothing left to do, is followed by another one, so that every plan ends
    /// as it says.
    pub(super) fn run(&mut self, plan: &Plan, goal: usize, round: u16) -> Result<()> {
        let mut plan = plan.clone();
        for _ in 0..10 {
            let before = Marks::of(self);
            let began = Instant::now();
            let ended = self.run_once(&plan, goal)?;
            say(&format!(
                "{:>5.1} s  round {round:>3}  {:<9} {:>6} acknowledged, {:>6} requests, {:>4} to send again, {:>4.1} s{}",
                self.began.elapsed().as_secs_f64(),
                plan.kind.name(),
                self.history.acks.len() - before.acks,
                self.arrived() - before.arrived,
                self.left.len(),
                began.elapsed().as_secs_f64(),
                if ended { "" } else { ", ended by itself" },
            ));
            if ended {
                return Ok(());
            }
            // Whatever it ended of, the next one cannot end before it is killed.
            plan.kind = Kind::StartUp;
            plan.share = 0;
            plan.room = None;
        }
        bail!("webhookd ends by itself, ten times in a row; its log says why");
    }

    /// One run; false if it ended before its time.
    fn run_once(&mut self, plan: &Plan, goal: usize) -> Result<bool> {
        let receivers = self.receive(&plan.moods, plan.seed)?;
        let fed = self.next_batch(goal)?;
        let share = fed.len() * plan.share / 1_000;
        let file_bytes = plan.room.map(|room| {
            // A queue that is still to be made needs some pages at least.
            let data = std::fs::metadata(self.queue.join("data.mdb"));
            data.map_or(1 << 20, |data| data.len().max(1 << 20)) + room
        });
        let feeding = Feeding {
            rate: plan.rate,
            ends: plan.kind == Kind::Drain,
        };
        let grace = match plan.kind {
            Kind::Restart => GRACE,
            _ => PATIENCE,
        };
        let daemon = self.start(fed, feeding, file_bytes, grace)?;
        let mut runs = daemon.wait_for_acks(share, PATIENCE);
        if runs {
            runs = daemon.wait_for_end(plan.then);
        }
        let signal = match plan.kind {
            Kind::Restart => Signal::TERM,
            _ => Signal::KILL,
        };
        if runs {
            // It may end by itself at this very moment.
            drop(daemon.signal(signal));
        }
        if signal == Signal::TERM && daemon.wait_for_end(PATIENCE) {
            self.misdeeds
                .push("webhookd did not end when asked to".to_owned());
            daemon.signal(Signal::KILL)?;
        }
        let outcome = daemon.finish()?;
        self.end_receiving(receivers)?;
        let code = outcome.status.code();
        let killed = code.is_none();
        let may_end_so = match plan.kind {
            // Without room for a page it cannot even open the queue.
            Kind::DiskFull => killed || code == Some(2),
            Kind::Drain => killed || matches!(code, Some(0 | 1)),
            Kind::Restart => matches!(code, Some(0 | 1 | 3)),
            Kind::StartUp | Kind::Flow => killed,
        };
        if !may_end_so {
            self.misdeeds.push(format!(
                "run {}, {}: webhookd ended with {}",
                self.runs,
                plan.kind.name(),
                outcome.status
            ));
        }
        let as_planned = killed || plan.kind == Kind::Restart;
        if as_planned {
            *self.counts.ends.entry(plan.kind).or_default() += 1;
        }
        self.note(outcome)?;
        Ok(as_planned)
    }

    /// Feeds what is left, up to `goal` events in all, to friendly receivers, until nothing is
    /// owed; then makes the dead letters owed again and delivers these too.
    pub(super) fn deliver_the_rest(&mut self, goal: usize) -> Result<()> {
        self.run_to_the_end(goal)?;
        self.history.dead = queue::dead_letters(&self.webhookd, &self.queue)?;
        if !self.left.is_empty() {
            self.misdeeds.push(format!(
                "{} events are never acknowledged; the first is event {}",
                self.left.len(),
                self.left[0].0
            ));
        }
        let faults = queue::faults(&self.webhookd, &self.queue)?;
        self.misdeeds.extend(faults);
        queue::replay(&self.webhookd, &self.queue)?;
        self.history.replay = Some(self.runs);
        self.run_to_the_end(goal)?;
        let dead = queue::dead_letters(&self.webhookd, &self.queue)?.len();
        if dead > 0 {
            self.misdeeds
                .push(format!("{dead} dead letters after all were replayed"));
        }
        let faults = queue::faults(&self.webhookd, &self.queue)?;
        self.misdeeds.extend(faults);
        Ok(())
    }

    /// Lets webhookd run until it ends by itself, with nothing owed.
    fn run_to_the_end(&mut self, goal: usize) -> Result<()> {
        for _ in 0..3 {
            let before = Marks::of(self);
            let began = Instant::now();
            let moods = vec![Mood::CALM; TARGETS.len()];
            let receivers = self.receive(&moods, 0)?;
            let fed = self.next_batch(goal)?;
            let feeding = Feeding {
                rate: None,
                ends: true,
            };
            let daemon = self.start(fed, feeding, None, PATIENCE)?;
            if daemon.wait_for_end(TO_THE_END) {
                daemon.signal(Signal::KILL)?;
            }
            let outcome = daemon.finish()?;
            self.end_receiving(receivers)?;
            let code = outcome.status.code();
            let status = outcome.status;
            self.note(outcome)?;
            say(&format!(
                "{:>5.1} s  the rest   {:>6} acknowledged, {:>6} requests, {:.1} s",
                self.began.elapsed().as_secs_f64(),
                self.history.acks.len() - before.acks,
                self.arrived() - before.arrived,
                began.elapsed().as_secs_f64(),
            ));
            if code == Some(0) && self.left.is_empty() {
                self.history.clean.insert(self.runs - 1);
                return Ok(());
            }
            self.misdeeds.push(format!(
                "with friendly receivers webhookd ended with {status}, {} events not acknowledged",
                self.left.len()
            ));
        }
        Ok(())
    }

    /// Judges all that happened.
    pub(super) fn judge(mut self) -> Result<Report> {
        self.history.arrivals = self.journals.iter().map(|journal| journal.take()).collect();
        let log = std::fs::read(&self.log).context("webhookd.log")?;
        if String::from_utf8_lossy(&log).contains("panicked") {
            self.misdeeds
                .push("a thread of webhookd panicked; see webhookd.log".to_owned());
        }
        self.counts.runs = self.runs;
        Ok(Report {
            judgement: oracle::judge(&self.history),
            acknowledged: self.history.acks.len(),
            counts: self.counts,
            dead: self.history.dead,
            misdeeds: self.misdeeds,
        })
    }

    fn receive(&self, moods: &[Mood], seed: u64) -> Result<Vec<Receiver>> {
        let receivers = self.journals.iter().zip(moods).zip(1_u64..);
        receivers
            .map(|((journal, mood), number)| {
                Receiver::start(
                    Arc::clone(journal),
                    *mood,
                    self.runs,
                    seed.wrapping_mul(number),
                )
            })
            .collect::<Result<_>>()
            .and_then(|receivers: Vec<Receiver>| {
                let urls: Vec<String> = receivers.iter().map(Receiver::url).collect();
                let config = serde_json::to_vec_pretty(&webhook_json(&urls))?;
                std::fs::write(self.config(), config).context("cannot write webhook.json")?;
                Ok(receivers)
            })
    }

    fn end_receiving(&mut self, receivers: Vec<Receiver>) -> Result<()> {
        receivers.into_iter().try_for_each(Receiver::finish)
    }

    /// What is to be sent again, and then new events, until there are `goal` of them.
    fn next_batch(&mut self, goal: usize) -> Result<Vec<Pending>> {
        let mut fed = std::mem::take(&mut self.left);
        while self.history.sent.len() < goal {
            let mut body = Vec::new();
            let event = self.load.next(&mut body)?;
            self.history.sent.push(Sent {
                task: event.task,
                body: Body::of(&body),
                wanted: wanted(&event),
                times: 0,
            });
            fed.push((self.history.sent.len() - 1, Arc::from(body)));
        }
        Ok(fed)
    }

    fn start(
        &self,
        fed: Vec<Pending>,
        feeding: Feeding,
        file_bytes: Option<u64>,
        grace: Duration,
    ) -> Result<Daemon> {
        let settings = Settings {
            webhookd: &self.webhookd,
            config: self.config(),
            queue: &self.queue,
            log: &self.log,
            file_bytes,
            grace,
        };
        Daemon::start(&settings, fed, feeding)
    }

    /// Adds a run to the history.
    fn note(&mut self, outcome: Outcome) -> Result<()> {
        for (event, id) in outcome.acks {
            self.history.acks.push(Ack { event, id });
        }
        for event in outcome.written {
            let times = &mut self.history.sent[event].times;
            self.counts.sent_again += u64::from(*times > 0);
            *times += 1;
        }
        self.left = outcome.left;
        self.runs = self.runs.checked_add(1).context("too many runs")?;
        Ok(())
    }

    fn config(&self) -> PathBuf {
        self.folder.join("webhook.json")
    }

    fn arrived(&self) -> usize {
        self.journals.iter().map(|journal| journal.len()).sum()
    }
}

/// Where a run begins.
struct Marks {
    acks: usize,
    arrived: usize,
}

impl Marks {
    fn of(campaign: &Campaign) -> Marks {
        Marks {
            acks: campaign.history.acks.len(),
            arrived: campaign.arrived(),
        }
    }
}
