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
fn dead_letters_of_a_removed_target_are_replayed_in_parts_and_wait_for_it() {
    let receiver = Receiver::always(Reply::status(422));
    let folder = Folder::new();
    let config = |names: &[&str]| {
        let targets = names.iter().map(|name| {
            json!({
                "name": name, "targetURL": receiver.url(), "timeoutMsec": 30_000, "headers": {}
            })
        });
        let targets: Vec<Value> = targets.collect();
        folder.config(&json!({ "queue": { "dir": "queue" }, "targets": targets }))
    };
    let run = |names: &[&str]| {
        let process = Launch::with_config(&config(names))
            .args(["--admin", "0", "--listen", "127.0.0.1:0"])
            .spawn();
        let admin = Admin::of(&process);
        (process, admin)
    };
    let (process, admin) = run(&["audit", "removed"]);
    for number in 1..=3 {
        post(&process.listens(), &[], event("one", number)).expect_status(200);
    }
    admin.wait_for("removed", "deadHeld", 3);
    process.signal(Signal::TERM);
    let _ended = process.wait();
    let (process, admin) = run(&["audit"]);
    for (replayed, more) in [(2, true), (1, false)] {
        let body = json!({ "target": "removed", "limit": 2 }).to_string();
        let answer = admin.post("/api/v1/dead-letters/replay", &body);
        let expected = json!({ "replayed": replayed, "more": more });
        assert_eq!(answer.expect_status(200).json(), expected);
    }
    let queue = admin.get("/api/v1/queue");
    let targets = queue["targets"].as_array().expect("it is a list");
    let found = targets.iter().find(|it| it["name"] == "removed");
    let found = found.expect("it is known");
    assert_eq!(
        (&found["pending"], &found["deadLetters"]),
        (&json!(3), &json!(0))
    );
    process.signal(Signal::TERM);
    let _ended = process.wait();
}

#[test]
fn dead_letters_are_replayed_and_dropped_in_parts() {
    let receiver = Receiver::always(Reply::status(422));
    let folder = Folder::new();
    let config = folder.config(&json!({
        "queue": { "dir": "queue" },
        "targets": [{
            "name": "audit", "targetURL": receiver.url(), "timeoutMsec": 30_000, "headers": {}
        }],
    }));
    let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    for number in 1..=6 {
        process.write(event("one", number) + "\n");
    }
    let admin = Admin::of(&process);
    admin.wait_for("audit", "deadHeld", 6);
    let ask = |verb: &str, body: Value| {
        let path = format!("/api/v1/dead-letters/{verb}");
        admin.post(&path, &body.to_string())
    };
    let changed = |verb, body| ask(verb, body).expect_status(200).json();
    assert_eq!(
        changed("drop", json!({ "all": true, "limit": 2 })),
        json!({ "dropped": 2, "more": true })
    );
    let left = admin.get("/api/v1/dead-letters")["deadLetters"].take();
    let (id, entry) = (
        left[1]["id"].as_str().expect("it has an id"),
        &left[1]["entry"],
    );
    let shown = admin.get(&format!(
        "/api/v1/dead-letters/{id}?target=audit&entry={entry}"
    ));
    assert_eq!(shown["deadLetters"][0]["entry"], *entry);
    for other in [
        format!("entry={}", left[2]["entry"]),
        "target=other".to_owned(),
    ] {
        let path = format!("/api/v1/dead-letters/{id}?{other}");
        admin.ask("GET", &path, &[], "").expect_status(404);
    }
    assert_eq!(
        changed(
            "drop",
            json!({ "target": "audit", "entries": [entry, u64::MAX] })
        ),
        json!({ "dropped": 1, "more": false })
    );
    assert_eq!(
        changed("drop", json!({ "target": "audit", "limit": 2 })),
        json!({ "dropped": 2, "more": true })
    );
    for bad in [
        json!({ "entries": [1] }),
        json!({ "target": "audit", "entries": [1], "task": "one" }),
        json!({ "target": "audit", "entries": [1], "limit": 1 }),
        json!({ "all": true, "limit": 0 }),
    ] {
        ask("drop", bad).expect_status(400);
    }
    let last = &left[3]["entry"];
    assert_eq!(
        changed("replay", json!({ "target": "audit", "entries": [last] })),
        json!({ "replayed": 1, "more": false })
    );
    receiver.wait_for_requests(7);
    process.signal(Signal::TERM);
    let _ended = process.wait();
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

#[test]
fn dead_letters_are_replayed_and_dropped_by_the_time_at_which_they_were_given_up() {
    let receiver = Receiver::start(|request| match request.header("webhook-attempt").as_str() {
        "1" if request.number < 3 => Reply::status(422),
        _ => Reply::status(200),
    });
    let folder = Folder::new();
    let config = folder.config(&json!({
        "queue": { "dir": "queue" },
        "targets": [{
            "name": "audit", "targetURL": receiver.url(), "timeoutMsec": 30_000, "headers": {}
        }],
    }));
    let process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .spawn();
    let url = process.listens();
    let queue = folder.path().join("queue");
    let admin = Admin::of(&process);
    for number in 1..=3 {
        post(&url, &[], event(&format!("task-{number}"), 1)).expect_status(200);
        admin.wait_for("audit", "deadHeld", number);
    }
    // The first column is the time at which they were given up.
    let listed = Launch::new()
        .args(["dead-letters", "list", "--queue"])
        .arg(&queue)
        .run("")
        .expect_code(0);
    let listed = String::from_utf8(listed.stdout).expect("text");
    let times: Vec<&str> = (listed.lines().skip(1))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let died_at: Vec<u64> = (found(&queue, &[]).iter())
        .map(|letter| letter["diedAt"].as_u64().expect("a time"))
        .collect();
    assert_eq!((times.len(), died_at.len()), (3, 3));
    let change = |verb: &str, args: &[&str]| {
        let ended = Launch::new()
            .args(["dead-letters", verb, "--queue"])
            .arg(&queue)
            .args(args)
            .run("")
            .expect_code(0);
        String::from_utf8(ended.stdout).expect("text")
    };
    // While it runs, by its admin API.
    assert_eq!(
        change("replay", &["--since", "2999-01-01"]),
        "0 owed again\n"
    );
    let before = died_at.iter().filter(|at| **at < died_at[1]).count();
    let expected = format!("{before} owed again\n");
    assert_eq!(change("replay", &["--until", times[1]]), expected);
    process.signal(Signal::TERM);
    let _ended = process.wait();
    // While it is stopped, in its files.
    assert_eq!(change("drop", &["--until", times[1]]), "0 dropped\n");
    let expected = format!("{} dropped\n", 3 - before);
    assert_eq!(change("drop", &["--since", times[1]]), expected);
}
