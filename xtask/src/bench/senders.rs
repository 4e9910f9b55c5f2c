//! The rates: each part's sender, and what it is told.

use super::child::Measured;
use super::part::Part;
use super::receiver::Expected;
use super::results::Sample;
use super::session::{Ends, Session, Task};
use super::syslog_ng;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
    let mut task = Task {
        requests: events,
        body: session.load.size(),
        delay_ms: 0,
        ends: Ends::ByItself,
    };
    let folder = session.subfolder()?;
    let sender = match part {
        Part::Bare => client(session, "bare", events, session.threads)?,
        Part::Hyper => client(session, "hyper", events, IN_FLIGHT)?,
        Part::Reqwest => client(session, "reqwest", events, IN_FLIGHT)?,
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
            syslog_ng::command(session, folder.path(), &file, disk)?
        }
        Part::Ingest => return ingest(session, folder.path(), events, 1),
        Part::IngestBatch => return ingest(session, folder.path(), events, BATCH),
        Part::Drain | Part::Latency | Part::Scale => bail!("{part:?} is no rate"),
    };
    session.measure(sender, task)
}

/// Why a part cannot be measured here, if so.
pub(super) fn missing(session: &Session, part: Part) -> Option<String> {
    let installed = |program| super::child::version(program, "--version").is_some();
    match part {
        // wrk says its version and fails.
        Part::Wrk if !installed("wrk") => Some("wrk is not installed".to_owned()),
        Part::SyslogNg | Part::SyslogNgDisk => syslog_ng::missing(),
        Part::Ingest | Part::IngestBatch => {
            let help = Command::new(&session.webhookd)
                .args(["run", "--help"])
                .output();
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
        "targetURL": session.receiver.url(),
        "headers": { "Content-Type": "application/json" },
        "timeoutMsec": 5_000,
        "delivery": delivery,
        "concurrency": session.threads,
    })
}

fn client(session: &Session, which: &str, events: u64, at_once: usize) -> Result<Command> {
    let mut command = Command::new(&session.tool);
    command
        .arg(which)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.args(["--address", &session.receiver.address.to_string()]);
    command.args([
        "--count",
        &events.to_string(),
        "--at-once",
        &at_once.to_string(),
    ]);
    command.arg("--head").arg(head_file(session));
    // A client sends the first megabytes of any file again and again.
    command.arg("--events").arg(session.events(SAMPLE_EVENTS)?);
    Ok(command)
}

/// Events of the file that clients take theirs from.
const SAMPLE_EVENTS: u64 = 10_048;

fn head_file(session: &Session) -> PathBuf {
    session.folder.path().join("head")
}

/// Has webhookd send one event, and keeps the head of its request for the other senders.
pub(super) fn capture_head(session: &mut Session) -> Result<String> {
    let folder = session.subfolder()?;
    let file = session.events(1)?;
    let config = config(session, Part::BestEffort);
    let sender = session.webhookd(folder.path(), &config, Some(&file))?;
    let task = Task {
        requests: 1,
        body: session.load.size(),
        delay_ms: 0,
        ends: Ends::ByItself,
    };
    session.measure(sender, task)?;
    let head = session.receiver.head()?;
    std::fs::write(head_file(session), &head).context("cannot write the head")?;
    Ok(head)
}

fn wrk(session: &Session, folder: &Path, events: u64) -> Result<Command> {
    let body = folder.join("body");
    let mut line = Vec::new();
    let label = crate::measure::load::Label { task: 0, number: 0 };
    session.load.write(label, &mut line);
    line.pop();
    std::fs::write(&body, line).context("cannot write a body")?;
    let head = std::fs::read_to_string(head_file(session)).context("the head")?;
    let mut script = format!(
        "wrk.method = \"POST\"\nlocal f = io.open({:?}, \"rb\")\nwrk.body = f:read(\"*a\")\nf:close()\n",
        body.display()
    );
    for line in head.lines().skip(1) {
        if let Some((name, value)) = line.split_once(": ")
            && !name.eq_ignore_ascii_case("content-length")
            && !name.eq_ignore_ascii_case("host")
        {
            script.push_str(&format!("wrk.headers[{name:?}] = {value:?}\n"));
        }
    }
    let path = folder.join("wrk.lua");
    std::fs::write(&path, script).context("cannot write a script")?;
    // It takes whole seconds; about 50,000 requests come in each.
    let seconds = (events / 50_000).clamp(1, 10);
    let mut command = Command::new("wrk");
    command.args([
        "-t2",
        &format!("-c{IN_FLIGHT}"),
        &format!("-d{seconds}s"),
        "-s",
    ]);
    command.arg(path).arg(session.receiver.url());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

/// Events come in over HTTP and go out over HTTP.
fn ingest(session: &mut Session, folder: &Path, events: u64, batch: u64) -> Result<Sample> {
    let address = free_address()?;
    let config = config(session, Part::Durable);
    let mut webhookd = session.webhookd(folder, &config, None)?;
    webhookd.args(["--listen", &address.to_string()]);
    let kind = if batch == 1 { "json" } else { "x-ndjson" };
    let head = folder.join("head");
    std::fs::write(
        &head,
        format!(
            "POST /events HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/{kind}\r\n\
             Content-Length: 0\r\n\r\n"
        ),
    )
    .context("cannot write a head")?;
    let feeders = if batch == 1 { FEEDERS } else { IN_FLIGHT };
    let mut feeder = Command::new(&session.tool);
    feeder
        .arg("bare")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    feeder.args(["--address", &address.to_string()]);
    feeder.args(["--count", &(events / batch).to_string()]);
    feeder.args([
        "--at-once",
        &feeders.to_string(),
        "--batch",
        &batch.to_string(),
    ]);
    feeder.arg("--head").arg(head);
    feeder.arg("--events").arg(session.events(SAMPLE_EVENTS)?);

    session.receiver.begin(Expected {
        goal: events,
        delay_ms: 0,
        stamps: None,
    })?;
    let before = session.receiver.processor_time();
    let mut webhookd = Measured::start(webhookd, folder)?;
    wait_for_listener(address, &mut webhookd)?;
    let mut feeder = Measured::start(feeder, session.folder.path())?;
    session.wait(&mut feeder, events)?;
    feeder.finish(Duration::from_secs(30))?;
    let receiver = session.receiver.processor_time() - before;
    webhookd.look()?;
    let used = webhookd.stop()?;
    let report = session.receiver.report()?;
    let task = Task {
        requests: events,
        body: session.load.size(),
        delay_ms: 0,
        ends: Ends::ByItself,
    };
    super::session::sample(&report, used, receiver, task)
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port")?;
    listener.local_addr().context("the port's number")
}

fn wait_for_listener(address: SocketAddr, webhookd: &mut Measured) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        ensure!(
            begun.elapsed() < Duration::from_secs(10) && !webhookd.look()?,
            "webhookd does not listen on {address}; it said:\n{}",
            webhookd.said()
        );
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}
