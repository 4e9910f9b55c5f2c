//! Dead letters of several inputs are found by what was read of their events.

use serde_json::{Value, json};
use std::path::Path;
use testkit::{Admin, Folder, Launch, Receiver, Reply, Signal, event, post, post_to};

/// The dead letters that these arguments find.
fn found(queue: &Path, args: &[&str]) -> Vec<Value> {
    let ended = Launch::new()
        .args(["dead-letters", "list", "--format", "json", "--queue"])
        .arg(queue)
        .args(args)
        .run("")
        .expect_code(0);
    let lines = ended.stdout.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).expect("it is JSON"))
        .collect()
}

#[test]
fn dead_letters_are_found_by_their_input_key_job_and_state() {
    let receiver = Receiver::always(Reply::status(422));
    let folder = Folder::new();
    let config = folder.config(&json!({
        "queue": { "dir": "queue" },
        "inputs": { "nomad": { "schema": "nomad" } },
        "targets": [{
            "name": "audit", "targetURL": receiver.url(), "timeoutMsec": 30_000, "headers": {}
        }],
    }));
    let process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .spawn();
    let allocation = json!({
        "Topic": "Allocation", "Type": "AllocationUpdated", "Key": "one", "Namespace": "default",
        "Index": 7,
        "Payload": { "Allocation": {
            "ID": "one", "ClientStatus": "failed", "JobID": "web", "TaskGroup": "app"
        } },
    });
    let frame = json!({ "Index": 7, "Events": [allocation] }).to_string();
    let url = process.listens();
    post_to(&url, "/events/nomad", &[], frame).expect_status(200);
    post(&url, &[], event("one", 1)).expect_status(200);
    receiver.wait_for_requests(2);
    let queue = folder.path().join("queue");
    let check = || {
        let both = [
            (vec![], 2),
            (vec!["--task", "one"], 2),
            (vec!["--input", "nomad"], 1),
            (vec!["--input", "default"], 1),
            (vec!["--job", "default/web/*"], 1),
            (vec!["--status", "failed"], 1),
            (vec!["--status", "422"], 2),
            (vec!["--status", "running", "--input", "nomad"], 0),
        ];
        for (args, expected) in both {
            assert_eq!(found(&queue, &args).len(), expected, "{args:?}");
        }
        let letter = &found(&queue, &["--input", "nomad"])[0];
        for (member, value) in [
            ("task", "one"),
            ("input", "nomad"),
            ("job", "default/web/app"),
            ("state", "failed"),
        ] {
            assert_eq!(letter[member], value, "{letter}");
        }
    };
    Admin::of(&process).wait_for("audit", "deadHeld", 2);
    check();
    process.signal(Signal::TERM);
    let _ended = process.wait();
    check();
    let _ended = Launch::new()
        .args(["dead-letters", "drop", "--input", "nomad", "--queue"])
        .arg(&queue)
        .run("")
        .expect_code(0);
    let left = found(&queue, &[]);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["input"], "");
}
