//! `webhookd queue copy`: what a queue holds moves from a directory to a database and back.

use crate::durable::reliable;
use crate::postgres::{output, stats, text, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::{
    Admin, Ended, Folder, Launch, Postgres, Process, Receiver, Reply, Signal, event, task_of,
};
use webhook_queue::{
    DiskQueue, Event, EventId, Options, Queue, Settled, Settlement, SettlementResult, SlotGuard,
};

fn copy(from: &str, to: &str) -> Launch {
    Launch::new().args([
        "queue", "copy", "--format", "json", "--from", from, "--to", to,
    ])
}

fn json_of(ended: Ended) -> Value {
    serde_json::from_slice(&ended.expect_code(0).stdout).expect("it prints JSON")
}

/// Two targets: `audit` refuses the tasks whose names begin with r, and is away for the others;
/// `pager` takes all but those that begin with w.
fn config(receiver: &Receiver) -> Value {
    let target = |name: &str| {
        let mut target = reliable(&receiver.url());
        target["name"] = json!(name);
        target["headers"] = json!({ "X-Target": name });
        target["retry"] = json!({ "initialMsec": 600_000, "maxMsec": 600_000 });
        target
    };
    json!({ "targets": [target("audit"), target("pager")], "queue": { "dir": "queue" } })
}

/// Each dead letter and its fields, as they are listed.
fn letters(queue: &str) -> Vec<Value> {
    let list = ["dead-letters", "list", "--format", "json", "--queue", queue];
    let lines = output(&list);
    let letter = |line: &str| {
        let mut letter: Value = serde_json::from_str(line).expect("it is JSON");
        // A handle is valid in one queue only, and a database has a clock of its own.
        letter["entry"].take();
        letter["diedAt"].take();
        letter
    };
    lines.lines().map(letter).collect()
}

fn stop(process: Process) {
    process.signal(Signal::TERM);
    let _ended = process.wait();
}

#[test]
fn what_a_queue_holds_moves_to_a_database_and_back() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let receiver = Receiver::start(|request| {
        let task = task_of(&request.body);
        match request.header("x-target").as_str() {
            "audit" if task.starts_with('r') => Reply::status(422),
            "audit" => Reply::status(404),
            _ if task.starts_with('w') => Reply::status(404),
            _ => Reply::status(200),
        }
    });
    let folder = Folder::new();
    let file = config(&receiver);
    let path = folder.config(&file);
    let args = ["--grace", "0s", "--admin", "0"];
    let mut running = Launch::with_config(&path).args(args).spawn();
    let _admin = Admin::of(&running);
    for number in 0..6 {
        for task in ["r", "w", "x"] {
            running.write(event(&format!("{task}{number}"), number) + "\n");
        }
    }
    let dir = folder.path().join("queue");
    let dir = text(&dir).to_owned();
    let counts = |queue: &str| {
        let seen = stats(&["--queue", queue]);
        let targets = seen["targets"].as_array().expect("it is a list").clone();
        let count = |it: &Value| {
            (
                it["name"].clone(),
                it["pending"].clone(),
                it["deadLetters"].clone(),
            )
        };
        targets.iter().map(count).collect::<Vec<_>>()
    };
    let expected = [
        (json!("audit"), json!(12), json!(6)),
        (json!("pager"), json!(6), json!(0)),
    ];
    until(
        "all first attempts",
        || counts(&dir),
        |seen| *seen == expected,
    );
    receiver.wait_for_done(36);
    // A queue in use is not copied.
    let ended = copy(&dir, &postgres.url()).run("").expect_code(2);
    assert!(ended.stderr.contains("is in use"), "{}", ended.stderr);
    stop(running);
    let before = letters(&dir);
    assert_eq!(before.len(), 6);

    let copied = json_of(copy(&dir, &postgres.url()).run(""));
    assert_eq!(copied["events"], 18, "{copied}");
    assert_eq!(copied["copiedBefore"], 0, "{copied}");
    assert_eq!(
        copied["targets"]["audit"],
        json!({ "pending": 12, "deadLetters": 6, "kept": 0 })
    );
    assert_eq!(counts(&postgres.url()), expected);
    assert_eq!(letters(&postgres.url()), before);
    // A repetition copies nothing.
    let again = json_of(copy(&dir, &postgres.url()).run(""));
    assert_eq!(again["copiedBefore"], 18, "{again}");
    assert_eq!(counts(&postgres.url()), expected);

    let other = folder.path().join("back");
    let back = json_of(copy(&postgres.url(), text(&other)).run(""));
    assert_eq!(back["targets"], copied["targets"]);
    assert_eq!(counts(text(&other)), expected);
    assert_eq!(letters(text(&other)), before);
    let moved = DiskQueue::open_existing(&other, &Options::default()).expect("it was copied");
    let original =
        DiskQueue::open_existing(Path::new(&dir), &Options::default()).expect("it is there");
    assert!(owed(&moved) == owed(&original), "each event is as before");
    drop((moved, original));

    // While a worker runs, its database is copied neither from nor to. Its first attempt of what was
    // copied is the second one.
    let mut shared = file.clone();
    shared["queue"] = json!({ "postgres": { "url": postgres.url() } });
    let to_database = folder.write("shared.json", shared.to_string());
    let worker = Launch::with_config(&to_database)
        .args(["--listen", "127.0.0.1:0"])
        .spawn();
    let url = postgres.url();
    let _url = worker.listens();
    until(
        "a worker",
        || stats(&["--queue", &url])["shared"]["workers"].clone(),
        |workers| workers.as_array().is_some_and(|workers| workers.len() == 1),
    );
    for (from, to) in [(&url[..], text(&other)), (&dir, &url)] {
        let ended = copy(from, to).run("").expect_code(2);
        assert!(ended.stderr.contains("stop them first"), "{}", ended.stderr);
    }
    let requests = receiver.wait_for_requests(37);
    assert_eq!(requests[36].header("webhook-attempt"), "2");
    stop(worker);
}

/// The ids, the attempts and whether there is a next attempt, of all that is owed, in order.
fn owed(queue: &DiskQueue) -> Vec<(String, EventId, Vec<u8>, u32, bool)> {
    let mut owed = Vec::new();
    for target in ["audit", "pager"] {
        let read = queue.owed(target, None, &mut |it| {
            let has_next = it.not_before > 0;
            owed.push((
                target.to_owned(),
                it.id,
                it.body.to_vec(),
                it.attempts,
                has_next,
            ));
            std::ops::ControlFlow::Continue(())
        });
        read.expect("it can be read");
    }
    owed
}

/// A queue in this directory with so many events, of which each third is a dead letter and each
/// fourth was attempted.
fn filled(dir: &Path, events: u64) {
    let queue = DiskQueue::open(dir, &Options::default()).expect("it can be made");
    let target: Arc<str> = Arc::from("audit");
    let numbers: Vec<u64> = (0..events).collect();
    for numbers in numbers.chunks(500) {
        let event = |number: &u64| Event {
            id: EventId(u128::from(*number + 1).to_be_bytes()),
            key: Arc::from(format!("key-{}", number % 50).into_bytes()),
            body: Arc::from(event("t", *number as usize).into_bytes()),
            attributes: Arc::default(),
            accepted_at: 1_000 + number,
            targets: Arc::from([Arc::clone(&target)]),
            idempotency_key: None,
            last_state: None,
        };
        let events: Vec<Event> = numbers.iter().map(event).collect();
        let stored = queue.commit(&events, &[]).expect("there is room").accepted;
        let settle = |(number, accepted): (&u64, &webhook_queue::Accepted)| {
            let outcome = match number {
                number if number % 3 == 0 => Settled::Dead {
                    attempts: 7,
                    died_at: 5_000 + number,
                    note: b"{}".to_vec(),
                },
                number if number % 4 == 0 => Settled::Attempted {
                    attempts: 2,
                    not_before: 9_000,
                },
                _ => return None,
            };
            Some(Settlement {
                target: Arc::clone(&target),
                entry: accepted.entry()?,
                outcome,
                guard: SlotGuard::SOLE,
            })
        };
        let settlements: Vec<_> = numbers.iter().zip(&stored).filter_map(settle).collect();
        let settled = queue
            .commit(&[], &settlements)
            .expect("it takes them")
            .settled;
        assert!(settled.iter().all(|it| *it == SettlementResult::Applied));
    }
    queue.close().expect("it closes");
}

#[test]
fn a_copy_that_was_killed_goes_on_when_it_is_repeated() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let folder = Folder::new();
    let dir = folder.path().join("queue");
    filled(&dir, 6_000);
    let mut file = config(&Receiver::always(Reply::status(200)));
    file["queue"] = json!({ "postgres": { "url": postgres.url(), "leaseMsec": 1000 } });
    let file = folder.config(&file);
    let start = || {
        let args = ["queue", "copy", "--format", "json", "--from", text(&dir)];
        Launch::new().args(args).arg("--to-config").arg(&file)
    };
    let count = || {
        let count = postgres.try_query("SELECT count(*) FROM webhook.events");
        count
            .ok()
            .and_then(|count| count.parse::<u64>().ok())
            .unwrap_or(0)
    };
    for least in [1, 2_500] {
        let running = start().spawn();
        until("some events", count, |count| *count >= least);
        running.signal(Signal::KILL);
        let _ended = running.wait();
    }
    assert!(count() < 6_000, "it was killed on its way");
    let copied = json_of(start().run(""));
    assert_eq!(copied["events"], 6_000, "{copied}");
    assert!(copied["copiedBefore"].as_u64() >= Some(2_500), "{copied}");
    assert_eq!(
        copied["targets"]["audit"],
        json!({ "pending": 4_000, "deadLetters": 2_000, "kept": 0 })
    );
    let distinct = "SELECT count(*), count(DISTINCT id) FROM webhook.events";
    assert_eq!(postgres.query(distinct), "6000|6000");
    let back = folder.path().join("back");
    let _back = json_of(copy(&postgres.url(), text(&back)).run(""));
    let open =
        |dir: &PathBuf| DiskQueue::open_existing(dir, &Options::default()).expect("it is there");
    assert!(
        owed(&open(&back)) == owed(&open(&dir)),
        "each event is as before"
    );
}

#[test]
fn a_queue_with_other_events_is_not_copied_to() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let folder = Folder::new();
    let [one, other, empty] = ["one", "other", "empty"].map(|name| folder.path().join(name));
    filled(&one, 20);
    filled(&other, 30);
    let _copied = json_of(copy(text(&other), &postgres.url()).run(""));
    // The first 20 are the same, and there are more.
    for (from, to) in [
        (text(&one), postgres.url()),
        (text(&one), text(&other).to_owned()),
    ] {
        let ended = copy(from, &to).run("").expect_code(2);
        assert!(
            ended.stderr.contains("holds other events"),
            "{}",
            ended.stderr
        );
    }
    let ended = copy(text(&one), text(&one)).run("").expect_code(2);
    assert!(ended.stderr.contains("are the same"), "{}", ended.stderr);
    let ended = copy(text(&empty), &postgres.url()).run("").expect_code(2);
    assert!(
        ended.stderr.contains("there is no queue"),
        "{}",
        ended.stderr
    );
    // From one directory to another, which is made.
    let copied = json_of(copy(text(&one), text(&empty)).run(""));
    assert_eq!(copied["events"], 20);
}
