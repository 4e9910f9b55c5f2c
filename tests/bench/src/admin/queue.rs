//! A queue with events that are owed and dead letters, and webhookd on it.

use crate::postgres::Server;
use crate::say;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::load::{Feeder, Load, in_turns};
use testkit::{Admin, Launch, Process, Server as Receiver};

/// How long the queue may take to be filled.
const FILLING: Duration = Duration::from_secs(1_800);
/// How long webhookd may take to come to rest.
const SETTLING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);
/// Tasks that the owed events are of, in turns.
const TASKS: u32 = 5_000;
/// Requests that are answered 404 before all are answered 503: they fill the log of attempts.
const ANSWERED: u64 = 2_000;
/// What the receiver of the dead letters answers, in turns. After as many of 400, 413 and 422, the target
/// would be held.
const REFUSALS: [&str; 3] = ["403 Forbidden", "404 Not Found", "409 Conflict"];

/// A filled queue.
pub(super) struct Filled {
    folder: TempDir,
    server: Option<Server>,
    _receivers: [Receiver; 2],
    /// Requests of the events owed since the start of webhookd.
    answered: Arc<AtomicU64>,
}

/// webhookd on that queue.
pub(super) struct Daemon {
    pub(super) process: Process,
    pub(super) url: String,
}

impl Filled {
    pub(super) fn fill(
        webhookd: &Path,
        parent: &Path,
        (owed, dead): (u32, u32),
        on_postgres: bool,
    ) -> Result<Filled> {
        let server = on_postgres.then(Server::start).transpose()?;
        let answered = Arc::default();
        // In the order of the targets' names.
        let receivers = [refuses_all(), refuses_some(&answered)];
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(parent)
            .with_context(|| format!("cannot make a folder in {}", parent.display()))?;
        let config = config(&receivers, server.as_ref());
        let path = folder.path().join("webhook.json");
        std::fs::write(&path, format!("{config:#}\n")).context("cannot write webhook.json")?;
        // The file holds the password of the database.
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, private).context("cannot change its mode")?;
        let filled = Filled {
            folder,
            server,
            _receivers: receivers,
            answered,
        };
        filled.feed(webhookd, owed, dead)?;
        Ok(filled)
    }

    fn feed(&self, webhookd: &Path, owed: u32, dead: u32) -> Result<()> {
        say(&format!(
            "filling a queue with {dead} dead letters and {owed} events owed ..."
        ));
        let mut process = self.launch(webhookd).spawn();
        let admin = Admin::of(&process);
        let refused = Arc::new(Load::changed(|event| {
            event["task"]["assignedTask"]["task"]["job"]["role"] = "refused".into();
        }));
        let plain = Arc::new(Load::real());
        let stdin = process.take_input();
        let labels = in_turns(TASKS, dead.max(1), dead);
        let fed = Feeder::start(stdin, &refused, labels, false).join();
        let stdin = fed.context("webhookd stopped reading")?;
        let stdin = stdin.context("the input is open")?;
        wait(&admin, "dead", |target| target["deadLetters"] == dead)?;
        let fed = Feeder::start(stdin, &plain, in_turns(0, TASKS, owed), false).join();
        // It ends at the end of its input.
        let _stdin = fed.context("webhookd stopped reading")?;
        wait(&admin, "owed", |target| target["pending"] == owed)?;
        process.signal(testkit::Signal::TERM);
        process.wait_at_most(FILLING);
        Ok(())
    }

    /// Starts webhookd, and waits until its log of attempts is full and its breaker open.
    pub(super) fn start(&self, webhookd: &Path) -> Result<Daemon> {
        self.answered.store(0, Ordering::Relaxed);
        let process = self.launch(webhookd).spawn();
        let admin = Admin::of(&process);
        let until = Instant::now() + SETTLING;
        while admin.get("/api/v1/targets/owed")["breaker"] != "open" {
            ensure!(Instant::now() < until, "the breaker did not open");
            process.has_ended(LOOK);
        }
        Ok(Daemon {
            url: admin.url().to_owned(),
            process,
        })
    }

    fn launch(&self, webhookd: &Path) -> Launch {
        let launch = Launch::of(webhookd)
            .args(["run", "--webhook-config", "webhook.json", "--admin", "0"])
            .args(["--summary", "none", "--grace", "0s"])
            .output(Stdio::null())
            .current_dir(self.folder.path());
        match self.server {
            Some(_) => launch.args(["--state-dir", "state"]),
            None => launch.args(["--queue", "queue"]),
        }
    }
}

/// Waits until the queue has of a target what it is to have.
fn wait(admin: &Admin, name: &str, done: impl Fn(&Value) -> bool) -> Result<()> {
    let until = Instant::now() + FILLING;
    loop {
        let queue = admin.get("/api/v1/queue");
        let targets = queue["targets"].as_array().into_iter().flatten();
        let target = targets.clone().find(|it| it["name"] == name);
        if target.is_some_and(&done) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "the queue has {queue}");
        std::thread::sleep(LOOK);
    }
}

fn config(receivers: &[Receiver; 2], server: Option<&Server>) -> Value {
    let [dead, owed] = receivers.each_ref().map(Receiver::url);
    let mut config = json!({
        "targets": [
            {
                "name": "dead",
                "targetURL": dead,
                "headers": {},
                "timeoutMsec": 5_000,
                "jobs": ["refused/*/*"],
                "retry": { "maxAttempts": 1 },
            },
            {
                "name": "owed",
                "targetURL": owed,
                "headers": {},
                "timeoutMsec": 5_000,
                "jobs": ["www-data/*/*"],
                "retry": { "initialMsec": 60_000, "maxMsec": 3_600_000, "maxAgeMsec": 864_000_000 },
            },
        ],
        "queue": { "maxBytes": 64_u64 << 30, "deadLetters": { "maxAgeMsec": 864_000_000 } },
    });
    if let Some(server) = server {
        config["queue"]["postgres"] = json!({ "url": server.url() });
    }
    config
}

/// Answers 404 at first, and then 503.
fn refuses_some(answered: &Arc<AtomicU64>) -> Receiver {
    let answered = Arc::clone(answered);
    let page = "x".repeat(1_500);
    Receiver::start(move |connection| {
        while connection.request().is_some() {
            let status = match answered.fetch_add(1, Ordering::Relaxed) {
                0..ANSWERED => "404 Not Found",
                _ => "503 Service Unavailable",
            };
            if !connection.write(&answer(status, &page)) {
                return;
            }
        }
    })
}

/// Refuses each event for good.
fn refuses_all() -> Receiver {
    let answered = AtomicU64::new(0);
    Receiver::start(move |connection| {
        while connection.request().is_some() {
            let at = answered.fetch_add(1, Ordering::Relaxed) as usize % REFUSALS.len();
            if !connection.write(&answer(REFUSALS[at], "the body is not valid")) {
                return;
            }
        }
    })
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}
