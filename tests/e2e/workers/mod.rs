//! Workers that share a queue in PostgreSQL.

mod access;
mod away;
mod disk;
mod keys;
mod operate;
mod owners;
mod rebalance;
mod scale_out;
mod senders;

use crate::durable::reliable;
use senders::Senders;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use testkit::{Admin, DEADLINE, Folder, Launch, Postgres, Process, Receiver, Reply, Signal};

pub(crate) const JSON: &str = "Content-Type: application/json";
pub(crate) const LINES: &str = "Content-Type: application/x-ndjson";

/// The task of events that may arrive and need not.
const UNCONFIRMED: &str = "unconfirmed";

/// A database, and the configuration of its workers.
pub(crate) struct Cluster {
    pub(crate) postgres: Postgres,
    pub(crate) folder: Folder,
    workers: usize,
}

/// A running worker.
pub(crate) struct Worker {
    pub(crate) process: Process,
    pub(crate) admin: Admin,
    /// Where it takes events.
    pub(crate) url: String,
}

impl Cluster {
    /// A database whose commits do not wait for the disk: no test crashes the machine. `None` where
    /// PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Cluster> {
        Cluster::with(&["fsync = off"])
    }

    pub(crate) fn with(settings: &[&str]) -> Option<Cluster> {
        Some(Cluster {
            postgres: Postgres::start(settings)?,
            folder: Folder::new(),
            workers: 0,
        })
    }

    /// Writes the configuration: one reliable target, and this lease.
    pub(crate) fn configure(&self, target: &str, lease: Duration) {
        let lease = u64::try_from(lease.as_millis()).expect("it is short");
        let mut config = json!({
            "targets": [reliable(target)],
            "queue": { "postgres": { "url": self.postgres.url(), "leaseMsec": lease } },
        });
        config["targets"][0]["name"] = json!("audit");
        self.folder.config(&config);
    }

    /// Starts a worker, which is ready when this returns.
    pub(crate) fn worker(&mut self) -> Worker {
        let worker = self.unready_worker();
        worker.wait_until("it is ready", |it| it.is_ready());
        worker
    }

    pub(crate) fn unready_worker(&mut self) -> Worker {
        let process = self.launch().spawn();
        let url = process.listens();
        let admin = Admin::of(&process);
        Worker {
            process,
            admin,
            url,
        }
    }

    /// A worker with a state directory of its own, which listens.
    pub(crate) fn launch(&mut self) -> Launch {
        self.workers += 1;
        let state = format!("state-{}", self.workers);
        Launch::with_config(&self.folder.path().join("webhook.json"))
            .args(["--state-dir", &state])
            .args(["--listen", "127.0.0.1:0", "--admin", "0"])
    }

    /// The numbers of the first row that a query has.
    pub(crate) fn number(&self, sql: &str) -> u64 {
        let text = self.postgres.query(sql);
        text.parse()
            .unwrap_or_else(|_| panic!("{sql} is {text:?}, no number"))
    }
}

impl Worker {
    /// Waits for something that it shows.
    pub(crate) fn wait_until(&self, what: &str, mut is: impl FnMut(&Worker) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is(self) {
            let log = self.process.error_so_far();
            assert!(Instant::now() < deadline, "not in time: {what}\n{log}");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.readyz().0 == 200
    }

    /// The status of `/readyz`, and the codes of its reasons.
    pub(crate) fn readyz(&self) -> (u16, Vec<String>) {
        let answer = self.admin.ask("GET", "/readyz", &[], "");
        if answer.status == 200 {
            return (200, Vec::new());
        }
        let reasons = answer.json()["reasons"].clone();
        let reasons = reasons.as_array().into_iter().flatten();
        let codes = reasons.map(|it| it["code"].as_str().unwrap_or_default().to_owned());
        (answer.status, codes.collect())
    }

    /// A sample of its metrics without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.admin.text("/metrics");
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(f64::NAN, |it| it.parse().expect("a sample is a number"))
    }

    pub(crate) fn slots(&self) -> u16 {
        self.metric("webhookd_queue_worker_slots") as u16
    }

    /// Stops it in order, and returns its log. Its status tells whether the queue is empty, as far
    /// as it knows: the last settlements of other workers are known a moment later.
    pub(crate) fn stop(self) -> String {
        self.process.signal(Signal::TERM);
        let ended = self.process.wait();
        let is_in_order = matches!(ended.code, Some(0 | 1 | 3));
        assert!(is_in_order, "{:?}: {}", ended.status, ended.stderr);
        ended.stderr
    }
}

/// What a worker exports. `None` where PostgreSQL is not installed.
pub(crate) fn metrics_of_a_worker() -> Option<String> {
    let mut cluster = Cluster::start()?;
    cluster.configure("http://127.0.0.1:9/", Duration::from_secs(60));
    let worker = cluster.worker();
    wait_for_shares(&[&worker]);
    let age = "webhookd_queue_worker_oldest_pending_age_seconds";
    worker.wait_until("it knows the age of its oldest event", |it| {
        it.metric(age) == 0.0
    });
    Some(worker.admin.text("/metrics"))
}

/// Waits until each worker has its share of the slots.
pub(crate) fn wait_for_shares(workers: &[&Worker]) {
    let share = 64 / u16::try_from(workers.len()).expect("a few");
    for worker in workers {
        worker.wait_until("it has its share of the slots", |it| {
            (share..=share + 1).contains(&it.slots())
        });
    }
}

/// A receiver that remembers which events came, and in which order.
#[derive(Clone, Default)]
pub(crate) struct Arrivals(Arc<Mutex<Seen>>);

#[derive(Default)]
pub(crate) struct Seen {
    /// The numbers of each task's events, in the order of their first arrivals.
    pub(crate) firsts: BTreeMap<String, Vec<usize>>,
    ids: HashSet<(String, usize)>,
    pub(crate) duplicates: Vec<(String, usize)>,
}

impl Arrivals {
    /// Notes a request; whether it is the first one with its event.
    pub(crate) fn note(&self, body: &[u8]) -> bool {
        let event = numbered(body);
        let mut seen = self.seen();
        if !seen.ids.insert(event.clone()) {
            seen.duplicates.push(event);
            return false;
        }
        seen.firsts.entry(event.0).or_default().push(event.1);
        true
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A receiver that answers 200.
    pub(crate) fn receiver(&self) -> Receiver {
        let arrivals = self.clone();
        Receiver::start(move |request| {
            arrivals.note(&request.body);
            Reply::status(200)
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.seen().ids.len()
    }

    /// Waits for these events of each task, and checks that they came in order.
    pub(crate) fn expect(&self, accepted: &BTreeMap<String, usize>, workers: &[&Worker]) {
        let all: usize = accepted.values().sum();
        assert!(all > 0, "nothing was accepted");
        let deadline = Instant::now() + DEADLINE;
        while self.count() < all && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let seen = self.seen();
        for (task, count) in accepted {
            let came = seen.firsts.get(task).cloned().unwrap_or_default();
            let expected: Vec<usize> = (0..*count).collect();
            if came != expected {
                let logs: Vec<_> = workers.iter().map(|it| it.process.error_so_far()).collect();
                let logs = logs.join("\n--\n");
                panic!("task {task}: {came:?} came, not 0 to {count}, in order\n{logs}");
            }
        }
        let strange = |task: &String| !accepted.contains_key(task) && task != UNCONFIRMED;
        assert!(
            !seen.firsts.keys().any(strange),
            "events came that were not accepted"
        );
    }

    pub(crate) fn duplicates(&self) -> usize {
        self.seen().duplicates.len()
    }
}

/// The task and the number of an event of [`testkit::event`].
fn numbered(body: &[u8]) -> (String, usize) {
    let event: Value = serde_json::from_slice(body).expect("an event is JSON");
    let task = &event["task"]["assignedTask"]["taskId"];
    let number = event["task"]["failureCount"].as_u64();
    (
        task.as_str().expect("it has a task").to_owned(),
        usize::try_from(number.expect("it has a number")).expect("it is small"),
    )
}
