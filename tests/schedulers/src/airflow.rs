//! A real Airflow with the listener of the documentation, whose file webhookd follows.
//!
//! The DAG runs while webhookd runs, again while webhookd is killed and away, and once without a
//! file that the listener can write. Its tasks must end alike each time, and every change of a
//! task instance's state must arrive.

mod installation;

use crate::delivered::{Delivered, delivered};
use crate::wait::wait_for;
use crate::{config, say, target};
use installation::{Airflow, Tries};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use testkit::{Launch, Process, Python, Receiver, Reply, Signal};

/// How long it may take until Airflow has changed something and it is delivered.
const DELIVERED_WITHIN: Duration = Duration::from_secs(300);

pub(crate) fn run(folder: &Path) {
    let python =
        Python::with(&[testkit::AIRFLOW]).unwrap_or_else(|why| panic!("no Airflow: {why}"));
    say("Airflow is installed");
    let receiver = Receiver::always(Reply::status(200));
    let targets = json!([target("all", &receiver)]);
    let config = config(
        folder,
        &json!({ "airflow": { "schema": "airflow" } }),
        &targets,
    );
    let spool = folder.join("spool");
    std::fs::create_dir(&spool).expect("the folder takes folders");
    let events = spool.join("events.ndjson");
    let webhookd = follow(&config);
    let airflow = Airflow::start(&python, folder, &events);
    say("Airflow runs");

    airflow.trigger("first");
    let tries = airflow.wait_for_the_end_of("first");
    every_change_arrives(&receiver, &events, &[("first", &tries)]);
    say(&format!(
        "the first run has ended; {} changes arrived",
        receiver.requests().len()
    ));

    airflow.trigger("second");
    let before = receiver.requests().len();
    wait_for("an event of the second run", DELIVERED_WITHIN, || {
        (receiver.requests().len() > before).then_some(())
    });
    webhookd.signal(Signal::KILL);
    webhookd.wait();
    let without = airflow.wait_for_the_end_of("second");
    assert_eq!(
        without, tries,
        "the tasks end as they do while webhookd runs"
    );
    say("the second run has ended without webhookd");
    let webhookd = follow(&config);
    every_change_arrives(&receiver, &events, &[("first", &tries), ("second", &tries)]);
    say(&format!(
        "{} changes arrived",
        delivered(receiver.requests()).len()
    ));
    webhookd.signal(Signal::TERM);
    webhookd.wait().expect_code(0);

    // Without the folder, the listener cannot write.
    std::fs::rename(&spool, folder.join("away")).expect("the folder is there");
    airflow.trigger("third");
    let without = airflow.wait_for_the_end_of("third");
    assert_eq!(
        without, tries,
        "the tasks end as they do while the file is written"
    );
    assert!(!events.exists());
    say("the third run has ended without a file that the listener can write to");
}

fn follow(config: &Path) -> Process {
    Launch::with_config(config)
        .args(["--events", "airflow=spool/events.ndjson", "--follow"])
        .spawn()
}

/// Waits until each line of the file has arrived, and compares with what Airflow's database says:
/// each try of a task instance begins and ends, in this order.
fn every_change_arrives(receiver: &Receiver, file: &Path, runs: &[(&str, &Tries)]) {
    let expected = changes(runs);
    let count = expected.values().map(Vec::len).sum();
    wait_for("all changes", DELIVERED_WITHIN, || {
        (delivered(receiver.requests()).len() >= count).then_some(())
    });
    let events = delivered(receiver.requests());
    let mut found: BTreeMap<Key, Vec<_>> = BTreeMap::new();
    for Delivered { event, .. } in &events {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| event[name].as_i64().expect("a number");
        let key = (text("run_id"), text("task_id"), number("map_index"));
        found
            .entry(key)
            .or_default()
            .push((number("try_number"), text("state")));
    }
    assert_eq!(found, expected);
    let lines = std::fs::read(file).expect("the listener writes it");
    let lines = lines.strip_suffix(b"\n").expect("whole lines");
    let lines: BTreeSet<_> = lines.split(|it| *it == b'\n').collect();
    let bodies: BTreeSet<_> = events.iter().map(|it| &*it.body).collect();
    assert!(bodies == lines, "the bodies are not the lines");
}

/// A task instance: its run, its task, its index if it is mapped.
type Key = (String, String, i64);

fn changes(runs: &[(&str, &Tries)]) -> BTreeMap<Key, Vec<(i64, String)>> {
    let mut expected: BTreeMap<Key, Vec<_>> = BTreeMap::new();
    for (run, tries) in runs {
        for (task, index, number, state) in *tries {
            // Airflow calls no listener for these: the task never runs.
            if state == "upstream_failed" {
                continue;
            }
            let state = if state == "up_for_retry" {
                "failed"
            } else {
                state
            };
            let changes = expected
                .entry(((*run).to_owned(), task.clone(), *index))
                .or_default();
            changes.push((*number, "running".to_owned()));
            changes.push((*number, state.to_owned()));
        }
    }
    expected
}
