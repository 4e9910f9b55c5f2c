//! A torture from its first run to its last.

use crate::behaviour::Behaviour;
use crate::clock::Clock;
use crate::events::Cluster;
use crate::history::{Body, History, PoisonedRun, RunNumber, Sent};
use crate::plan::{Kind, Plan};
use crate::receiver::{ArrivalLog, Awaited};
use crate::report::{Counts, Report};
use crate::run::{Paths, Pending, Run, Settings};
use crate::targets::{TARGETS, wanted, webhook_json};
use crate::{oracle, queue, receiver, say};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::{Server, Signal};

/// How long acknowledgements may take before a run is killed without them, and how long webhookd
/// may wait for a delivery before it gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often arrivals are looked at.
const STEP: Duration = Duration::from_millis(50);
/// How long webhookd goes on delivering when asked to end.
const GRACE: Duration = Duration::from_millis(300);
/// How long the delivery of the rest may take.
const TO_THE_END: Duration = Duration::from_secs(600);

/// A torture in progress.
#[derive(Debug)]
pub(crate) struct Campaign {
    paths: Paths,
    /// `None` where libfaketime is not installed.
    clock: Option<Clock>,
    cluster: Cluster,
    history: History,
    arrivals: Vec<Arc<ArrivalLog>>,
    /// Fed and not acknowledged yet.
    left: Vec<Pending>,
    runs: RunNumber,
    counts: Counts,
    /// What webhookd did that no run of it may do.
    problems: Vec<String>,
    began: Instant,
}

impl Campaign {
    pub(crate) fn new(webhookd: PathBuf, folder: &Path, seed: u64) -> Campaign {
        Campaign {
            paths: Paths {
                webhookd,
                config: folder.join("webhook.json"),
                queue: folder.join("queue"),
                log: folder.join("webhookd.log"),
            },
            clock: Clock::find(folder),
            cluster: Cluster::new(seed),
            history: History {
                targets: TARGETS.iter().map(|target| target.limits()).collect(),
                ..History::default()
            },
            arrivals: TARGETS.iter().map(|_| Arc::default()).collect(),
            left: Vec::new(),
            runs: 0,
            counts: Counts::default(),
            problems: Vec::new(),
            began: Instant::now(),
        }
    }

    /// Runs webhookd as planned, until `goal` events are fed in all, and ends it. A run that ends
    /// by itself, with nothing left to do, is followed by another one, so that every plan ends
    /// as it says.
    pub(crate) fn run(&mut self, plan: &Plan, goal: usize, round: u16) -> Result<()> {
        let mut plan = plan.clone();
        for _ in 0..10 {
            let progress = self.progress();
            let ended = self.run_once(&plan, goal)?;
            let note = if ended { "" } else { ", ended by itself" };
            let title = format!("round {round:>3}  {:<9}", plan.kind.name());
            self.say_since(&progress, &title, note);
            if ended {
                return Ok(());
            }
            // Whatever its end was, the next one cannot end before it is killed.
            plan.kind = Kind::StartUp;
            plan.share = 0;
            plan.room = None;
        }
        bail!("webhookd ended by itself ten times in a row; its log says why");
    }

    /// One run; false if it ended before its time.
    fn run_once(&mut self, plan: &Plan, goal: usize) -> Result<bool> {
        let kind = plan.kind;
        let servers = self.receive(&plan.behaviours, plan.seed)?;
        let fed = self.next_batch(goal);
        let share = fed.len() * plan.share / 1_000;
        let clock = self.clock.clone().zip(plan.clock);
        if let Some((clock, jump)) = &clock {
            clock.set(jump.from)?;
        }
        self.counts.unread += u64::from(plan.unread);
        self.counts.wrong_clock += u64::from(clock.is_some());
        let settings = Settings {
            unread: plan.unread,
            clock: clock.as_ref().map(|(clock, _)| clock.clone()),
            rate: plan.rate,
            input_ends: kind == Kind::Drain,
            grace: if kind == Kind::Restart {
                GRACE
            } else {
                PATIENCE
            },
            file_bytes: plan.room.map(|room| {
                // A queue that is still to be made needs some pages at least.
                let data = std::fs::metadata(self.paths.queue.join("data.mdb"));
                data.map_or(1 << 20, |data| data.len().max(1 << 20)) + room
            }),
        };
        let awaited = (kind == Kind::Poisoned).then(|| self.healthy(&fed, &plan.behaviours));
        let run = Run::start(&self.paths, settings, self.runs, fed)?;
        run.wait_for_acks(share, PATIENCE);
        if let Some((clock, jump)) = &clock {
            clock.set(jump.to)?;
        }
        run.process.has_ended(plan.then);
        if let Some(mut awaited) = awaited {
            let latest = Instant::now() + PATIENCE;
            while Instant::now() < latest
                && !awaited.iter_mut().all(Awaited::have_arrived)
                && !run.process.has_ended(STEP)
            {}
        }
        let poisons = plan.behaviours.iter().map(|it| it.poison);
        if let Some(poisons) = poisons.collect() {
            self.history.poisoned.push(PoisonedRun {
                run: self.runs,
                ended: Instant::now(),
                poisons,
            });
        }
        if kind == Kind::Restart {
            run.process.signal(Signal::TERM);
            if !run.process.has_ended(PATIENCE) {
                self.problems
                    .push("webhookd did not end when asked to".to_owned());
            }
        }
        run.process.signal(Signal::KILL);
        let status = self.finish(run, servers)?;
        let code = status.code();
        let killed = code.is_none();
        let may_end_so = match kind {
            // Without room for a page it cannot even open the queue.
            Kind::DiskFull => killed || code == Some(75),
            Kind::Drain => killed || matches!(code, Some(0 | 1)),
            Kind::Restart => matches!(code, Some(0 | 1 | 3)),
            Kind::StartUp | Kind::Flow | Kind::Poisoned => killed,
        };
        if !may_end_so {
            let (run, name) = (self.runs - 1, kind.name());
            self.problems
                .push(format!("run {run}, {name}: webhookd ended with {status}"));
        }
        let as_planned = killed || kind == Kind::Restart;
        if as_planned {
            *self.counts.ends.entry(kind).or_default() += 1;
        }
        Ok(as_planned)
    }

    /// Feeds what is left, up to `goal` events in all, to healthy receivers, until nothing is
    /// pending; then replays the dead letters and delivers these too.
    pub(crate) fn deliver_the_rest(&mut self, goal: usize) -> Result<()> {
        self.run_to_the_end(goal)?;
        self.history.dead = queue::dead_letters(&self.paths.webhookd, &self.paths.queue)?;
        if let Some((event, _)) = self.left.first() {
            let left = self.left.len();
            self.problems.push(format!(
                "{left} events are never acknowledged; one is {event}"
            ));
        }
        self.problems
            .extend(queue::problems(&self.paths.webhookd, &self.paths.queue)?);
        queue::replay(&self.paths.webhookd, &self.paths.queue)?;
        self.history.replay = Some(self.runs);
        self.run_to_the_end(goal)?;
        let dead = queue::dead_letters(&self.paths.webhookd, &self.paths.queue)?.len();
        if dead > 0 {
            self.problems
                .push(format!("{dead} dead letters after all were replayed"));
        }
        self.problems
            .extend(queue::problems(&self.paths.webhookd, &self.paths.queue)?);
        Ok(())
    }

    /// Lets webhookd run until it ends by itself, with nothing pending.
    fn run_to_the_end(&mut self, goal: usize) -> Result<()> {
        for _ in 0..3 {
            let progress = self.progress();
            let servers = self.receive(&[Behaviour::healthy(); TARGETS.len()], 0)?;
            let fed = self.next_batch(goal);
            let settings = Settings {
                rate: None,
                input_ends: true,
                grace: PATIENCE,
                file_bytes: None,
                unread: false,
                clock: None,
            };
            let run = Run::start(&self.paths, settings, self.runs, fed)?;
            if !run.process.has_ended(TO_THE_END) {
                run.process.signal(Signal::KILL);
            }
            let status = self.finish(run, servers)?;
            self.say_since(&progress, "the rest            ", "");
            if status.success() && self.left.is_empty() {
                self.history.clean.insert(self.runs - 1);
                return Ok(());
            }
            let left = self.left.len();
            self.problems.push(format!(
                "with healthy receivers webhookd ended with {status}, {left} events not acknowledged"
            ));
        }
        Ok(())
    }

    /// Checks all that happened.
    pub(crate) fn check(mut self) -> Result<Report> {
        let logs = self
            .arrivals
            .iter()
            .map(|log| std::mem::take(&mut *log.arrivals()));
        self.history.arrivals = logs.collect();
        let log = std::fs::read(&self.paths.log).context("webhookd.log")?;
        if String::from_utf8_lossy(&log).contains("panicked") {
            let text = "a thread of webhookd panicked; see webhookd.log";
            self.problems.push(text.to_owned());
        }
        self.counts.runs = self.runs;
        Ok(Report {
            verdict: oracle::check(&self.history),
            has_clock: self.clock.is_some(),
            acknowledged: self.history.acks.len(),
            counts: self.counts,
            dead: self.history.dead,
            rotated: Vec::new(),
            problems: self.problems,
        })
    }

    /// Starts the receivers, and configures them as the targets.
    fn receive(&self, behaviours: &[Behaviour], seed: u64) -> Result<Vec<Server>> {
        let each = self.arrivals.iter().zip(behaviours).zip(1_u64..);
        let servers: Vec<_> = each
            .map(|((log, behaviour), number)| {
                receiver::start(log, *behaviour, self.runs, seed.wrapping_mul(number))
            })
            .collect();
        let urls: Vec<String> = servers.iter().map(Server::url).collect();
        let config = serde_json::to_vec_pretty(&webhook_json(TARGETS, &urls))?;
        std::fs::write(&self.paths.config, config).context("cannot write webhook.json")?;
        Ok(servers)
    }

    /// What is to be sent again, and then new events, until there are `goal` of them.
    fn next_batch(&mut self, goal: usize) -> Vec<Pending> {
        let mut fed = std::mem::take(&mut self.left);
        while self.history.sent.len() < goal {
            let event = self.cluster.next();
            fed.push((self.history.sent.len(), Arc::from(&*event.body)));
            self.history.sent.push(Sent {
                task: event.task,
                body: Body::of(&event.body),
                wanted: wanted(event.fields),
                times: 0,
            });
        }
        fed
    }

    /// Of each target without a quota, what is fed, wanted and not poisoned.
    fn healthy(&self, fed: &[Pending], behaviours: &[Behaviour]) -> Vec<Awaited> {
        let targets = self.arrivals.iter().zip(behaviours).enumerate();
        let awaited = targets.map(|(target, (log, behaviour))| {
            let sent = fed.iter().map(|(event, _)| &self.history.sent[*event]);
            let healthy = sent.filter(|sent| {
                sent.wanted & (1 << target) != 0
                    && !self.history.targets[target].has_quota
                    && behaviour
                        .poison
                        .is_none_or(|poison| !poison.hits(sent.task))
            });
            Awaited::new(log, healthy.map(|sent| sent.body).collect())
        });
        awaited.collect()
    }

    /// Waits for the end of a run and of its connections, and adds it to the history.
    fn finish(&mut self, run: Run, servers: Vec<Server>) -> Result<ExitStatus> {
        let outcome = run.finish()?;
        servers.into_iter().for_each(Server::finish);
        self.history.acks.extend(outcome.acks);
        for event in outcome.written {
            let times = &mut self.history.sent[event].times;
            self.counts.sent_again += u64::from(*times > 0);
            *times += 1;
        }
        self.left = outcome.left;
        self.runs = self.runs.checked_add(1).context("too many runs")?;
        Ok(outcome.status)
    }

    /// Acknowledgements and requests so far, and the time.
    fn progress(&self) -> (usize, usize, Instant) {
        let arrived = self.arrivals.iter().map(|log| log.arrivals().len()).sum();
        (self.history.acks.len(), arrived, Instant::now())
    }

    fn say_since(&self, before: &(usize, usize, Instant), title: &str, note: &str) {
        let (acks, arrived, now) = self.progress();
        say(&format!(
            "{:>5.1} s  {title} {:>6} acknowledged, {:>6} requests, {:>4} to send again, {:>4.1} s{note}",
            (now - self.began).as_secs_f64(),
            acks - before.0,
            arrived - before.1,
            self.left.len(),
            (now - before.2).as_secs_f64(),
        ));
    }
}
