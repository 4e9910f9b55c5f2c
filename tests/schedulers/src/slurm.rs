//! A real Slurm, whose `jobcomp/elasticsearch` plugin posts each ended job to webhookd.
//!
//! webhookd is killed while Slurm posts the first jobs, and is away while others end. Everything
//! that Slurm has a record of must arrive, under one id each, and Slurm must answer all the time.

mod cluster;
mod jobs;

use crate::delivered::{Delivered, delivered};
use crate::wait::wait_for;
use crate::{config, say, target};
use cluster::Cluster;
use jobs::{Expected, Jobs, SECRET};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use testkit::{Launch, Process, Receiver, Reply, Signal, free_port};

/// slurmctld first posts up to half a minute after its start, and posts again what was refused half
/// a minute later.
const POSTED_WITHIN: Duration = Duration::from_secs(90);

pub(crate) fn run(folder: &Path) {
    // One target refuses everything until webhookd was killed: what Slurm was told 200 for before
    // can only come out of the queue.
    let is_up = Arc::new(AtomicBool::new(false));
    let (tried, first_tries) = mpsc::channel();
    let all = Receiver::start({
        let is_up = Arc::clone(&is_up);
        move |request| {
            if is_up.load(Ordering::SeqCst) {
                return Reply::status(200);
            }
            // Nothing receives once enough was tried.
            tried.send(request.header("webhook-id")).ok();
            Reply::status(500)
        }
    });
    let ends = Receiver::always(Reply::status(200));
    let mut filtered = target("ends", &ends);
    filtered["statuses"] = json!(["FAILED", "CANCELLED"]);
    filtered["inputs"] = json!(["slurm"]);
    let targets = json!([target("all", &all), filtered]);
    let inputs = json!({ "slurm": { "schema": "slurm", "omit": ["/script"] } });
    let config = config(folder, &inputs, &targets);
    // The same port after the restart.
    let address = format!("127.0.0.1:{}", free_port());
    let webhookd = start(&config, &address);
    let cluster = Cluster::start(folder, &format!("http://{address}/events/slurm/_doc"));
    say("Slurm runs");
    let mut jobs = Jobs::new(&cluster);
    jobs.of_every_end();
    cluster.wait_for_the_end_of_all();
    say("the first jobs have ended; Slurm posts them within half a minute");
    // Slurm posts one record after the other: it was told 200 for those before the last one.
    let mut ids = BTreeSet::new();
    while ids.len() < 5 {
        ids.insert(
            first_tries
                .recv_timeout(POSTED_WITHIN)
                .expect("Slurm posts"),
        );
    }
    webhookd.signal(Signal::KILL);
    webhookd.wait();
    let told = indexed(&cluster).len();
    assert!(told >= 4, "{}", cluster.log());
    let refused = all.requests().len();
    say(&format!(
        "webhookd was killed after Slurm was told 200 for {told} records"
    ));

    jobs.of_some_ends();
    cluster.wait_for_the_end_of_all();
    wait_for("a post that is refused", POSTED_WITHIN, || {
        cluster.log().contains("Could not connect to").then_some(())
    });
    cluster.ask("sinfo", &["-h"]);
    say("the other jobs have ended, and Slurm could not post them");
    is_up.store(true, Ordering::SeqCst);
    let webhookd = start(&config, &address);
    let expected = jobs.expected();
    let count: usize = expected.values().sum();
    let accepted = || delivered(all.requests().split_off(refused));
    wait_for("all records", POSTED_WITHIN, || {
        (accepted().len() >= count && indexed(&cluster).len() >= count).then_some(())
    });
    let events = accepted();
    assert_eq!(names_and_states(&events), expected);
    each_record_has_one_id(&events);
    what_is_omitted_is_in_no_body(&all, &ends);
    let posted: BTreeSet<_> = events.iter().map(|it| it.event["jobid"].as_u64()).collect();
    let told = indexed(&cluster);
    assert!(
        told.iter().all(|job| posted.contains(&Some(*job))),
        "{told:?}"
    );
    let wanted: BTreeSet<_> = events
        .iter()
        .filter(|it| is_wanted(it))
        .map(|it| &it.id)
        .collect();
    wait_for("the filtered target", POSTED_WITHIN, || {
        (delivered(ends.requests()).len() >= wanted.len()).then_some(())
    });
    let filtered = delivered(ends.requests());
    assert!(filtered.iter().all(is_wanted), "{filtered:?}");
    assert_eq!(
        filtered.iter().map(|it| &it.id).collect::<BTreeSet<_>>(),
        wanted
    );

    cluster.ask("sinfo", &["-h"]);
    cluster.stop();
    webhookd.signal(Signal::TERM);
    webhookd.wait().expect_code(0);
    say(&format!("{count} records of {} jobs arrived", posted.len()));
}

/// Whether the filter of the second target lets an event through.
fn is_wanted(it: &Delivered) -> bool {
    it.event["state"] == "FAILED" || it.event["state"] == "CANCELLED"
}

fn start(config: &Path, address: &str) -> Process {
    let webhookd = Launch::with_config(config)
        .args(["--listen", address])
        .spawn();
    webhookd.listens();
    webhookd
}

/// The jobs of the records that Slurm was told 200 for, by its own log, one for each record.
fn indexed(cluster: &Cluster) -> Vec<u64> {
    let log = cluster.log();
    let jobs = log.lines().filter_map(|line| {
        let (_, after) = line.split_once("Job with jobid ")?;
        after
            .strip_suffix(" indexed into elasticsearch")?
            .parse()
            .ok()
    });
    jobs.collect()
}

fn names_and_states(events: &[Delivered]) -> Expected {
    let mut found = Expected::new();
    for Delivered { event, .. } in events {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        *found.entry((text("job_name"), text("state"))).or_default() += 1;
    }
    found
}

/// Slurm posts a record again when webhookd was killed before it answered.
fn each_record_has_one_id(events: &[Delivered]) {
    let mut ids = BTreeMap::new();
    for Delivered { id, event, .. } in events {
        let record = [&event["jobid"], &event["state"]].map(Value::to_string);
        if let Some(other) = ids.insert(record, id) {
            panic!("{id} and {other} are one record: {event}");
        }
    }
}

fn what_is_omitted_is_in_no_body(all: &Receiver, ends: &Receiver) {
    for body in [all.bodies(), ends.bodies()].concat() {
        let body = String::from_utf8(body).expect("it is UTF-8");
        assert!(
            !body.contains(SECRET) && !body.contains("\"script\""),
            "{body}"
        );
        assert!(body.contains("\"work_dir\""), "{body}");
    }
}
