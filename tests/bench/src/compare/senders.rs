//! The rates: each part's sender, and its configuration.

use super::part::Part;
use super::results::Sample;
use super::session::{Ends, Session};
use super::{ingest, syslog_ng};
use crate::machine::version;
use crate::receiver::tool;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::Launch;
use testkit::load::Label;

/// Requests that hyper, reqwest and wrk have under way at once.
const IN_FLIGHT: usize = 64;
/// Events in a request of [`Part::Batches`], at most.
const BATCH: u64 = 100;

/// Measures one part once, with about so many events.
pub(super) fn measure(session: &mut Session, part: Part, events: u64) -> Result<Sample> {
    match part {
        Part::Ingest => return ingest::measure(session, ingest::SINGLE, events),
        Part::IngestBatch => return ingest::measure(session, ingest::BY_64, events),
        _ => {}
    }
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
        Part::BestEffort | Part::Durable | Part::Batches => {
            task.lines = part == Part::Batches;
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
        _ => bail!("{part:?} is no rate"),
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
        Part::Batches => {
            let refused = refused(session, &config(session, part));
            refused.map(|why| format!("not supported by this build: {why}"))
        }
        Part::Workers => testkit::Postgres::missing(),
        _ => None,
    }
}

/// What the program says against a configuration, if anything.
fn refused(session: &Session, config: &Value) -> Option<String> {
    let file = session.folder.path().join("checked.json");
    std::fs::write(&file, config.to_string()).ok()?;
    let mut check = Command::new(&session.webhookd);
    let output = check.arg("check").arg(&file).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = said.lines().filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("no reason was given");
    (!output.status.success()).then(|| first.to_owned())
}

/// The configuration of one target.
pub(super) fn config(session: &Session, part: Part) -> Value {
    let delivery = match part {
        Part::BestEffort => "best-effort",
        _ => "reliable",
    };
    let mut config = json!({
        "targetURL": session.receiver.url,
        "headers": { "Content-Type": "application/json" },
        "timeoutMsec": 5_000,
        "delivery": delivery,
        "concurrency": session.threads,
    });
    if part == Part::Batches {
        config["format"] = "ndjson".into();
        config["batch"] = json!({ "maxEvents": BATCH });
        // The format sets the content type.
        config["headers"] = json!({});
    }
    config
}

/// The configuration of so many targets.
pub(super) fn targets(session: &Session, count: u64, concurrency: usize) -> Value {
    let one = config(session, Part::Durable);
    let url = &session.receiver.url;
    let targets = (0..count).map(|number| {
        let mut target = one.clone();
        target["name"] = format!("t{number}").into();
        target["targetURL"] = format!("{url}t{number}").into();
        target["concurrency"] = concurrency.into();
        target
    });
    json!({ "targets": targets.collect::<Vec<_>>() })
}

/// A client that posts so many requests, so many at once.
pub(super) fn client(
    which: &str,
    address: &str,
    head: &Path,
    count: u64,
    at_once: usize,
) -> Result<Launch> {
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
