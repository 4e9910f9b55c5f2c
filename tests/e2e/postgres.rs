//! A queue in a PostgreSQL database: its settings, its tables, and what is said of a database that
//! cannot be used.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;
use testkit::{
    Admin, DEADLINE, Ended, Folder, Launch, Postgres, Process, Receiver, Reply, Signal, Stop,
    event, post, task_of,
};

const TEMPORARY: i32 = 75;

/// A configuration of one target with the queue in the database of this URL.
pub(crate) fn shared(target_url: &str, database: &str) -> Value {
    let mut config = reliable(target_url);
    config["name"] = json!("audit");
    config["queue"] = json!({ "postgres": { "url": database } });
    config
}

fn command(args: &[&str]) -> Ended {
    Launch::new().args(args).run("")
}

/// Runs a webhookd with a database that cannot be used, to its end.
fn unusable(folder: &Folder, database: &str) -> Ended {
    let config = folder.config(&shared("http://127.0.0.1:9/", database));
    let launch = Launch::with_config(&config).args(["--queue-lock-timeout", "0s"]);
    launch.run("")
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

#[test]
fn a_database_that_cannot_be_used_is_named_with_what_to_do() {
    let Some(mut postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let folder = Folder::new();
    let wrong = postgres.url_as("webhook", "hunter2", "webhook");
    let missing = postgres.url_as("webhook", "pg-secret", "elsewhere");
    for (database, words) in [
        (wrong.as_str(), "check the user and the password"),
        (&missing, "create it (createdb)"),
    ] {
        let ended = unusable(&folder, database).expect_code(2);
        let config = folder.path().join("webhook.json");
        let checked = command(&["check", "--connect", text(&config)]).expect_code(1);
        let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
        for said in [&ended.stderr, &checked] {
            assert!(said.contains(words), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
            assert!(!said.contains("pg-secret"), "{said}");
        }
    }
    postgres.stop(Stop::Fast);
    let ended = unusable(&folder, &postgres.url()).expect_code(TEMPORARY);
    assert!(
        ended.stderr.contains("cannot be reached"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("pg-secret"), "{}", ended.stderr);
}

#[test]
fn a_role_without_the_right_to_create_tables_uses_those_that_an_administrator_made() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    postgres.query("CREATE ROLE plain LOGIN PASSWORD 'hunter2'");
    postgres.query("REVOKE CREATE ON DATABASE webhook FROM PUBLIC");
    let folder = Folder::new();
    let database = postgres.url_as("plain", "hunter2", "webhook");
    let ended = unusable(&folder, &database).expect_code(2);
    assert!(
        ended.stderr.contains("webhookd queue schema"),
        "{}",
        ended.stderr
    );

    let config = folder.path().join("webhook.json");
    let schema = ["queue", "schema", "--grant", "plain", "--webhook-config"];
    let printed = command(&[&schema[..], &[text(&config)]].concat()).expect_code(0);
    let script = String::from_utf8(printed.stdout).expect("it is text");
    assert!(!script.contains("hunter2"), "{script}");
    postgres.query(&script);
    let checked = command(&["check", "--connect", text(&config)]).expect_code(0);
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        checked.contains("(schema webhook) can be used"),
        "{checked}"
    );
    let delivering = Receiver::always(Reply::status(200));
    let config = folder.config(&shared(&delivering.url(), &database));
    let _ended = Launch::with_config(&config)
        .run(event("one", 1) + "\n")
        .expect_code(0);
    assert_eq!(delivering.bodies(), [event("one", 1).into_bytes()]);
}

#[test]
fn the_schema_and_the_slots_are_in_the_printed_sql() {
    let folder = Folder::new();
    let mut file = shared("http://127.0.0.1:9/", "postgres://db/webhook");
    file["queue"]["postgres"]["schema"] = json!("events");
    file["queue"]["postgres"]["slots"] = json!(7);
    let config = folder.config(&file);
    let by_config = command(&["queue", "schema", "--webhook-config", text(&config)]);
    let by_config = by_config.expect_code(0).stdout;
    let by_hand = command(&["queue", "schema", "--schema", "events", "--slots", "7"]);
    assert_eq!(by_hand.expect_code(0).stdout, by_config);
    for bad in [
        ["--schema", "pg_x"],
        ["--schema", "a\"b"],
        ["--slots", "0"],
        ["--slots", "1025"],
    ] {
        let _ended = command(&[&["queue", "schema"], &bad[..]].concat()).expect_code(2);
    }
    let local = folder.config(&reliable("http://127.0.0.1:9/"));
    let ended = command(&["queue", "schema", "--webhook-config", text(&local)]).expect_code(2);
    assert!(
        ended.stderr.contains("queue.postgres is missing"),
        "{}",
        ended.stderr
    );
}

#[test]
fn what_a_database_does_itself_and_what_excludes_it_is_said() {
    let folder = Folder::new();
    let config = folder.config(&shared(
        "http://127.0.0.1:9/",
        "postgres://u:hunter2@db/webhook",
    ));
    let path = text(&config);
    let url = "postgres://u:hunter2@127.0.0.1:9/webhook";
    for (args, words) in [
        (
            vec!["queue", "verify", "--webhook-config", path],
            "pg_amcheck",
        ),
        (vec!["queue", "verify", "--queue", url], "pg_amcheck"),
        (
            vec!["queue", "compact", "--webhook-config", path],
            "needs no compaction",
        ),
        (vec!["targets", "list", "--queue", url], "--admin ADDRESS"),
        (
            vec!["targets", "list", "--webhook-config", path],
            "webhook-state",
        ),
        (vec!["queue", "stats", "--queue", url], "cannot be reached"),
        (
            vec!["queue", "stats", "--queue", url, "--schema", "pg_x"],
            "--schema",
        ),
        (
            vec!["queue", "stats", "--queue", "dir", "--schema", "x"],
            "needs a database",
        ),
        (
            vec!["queue", "stats", "--queue", "postgres://u:hunter2/"],
            "is not valid",
        ),
        (
            vec!["run", "--webhook-config", path, "--queue", "dir"],
            "--state-dir",
        ),
    ] {
        let ended = command(&args).expect_code(2);
        assert!(ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
        assert!(
            !ended.stderr.contains("hunter2"),
            "{args:?}: {}",
            ended.stderr
        );
    }
    let checked = command(&["check", path]).expect_code(0);
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        checked.contains("the queue postgres://u:***@db/webhook (schema webhook)\n"),
        "{checked}"
    );
}

#[test]
fn another_number_of_slots_than_the_queue_has_is_said() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let folder = Folder::new();
    let mut file = shared("http://127.0.0.1:9/", &postgres.url());
    let mut said = |slots: u16| {
        file["queue"]["postgres"]["slots"] = json!(slots);
        let config = folder.config(&file);
        let ended = Launch::with_config(&config).run("");
        ended.expect_code(0).stderr.contains("keeps its 7 slots")
    };
    assert_eq!([7, 7, 8].map(&mut said), [false, false, true]);
}

/// Starts a worker with a state directory of its own, that takes events over HTTP.
fn worker(config: &Path, state: &str) -> Process {
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "0",
        "--state-dir",
        state,
    ];
    Launch::with_config(config).args(args).spawn()
}

/// What a command prints.
pub(crate) fn output(args: &[&str]) -> String {
    let ended = command(args).expect_code(0);
    String::from_utf8(ended.stdout).expect("it prints text")
}

/// Repeats a look until it shows what is waited for.
pub(crate) fn until<T: std::fmt::Debug>(
    what: &str,
    look: impl Fn() -> T,
    done: impl Fn(&T) -> bool,
) -> T {
    let start = Instant::now();
    loop {
        let seen = look();
        if done(&seen) {
            return seen;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "waited in vain for {what}: {seen:?}"
        );
        std::thread::yield_now();
    }
}

pub(crate) fn stats(args: &[&str]) -> Value {
    let text = output(&[&["queue", "stats", "--format", "json"], args].concat());
    serde_json::from_str(&text).expect("it prints JSON")
}

/// The slots of each worker, by its name.
fn slots_of_workers(stats: &Value) -> Vec<u64> {
    let workers = stats["shared"]["workers"].as_array().expect("it is a list");
    let slots = |worker: &Value| worker["slots"].as_u64().expect("it is a number");
    workers.iter().map(slots).collect()
}

#[test]
fn two_workers_share_the_slots_and_deliver_what_either_accepts_once() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&shared(&receiver.url(), &postgres.url()));
    let (a, b) = (worker(&config, "a"), worker(&config, "b"));
    let urls = [a.listens(), b.listens()];
    let by_url = ["--queue", &postgres.url()];
    until(
        "equal shares",
        || slots_of_workers(&stats(&by_url)),
        |slots| slots.as_slice() == [32, 32],
    );
    for number in 0..200 {
        let task = format!("task-{}", number % 40);
        post(&urls[number % 2], &[], event(&task, number)).expect_status(200);
    }
    receiver.wait_for_done(200);
    let bodies = receiver.bodies();
    let distinct: BTreeSet<_> = bodies.iter().collect();
    assert_eq!((bodies.len(), distinct.len()), (200, 200), "each once");
    for task in 0..40 {
        let task = format!("task-{task}");
        let of_task = bodies.iter().filter(|body| task_of(body) == task);
        let expected = (0..200).filter(|number| format!("task-{}", number % 40) == task);
        let expected: Vec<_> = expected
            .map(|number| event(&task, number).into_bytes())
            .collect();
        assert!(of_task.eq(&expected), "{task} is in order");
    }
    // The same from the database, from a worker's socket and from its address.
    let config = text(&config).to_owned();
    let state = folder.path().join("a");
    let admin = Admin::of(&a);
    for selector in [
        &by_url,
        &["--webhook-config", config.as_str()],
        &["--queue", text(&state)],
        &["--admin", admin.url()],
    ] {
        let seen = until(
            "nothing pending, and equal shares",
            || stats(selector),
            // A worker looks at the shares every two seconds.
            |seen| seen["targets"][0]["pending"] == 0 && slots_of_workers(seen) == [32, 32],
        );
        assert_eq!(seen["targets"][0]["name"], "audit", "{seen}");
        assert!(!seen.to_string().contains("pg-secret"), "{seen}");
        let shown = output(&[&["queue", "stats"], &selector[..]].concat());
        assert!(shown.contains("WORKER"), "{shown}");
    }
    // What concerns one worker.
    let paused = output(&["targets", "pause", "audit", "--queue", text(&state)]);
    assert!(paused.contains("in this one of 2 workers"), "{paused}");
    let top = output(&[
        "top",
        "--once",
        "--interval",
        "100ms",
        "--queue",
        text(&state),
    ]);
    assert!(top.contains("2 workers"), "{top}");
    // A second process with the state directory of a worker.
    let second = Launch::with_config(Path::new(&config)).args(["--state-dir", "a"]);
    let second = second.run("").expect_code(TEMPORARY);
    assert!(second.stderr.contains("--state-dir"), "{}", second.stderr);
    // At its end it gives its slots up, and the other one takes them at once.
    a.signal(Signal::TERM);
    let _ended = a.wait();
    until(
        "all slots at the other worker",
        || slots_of_workers(&stats(&by_url)),
        |slots| slots.as_slice() == [64],
    );
    post(&urls[1], &[], event("last", 1)).expect_status(200);
    receiver.wait_for_done(201);
}

#[test]
fn dead_letters_are_listed_replayed_and_dropped_beside_workers_and_without_them() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let receiver = Receiver::start(|request| {
        let is_first = request.header("webhook-attempt") == "1";
        match is_first && !request.line().contains("/taken") {
            true => Reply::status(422),
            false => Reply::status(200),
        }
    });
    let folder = Folder::new();
    let config = folder.config(&shared(&receiver.url(), &postgres.url()));
    let running = worker(&config, "a");
    for task in ["r1", "r2", "r3"] {
        post(&running.listens(), &[], event(task, 1)).expect_status(200);
    }
    let url = postgres.url();
    let list = |url: &str| {
        let text = output(&["dead-letters", "list", "--format", "json", "--queue", url]);
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let letters = until(
        "three dead letters",
        || list(&url),
        |letters| letters.len() == 3,
    );
    let letter: Value = serde_json::from_str(&letters[0]).expect("it is JSON");
    let id = letter["id"].as_str().expect("it has an id");
    let shown = output(&["dead-letters", "show", id, "--queue", &url]);
    assert!(shown.contains("status:   422"), "{shown}");
    // The receiver takes it now; the database alone tells the worker.
    let taken = format!("{}/taken", receiver.url());
    let config = folder.config(&shared(&taken, &url));
    let _answer = Admin::of(&running)
        .post("/api/v1/reload", "")
        .expect_status(200);
    let before = receiver.requests().len();
    let replayed = output(&["dead-letters", "replay", "--task", "r1", "--queue", &url]);
    assert_eq!(replayed, "1 owed again\n");
    receiver.wait_for_requests(before + 1);
    let again = &receiver.requests()[before];
    assert_eq!(task_of(&again.body), "r1");
    assert_eq!(again.header("webhook-id"), letter["id"], "under its id");
    running.signal(Signal::TERM);
    let _ended = running.wait();

    // Without a worker: a change waits for the next one.
    assert_eq!(list(&url).len(), 2);
    let config = text(&config);
    let by_config = ["--webhook-config", config];
    let dropped = output(&[&["dead-letters", "drop", "--task", "r2"], &by_config[..]].concat());
    assert_eq!(dropped, "1 dropped\n");
    let replayed = output(&[&["dead-letters", "replay", "--all"], &by_config[..]].concat());
    assert_eq!(replayed, "1 owed again\n");
    let drop_target = ["queue", "drop-target", "audit", "--yes"];
    let ended = command(&[&drop_target[..], &by_config].concat()).expect_code(2);
    assert!(ended.stderr.contains("remove it there"), "{}", ended.stderr);
    let held = stats(&by_config);
    assert_eq!(held["targets"][0]["pending"], 1, "{held}");
    let ended = Launch::with_config(Path::new(config))
        .run("")
        .expect_code(0);
    assert_eq!(ended.summary().count("/delivered"), 1);
    let dropped = output(&[&drop_target[..], &["--queue", &url]].concat());
    assert_eq!(dropped, "0 entries of \"audit\" dropped\n");
    assert_eq!(stats(&by_config)["targets"], json!([]));
}

#[test]
fn a_reload_keeps_the_database_and_says_so() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&shared(&receiver.url(), &postgres.url()));
    let running = worker(&config, "a");
    let admin = Admin::of(&running);
    let mut other = shared(&receiver.url(), &postgres.url());
    other["queue"]["postgres"]["schema"] = json!("other");
    let _config = folder.config(&other);
    let state = folder.path().join("a");
    let told = output(&["reload", "--queue", text(&state)]);
    assert!(
        told.contains("queue stays postgres://webhook:***@"),
        "{told}"
    );
    let _config = folder.config(&reliable(&receiver.url()));
    let answer = String::from_utf8_lossy(&admin.post("/api/v1/reload", "").body).into_owned();
    assert!(answer.contains("queue stays postgres"), "{}", answer);
    post(&running.listens(), &[], event("one", 1)).expect_status(200);
    receiver.wait_for_done(1);
}

#[test]
fn a_start_waits_for_a_database_that_is_away() {
    let Some(mut postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&shared(&receiver.url(), &postgres.url()));
    postgres.stop(Stop::Fast);
    let mut waiting = Launch::with_config(&config)
        .args(["--queue-lock-timeout", "1h"])
        .spawn();
    waiting.wait_for_error("waiting for it up to 3600s");
    postgres.start_again();
    waiting.write(event("one", 1) + "\n");
    waiting.close_input();
    let _ended = waiting.wait().expect_code(0);
    assert_eq!(receiver.bodies(), [event("one", 1).into_bytes()]);
}
