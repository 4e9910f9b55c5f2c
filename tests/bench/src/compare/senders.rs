//! The rates: each part's sender, and its configuration.

use super::part::Part;
use super::results::Sample;
use super::session::{Ends, Session};
use super::syslog_ng;
use crate::machine::version;
use crate::receiver::{Expected, tool};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::Launch;
use testkit::load::Label;

/// Requests that hyper, reqwest and wrk have under way at once.
const IN_FLIGHT: usize = 64;
/// Connections that the events come in by, over HTTP: while one waits for its sync, others bring
/// what the next sync takes.
const FEEDERS: usize = 256;
/// Events in a request of [`Part::IngestBatch`].
const BATCH: u64 = 64;

/// Measures one part once, with about so many events.
pub(super) fn measure(session: &mut Session, part: Part, events: u64) -> Result<Sample> {
    let events = events.div_ceil(BATCH) * BATCH;
    let mut task = session.task(events);
    let folder = session.subfolder()?;
    let head = head_file(session);
    let address = session.receiver.address();
    let sender = match part {
        Part::Bare => client("bare", address, &head, events, session.threads)?,
        Part::Hyper => client("hyper", address, &head, events, IN_FLIGHT)?,
        Part::Reqwest => client("reqwest", address, &head, events, IN_FLIGHT)?,
        Part::Wrk => {
            task.ends = Ends::AfterItsTime;
            wrk(session, folder.path(), events)?
        }
        Part::BestEffort | Part::Durable => {
            let config = config(session, part);
            let file = session.events(events)?;
            session.webhookd(folder.path(), &config, Some(&file))?
        }
        Part::SyslogNg | Part::SyslogNgDisk => {
            task.ends = Ends::WhenTold;
            let file = session.events(events)?;
            let disk = part == Part::SyslogNgDisk;
            syslog_ng::launch(session, folder.path(), &file, disk)?
        }
        Part::Ingest => return ingest(session, folder.path(), events, 1),
        Part::IngestBatch => return ingest(session, folder.path(), events, BATCH),
        Part::Drain | Part::Latency | Part::Scale => bail!("{part:?} is no rate"),
    };
    session.measure(sender, task)
}

/// Why a part cannot be measured here, if so.
pub(super) fn missing(session: &Session, part: Part) -> Option<String> {
    match part {
        // wrk prints its version and fails.
        Part::Wrk if version("wrk", "--version").is_none() => {
            Some("wrk is not installed".to_owned())
        }
        Part::SyslogNg | Part::SyslogNgDisk => syslog_ng::missing(),
        Part::Ingest | Part::IngestBatch => {
            let mut help = Command::new(&session.webhookd);
            let help = help.args(["run", "--help"]).output();
            let listens =
                help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--listen"));
            (!listens)
                .then(|| "not supported by this build: webhookd run has no --listen".to_owned())
        }
        _ => None,
    }
}

/// The configuration of one target.
pub(super) fn config(session: &Session, part: Part) -> Value {
    let delivery = match part {
        Part::BestEffort => "best-effort",
        _ => "reliable",
    };
    json!({
        "targetURL": session.receiver.url,
        "headers": { "Content-Type": "application/json" },
        "timeoutMsec": 5_000,
        "delivery": delivery,
        "concurrency": session.threads,
    })
}

fn client(which: &str, address: &str, head: &Path, count: u64, at_once: usize) -> Result<Launch> {
    let (count, at_once) = (count.to_string(), at_once.to_string());
    let launch = tool(which)?.input(Stdio::null()).output(Stdio::null());
    let launch = launch.args([
        "--address",
        address,
        "--count",
        &count,
        "--at-once",
        &at_once,
    ]);
    Ok(launch.arg("--head").arg(head))
}

fn head_file(session: &Session) -> PathBuf {
    session.folder.path().join("head")
}

/// Has webhookd send one event, and keeps the head of its request for the other senders.
pub(super) fn capture_head(session: &mut Session) -> Result<()> {
    let folder = session.subfolder()?;
    let file = session.events(1)?;
    let config = config(session, Part::BestEffort);
    let sender = session.webhookd(folder.path(), &config, Some(&file))?;
    let task = session.task(1);
    session.measure(sender, task)?;
    let head = session.receiver.head()?;
    std::fs::write(head_file(session), &head).context("cannot write the head")
}

fn wrk(session: &Session, folder: &Path, events: u64) -> Result<Launch> {
    let body = folder.join("body");
    let event = session.load.event(Label { task: 0, number: 0 });
    std::fs::write(&body, event).context("cannot write a body")?;
    let head = std::fs::read_to_string(head_file(session)).context("the head")?;
    let mut script = format!(
        "wrk.method = \"POST\"\nlocal f = io.open({:?}, \"rb\")\nwrk.body = f:read(\"*a\")\nf:close()\n",
        body.display()
    );
    for (name, value) in head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
    {
        if !["content-length", "host"].contains(&&*name.to_ascii_lowercase()) {
            script.push_str(&format!("wrk.headers[{name:?}] = {value:?}\n"));
        }
    }
    let path = folder.join("wrk.lua");
    std::fs::write(&path, script).context("cannot write a script")?;
    // It takes whole seconds; about 50,000 requests come in each.
    let seconds = (events / 50_000).clamp(1, 10);
    let connections = format!("-c{IN_FLIGHT}");
    let launch = Launch::of("wrk").args(["-t2", &connections, &format!("-d{seconds}s"), "-s"]);
    let launch = launch.arg(path).arg(&session.receiver.url);
    Ok(launch.input(Stdio::null()).output(Stdio::null()))
}

/// Events come in over HTTP and go out over HTTP.
fn ingest(session: &mut Session, folder: &Path, events: u64, batch: u64) -> Result<Sample> {
    let config = config(session, Part::Durable);
    let webhookd = session.webhookd(folder, &config, None)?;
    session.receiver.begin(Expected {
        requests: events,
        ..Expected::default()
    })?;
    let before = session.receiver.process.processor_time();
    let webhookd = webhookd
        .args(["--listen", "127.0.0.1:0"])
        .watching_memory()
        .spawn();
    let url = webhookd.listens();
    let address = url
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap_or_default();
    let kind = if batch == 1 { "json" } else { "x-ndjson" };
    let head = folder.join("head");
    let text = format!(
        "POST /events HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/{kind}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    std::fs::write(&head, text).context("cannot write a head")?;
    let feeders = if batch == 1 { FEEDERS } else { IN_FLIGHT };
    let feeder = client("bare", address, &head, events / batch, feeders)?;
    let feeder = feeder.args(["--batch", &batch.to_string()]).spawn();
    session.wait(&feeder, events)?;
    let fed = feeder.wait_at_most(Duration::from_secs(30));
    ensure!(
        fed.status.success(),
        "the feeder failed; it said:\n{}",
        fed.stderr
    );
    let mut task = session.task(events);
    task.ends = Ends::WhenTold;
    session.finish(webhookd, before, task)
}
