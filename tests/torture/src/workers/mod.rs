//! Many workers on one PostgreSQL database, which is real, as they are: each of them is killed and
//! stopped again and again, and so is the database.

mod clients;
mod incident;
mod report;
mod worker;

use crate::behaviour::Behaviour;
use crate::events::Cluster;
use crate::history::{Body, History, RunNumber, Sent};
use crate::receiver::{self, ArrivalLog, Scene};
use crate::targets::{TARGETS, Target, wanted, webhook_json};
use crate::{oracle, queue, say};
use anyhow::{Context, Result, bail, ensure};
use clients::{Clients, Posting};
use fastrand::Rng;
use incident::{Incident, LEASE};
use report::Counts;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use testkit::{Postgres, Server, Signal};
use worker::Worker;

pub(crate) use report::Report;

/// How long the events of a round may take to be acknowledged.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the delivery of the rest may take.
const TO_THE_END: Duration = Duration::from_secs(300);
/// How often the queue is asked whether anything is pending.
const LOOK: Duration = Duration::from_millis(200);
/// For how long clients go on with a worker that does not answer.
const NOTICED: Duration = Duration::from_millis(300);

/// What all workers are started with.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    webhookd: PathBuf,
    folder: PathBuf,
    config: PathBuf,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) workers: usize,
    pub(crate) rounds: u16,
    /// In all.
    pub(crate) events: usize,
    pub(crate) seed: u64,
}

/// Those without a quota: a quota is kept by each worker for itself.
fn targets() -> &'static [Target] {
    &TARGETS[..TARGETS.len() - 1]
}

/// Tortures the workers, and checks every delivery.
pub(crate) fn run(webhookd: &Path, folder: &Path, options: Options) -> Result<Report> {
    // A kill loses nothing that the system has.
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        bail!("PostgreSQL is not installed");
    };
    let mut torture = Torture::start(webhookd, folder, options, postgres)?;
    let mut random = Rng::with_seed(options.seed);
    for round in 1..=options.rounds {
        let goal = options.events * usize::from(round) / usize::from(options.rounds);
        torture.round(&mut random, round, goal)?;
    }
    torture.deliver_the_rest()?;
    torture.check()
}

struct Torture {
    paths: Paths,
    /// The database as webhookd's commands take it.
    database: PathBuf,
    postgres: Postgres,
    /// `None` while one is not running.
    workers: Vec<Option<Worker>>,
    clients: Clients,
    cluster: Cluster,
    seed: u64,
    history: History,
    arrivals: Vec<Arc<ArrivalLog>>,
    scenes: Vec<Scene>,
    _servers: Vec<Server>,
    run: RunNumber,
    counts: Counts,
    problems: Vec<String>,
    began: Instant,
}

impl Torture {
    fn start(
        webhookd: &Path,
        folder: &Path,
        options: Options,
        postgres: Postgres,
    ) -> Result<Torture> {
        let arrivals: Vec<Arc<ArrivalLog>> = targets().iter().map(|_| Arc::default()).collect();
        let scene = |_: &Target| Scene::new((Behaviour::healthy(), 0).into());
        let scenes: Vec<Scene> = targets().iter().map(scene).collect();
        let servers = arrivals.iter().zip(&scenes).zip(1_u64..);
        let servers: Vec<Server> = servers
            .map(|((log, scene), number)| {
                receiver::start_changing(log, scene, options.seed.wrapping_mul(number))
            })
            .collect();
        let urls: Vec<String> = servers.iter().map(Server::url).collect();
        let paths = Paths {
            webhookd: webhookd.to_owned(),
            folder: folder.to_owned(),
            config: folder.join("webhook.json"),
        };
        let mut config = webhook_json(targets(), &urls);
        config["queue"]["postgres"] =
            json!({ "url": postgres.url(), "leaseMsec": LEASE.as_millis() as u64 });
        std::fs::write(&paths.config, format!("{config:#}")).context("webhook.json")?;
        let mut torture = Torture {
            database: PathBuf::from(postgres.url()),
            paths,
            postgres,
            workers: (0..options.workers).map(|_| None).collect(),
            clients: Clients::start(options.workers, options.seed),
            cluster: Cluster::new(options.seed),
            seed: options.seed,
            history: History {
                targets: targets()
                    .iter()
                    .map(|target| {
                        let mut limits = target.limits();
                        // All workers lose their leases when the database is away.
                        limits.most_repeated *= options.workers;
                        limits
                    })
                    .collect(),
                ..History::default()
            },
            arrivals,
            scenes,
            _servers: servers,
            run: 0,
            counts: Counts::default(),
            problems: Vec::new(),
            began: Instant::now(),
        };
        for number in 0..options.workers {
            torture.start_worker(number);
        }
        Ok(torture)
    }

    /// Posts events up to `goal` in all, and lets something happen meanwhile.
    fn round(&mut self, random: &mut Rng, round: u16, goal: usize) -> Result<()> {
        let began = Instant::now();
        for scene in &self.scenes {
            let mut scene = scene.lock().unwrap_or_else(PoisonError::into_inner);
            scene.0 = Behaviour::draw(random).always_open();
        }
        let posted = goal - self.history.sent.len();
        self.post(posted);
        let incidents = 1 + usize::from(random.usize(..100) < 30);
        let mut names = Vec::new();
        for _ in 0..incidents {
            self.clients
                .wait_for(random.usize(..posted.max(1)), PATIENCE);
            // At times right in the middle of commits, at times once they are over.
            std::thread::park_timeout(Duration::from_micros(random.u64(..20_000)));
            let incident = Incident::draw(random, self.workers.len());
            names.push(incident.name());
            self.cause(incident)?;
        }
        if !self.clients.wait_for(posted, PATIENCE) {
            let text = format!("round {round}: not all events were acknowledged in {PATIENCE:?}");
            self.problems.push(text);
        }
        self.note_acknowledgements();
        self.find_ended()?;
        say(&format!(
            "{:>5.1} s  round {round:>3}  {:<40} {posted:>6} events, {:>4.1} s",
            self.began.elapsed().as_secs_f64(),
            names.join(", "),
            began.elapsed().as_secs_f64(),
        ));
        Ok(())
    }

    fn post(&mut self, count: usize) {
        for _ in 0..count {
            let event = self.cluster.next();
            let number = self.history.sent.len();
            let key = number
                .is_multiple_of(2)
                .then(|| format!("torture-{}-{number}", self.seed));
            self.history.sent.push(Sent {
                task: event.task,
                body: Body::of(&event.body),
                wanted: wanted(event.fields),
                times: 1,
            });
            let posting = Posting {
                event: number,
                body: Arc::from(event.body),
                idempotency_key: key,
            };
            self.clients.post(event.task, posting);
        }
    }

    fn note_acknowledgements(&mut self) {
        let (posted, problems) = self.clients.take();
        for posted in posted {
            self.history.sent[posted.ack.event].times = posted.times;
            self.counts.sent_again += u64::from(posted.times > 1);
            self.counts.recognised += u64::from(posted.duplicate);
            self.history.acks.push(posted.ack);
        }
        self.problems.extend(problems);
    }

    /// Lets something happen, and undoes it.
    fn cause(&mut self, incident: Incident) -> Result<()> {
        self.begin_run();
        self.history.disturbed.insert(self.run);
        *self.counts.incidents.entry(incident.name()).or_default() += 1;
        match incident {
            Incident::Kill(worker, down) => {
                self.kill(worker)?;
                std::thread::park_timeout(down);
                self.start_worker(worker);
            }
            Incident::KillAll => {
                for worker in 0..self.workers.len() {
                    self.kill(worker)?;
                }
                for worker in 0..self.workers.len() {
                    self.start_worker(worker);
                }
            }
            Incident::Restart(worker) => {
                self.terminate(worker)?;
                self.start_worker(worker);
            }
            Incident::Pause(worker, length) => self.pause(worker, length),
            Incident::Database(how, down) => {
                self.postgres.stop(how);
                std::thread::park_timeout(down);
                self.postgres.start_again();
            }
            Incident::Cut(times) => {
                for _ in 0..times {
                    self.counts.cut += self.postgres.terminate_connections();
                }
            }
        }
        Ok(())
    }

    /// What happens from now on is of the next run.
    fn begin_run(&mut self) {
        self.run += 1;
        self.clients.set_run(self.run);
        for scene in &self.scenes {
            scene.lock().unwrap_or_else(PoisonError::into_inner).1 = self.run;
        }
    }

    fn start_worker(&mut self, number: usize) {
        let worker = Worker::start(&self.paths, number);
        self.clients.set_url(number, Some(worker.url.clone()));
        self.workers[number] = Some(worker);
    }

    /// Kills a worker, which the clients notice by themselves.
    fn kill(&mut self, number: usize) -> Result<()> {
        let killed = self.workers[number].take().map_or(Ok(()), Worker::kill);
        self.clients.set_url(number, None);
        killed
    }

    fn terminate(&mut self, number: usize) -> Result<()> {
        if let Some(worker) = self.workers[number].take() {
            self.problems.extend(worker.terminate()?);
        }
        self.clients.set_url(number, None);
        Ok(())
    }

    fn pause(&mut self, number: usize, length: Duration) {
        let Some(worker) = &self.workers[number] else {
            return;
        };
        let url = worker.url.clone();
        worker.signal(Signal::STOP);
        std::thread::park_timeout(length.min(NOTICED));
        if length > NOTICED {
            self.clients.set_url(number, None);
            std::thread::park_timeout(length - NOTICED);
        }
        worker.signal(Signal::CONT);
        self.clients.set_url(number, Some(url));
    }

    /// Starts workers again that have ended by themselves, which none may.
    fn find_ended(&mut self) -> Result<()> {
        for number in 0..self.workers.len() {
            let has_ended = |worker: &Worker| worker.has_ended();
            if self.workers[number].as_ref().is_some_and(has_ended) {
                self.problems
                    .push(format!("worker {number} has ended by itself"));
                self.kill(number)?;
                self.start_worker(number);
            }
        }
        Ok(())
    }

    /// Restarts the workers in turn, lets them deliver all that is pending to healthy receivers,
    /// and then the dead letters.
    fn deliver_the_rest(&mut self) -> Result<()> {
        for scene in &self.scenes {
            let mut scene = scene.lock().unwrap_or_else(PoisonError::into_inner);
            scene.0 = Behaviour::healthy();
        }
        for number in 0..self.workers.len() {
            self.terminate(number)?;
            self.start_worker(number);
        }
        self.begin_run();
        self.history.clean.insert(self.run);
        self.deliver_pending()?;
        self.history.dead = queue::dead_letters(&self.paths.webhookd, &self.database)?;
        // The workers deliver them at once.
        self.begin_run();
        self.history.clean.insert(self.run);
        self.history.replay = Some(self.run);
        queue::replay(&self.paths.webhookd, &self.database)?;
        self.deliver_pending()?;
        let dead = queue::dead_letters(&self.paths.webhookd, &self.database)?.len();
        if dead > 0 {
            self.problems
                .push(format!("{dead} dead letters after all were replayed"));
        }
        for number in 0..self.workers.len() {
            self.terminate(number)?;
        }
        Ok(())
    }

    /// Waits until nothing is pending.
    fn deliver_pending(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            let stats = queue::stats(&self.paths.webhookd, &self.database)?;
            let pending = pending(&stats)?;
            if pending == 0 {
                break;
            }
            if began.elapsed() > TO_THE_END {
                let text = format!("{pending} deliveries are pending after {TO_THE_END:?}");
                self.problems.push(text);
                break;
            }
            std::thread::park_timeout(LOOK);
        }
        let seconds = began.elapsed().as_secs_f64();
        say(&format!(
            "{:>5.1} s  the rest in {seconds:.1} s",
            self.began.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// Checks all that happened.
    fn check(mut self) -> Result<Report> {
        self.clients.end();
        let logs = self.arrivals.iter();
        let logs = logs.map(|log| std::mem::take(&mut *log.arrivals()));
        self.history.arrivals = logs.collect();
        let log = std::fs::read(self.paths.folder.join("webhookd.log")).context("webhookd.log")?;
        let panicked = String::from_utf8_lossy(&log).contains("panicked");
        ensure!(!log.is_empty(), "the workers wrote nothing");
        if panicked {
            let text = "a thread of webhookd panicked; see webhookd.log";
            self.problems.push(text.to_owned());
        }
        Ok(Report {
            verdict: oracle::check(&self.history),
            acknowledged: self.history.acks.len(),
            targets: self.history.targets,
            counts: self.counts,
            dead: self.history.dead,
            problems: self.problems,
        })
    }
}

fn pending(stats: &Value) -> Result<u64> {
    let targets = stats["targets"].as_array().context("no targets")?;
    Ok(targets.iter().filter_map(|of| of["pending"].as_u64()).sum())
}
