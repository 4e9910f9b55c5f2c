//! Worker processes of one kind, on one queue.

use super::machinery::Bench;
use super::results::QueueKind;
use super::server::Server;
use crate::receiver::tool;
use anyhow::{Context, Result};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use testkit::{Launch, Process, Signal};

/// How long a worker may take to end.
const END: Duration = Duration::from_secs(60);

/// Processes that take events over HTTP and deliver them to one target.
#[derive(Debug)]
pub(super) struct Workers {
    processes: Vec<Process>,
    /// `127.0.0.1:PORT` of each.
    pub(super) addresses: Vec<String>,
}

impl Workers {
    /// Starts so many that deliver to `target`, a URL.
    pub(super) fn start(
        bench: &Bench,
        kind: QueueKind,
        count: u32,
        place: (&Path, Option<&Server>),
        target: &str,
    ) -> Result<Workers> {
        let (folder, server) = place;
        let url = || server.map(Server::url).context("there is no server");
        let launch = |number: u32| -> Result<Launch> {
            match kind {
                QueueKind::Embedded => {
                    Ok(webhookd(bench, folder, None, target)?.args(["--queue", "queue"]))
                }
                QueueKind::Postgres => {
                    let launch = webhookd(bench, folder, Some(&url()?), target)?;
                    Ok(launch.args(["--state-dir", &format!("state-{number}")]))
                }
                QueueKind::SkipLocked64 => skip_locked(bench, &url()?, target, 64),
                QueueKind::SkipLocked1 => skip_locked(bench, &url()?, target, 1),
            }
        };
        let launches = (0..count).map(launch).collect::<Result<Vec<_>>>()?;
        let processes: Vec<Process> = launches.into_iter().map(Launch::spawn).collect();
        let addresses = processes.iter().map(|process| {
            let url = process.listens();
            let address = url.trim_start_matches("http://").split('/').next();
            address.unwrap_or_default().to_owned()
        });
        Ok(Workers {
            addresses: addresses.collect(),
            processes,
        })
    }

    pub(super) fn processor_time(&self) -> Duration {
        self.processes.iter().map(Process::processor_time).sum()
    }

    /// What they wrote to standard error.
    pub(super) fn said(&self) -> String {
        let all = self.processes.iter().map(Process::error_so_far);
        all.collect::<Vec<_>>().join("\n")
    }

    /// Ends all of them.
    pub(super) fn stop(self) {
        for process in &self.processes {
            process.signal(Signal::TERM);
        }
        for process in &self.processes {
            process.has_ended(END);
        }
    }

    /// Kills the last one.
    pub(super) fn kill_last(&mut self) {
        drop(self.addresses.pop());
        if let Some(process) = self.processes.pop() {
            process.signal(Signal::KILL);
            process.has_ended(END);
        }
    }
}

/// webhookd with one reliable target.
fn webhookd(bench: &Bench, folder: &Path, database: Option<&str>, target: &str) -> Result<Launch> {
    let mut config = json!({
        "targetURL": target,
        "headers": { "Content-Type": "application/json" },
        "timeoutMsec": 5_000,
        "concurrency": bench.threads,
        "retry": { "initialMsec": 100, "maxMsec": 1_000 },
    });
    if let Some(url) = database {
        config["queue"] = json!({ "postgres": { "url": url } });
    }
    let path = folder.join("webhook.json");
    std::fs::write(&path, format!("{config:#}\n")).context("cannot write a configuration")?;
    // The file holds the password of the database.
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, private).context("cannot change its mode")?;
    let launch = Launch::of(&bench.webhookd)
        .args(["run", "--webhook-config", "webhook.json"])
        .args(["--listen", "127.0.0.1:0"])
        .args(["--summary", "none", "--grace", "0s"])
        .current_dir(folder)
        .input(Stdio::null())
        .output(Stdio::null());
    Ok(launch)
}

fn skip_locked(bench: &Bench, database: &str, target: &str, claim: u32) -> Result<Launch> {
    let target = target.trim_start_matches("http://").trim_end_matches('/');
    let launch = tool("skip-locked")?
        .args(["--database", database, "--target", target])
        .args(["--claim", &claim.to_string()])
        .args(["--senders", &bench.threads.to_string()])
        .arg("--head")
        .arg(bench.head());
    Ok(launch.input(Stdio::null()).output(Stdio::null()))
}
