//! The commands that look and repair, against a running webhookd and on a stopped one's queue.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use testkit::{DEADLINE, Ended, Folder, Launch, Process, Receiver, Reply, Signal, event, task_of};

/// Refuses the tasks of `audit`, whose names begin with r, until it is told to take them; lets
/// those of `pager` wait.
struct Scene {
    folder: Folder,
    receiver: Receiver,
}

/// Runs a command to its end.
fn command(args: &[&str]) -> Ended {
    Launch::new().args(args).run("")
}

fn output(args: &[&str]) -> String {
    let ended = command(args).expect_code(0);
    String::from_utf8(ended.stdout).expect("it prints text")
}

/// Repeats a look until it shows what is waited for.
fn until(what: &str, look: impl Fn() -> String, done: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    loop {
        let seen = look();
        if done(&seen) {
            return seen;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "waited in vain for {what}: {seen}"
        );
    }
}

impl Scene {
    fn new() -> Scene {
        let receiver = Receiver::start(|request| {
            let refused = request.header("x-target") == "audit"
                && task_of(&request.body).starts_with('r')
                && request.header("webhook-attempt") == "1"
                && !request.line().contains("/taken");
            if refused {
                Reply::status(422).body("no such \u{1b}column")
            } else if ["pager", "old"].contains(&request.header("x-target").as_str()) {
                // For all events, and for longer than the test.
                Reply::status(503).header("Retry-After", "3600")
            } else {
                Reply::status(200)
            }
        });
        Scene {
            folder: Folder::new(),
            receiver,
        }
    }

    fn target(&self, name: &str, path: &str) -> Value {
        let mut target = reliable(&format!("{}{path}", self.receiver.url()));
        target["name"] = json!(name);
        target["headers"] = json!({ "X-Target": name });
        target["retry"] = json!({});
        target
    }

    fn start(&self, targets: &[Value], args: &[&str]) -> Process {
        let config = json!({ "targets": targets, "queue": { "dir": "queue" } });
        let config = self.folder.config(&config);
        // At its end it does not wait for what `pager` is owed.
        let launch = Launch::with_config(&config).args(["--grace", "0s"]);
        launch.args(args).spawn()
    }

    fn queue(&self) -> String {
        let path = self.folder.path().join("queue");
        path.to_str().expect("the path is text").to_owned()
    }

    fn config(&self) -> String {
        let path = self.folder.path().join("webhook.json");
        path.to_str().expect("the path is text").to_owned()
    }

    /// Feeds four events that `audit` refuses and waits until they are dead letters, and until the
    /// first attempt of each at `pager` has failed.
    fn feed(&self, daemon: &mut Process) -> String {
        for task in ["r1", "r2", "r3", "r4"] {
            daemon.write(event(task, 1) + "\n");
        }
        let queue = self.queue();
        until(
            "four dead letters",
            || {
                let args = [
                    "dead-letters",
                    "list",
                    "--queue",
                    &queue,
                    "--format",
                    "json",
                ];
                String::from_utf8(command(&args).stdout).expect("it prints text")
            },
            |letters| letters.lines().count() == 4,
        )
    }
}

/// Where a webhookd that was started with `--admin` answers, as it says.
pub(crate) fn admin_of(daemon: &Process) -> String {
    daemon.wait_for_error("the admin API listens on http://");
    let said = daemon.error_so_far();
    let (_, rest) = said
        .split_once("the admin API listens on http://")
        .expect("it was waited for");
    let end = rest.find(['/', '\n']).expect("the address ends");
    rest[..end].to_owned()
}

fn stop(daemon: Process) {
    daemon.signal(Signal::TERM);
    let _ended = daemon.wait();
}

/// Without what passes with time: ages, and how many bytes are in use.
fn timeless(text: &str) -> Vec<Vec<String>> {
    let words = |line: &str| {
        line.split_whitespace()
            .map(|word| match word.parse::<f64>() {
                Ok(_) if word.contains('.') => "N".to_owned(),
                _ => word.to_owned(),
            })
            .collect()
    };
    text.lines().map(words).collect()
}

fn timeless_json(text: &str) -> Value {
    let mut json: Value = serde_json::from_str(text).expect("it prints JSON");
    json["bytes"].take();
    json["maxBytes"].take();
    for target in json["targets"].as_array_mut().expect("it is a list") {
        target["oldestPendingAgeSeconds"] = json!(target["oldestPendingAgeSeconds"].is_number());
    }
    json
}

/// What each command that looks prints.
fn looks(place: &[&str], id: &str) -> Vec<(String, String)> {
    let commands: [&[&str]; 10] = [
        &["dead-letters", "list"],
        &["dead-letters", "list", "--format", "json"],
        &["dead-letters", "list", "--task", "r2", "--target", "audit"],
        &["dead-letters", "list", "--status", "422", "--since", "1h"],
        &[
            "dead-letters",
            "list",
            "--status",
            "4xx,LOST",
            "--since",
            "7d",
        ],
        &["dead-letters", "list", "--id", id],
        &["dead-letters", "show", id],
        &["queue", "stats"],
        &["queue", "stats", "--format", "json"],
        &["queue", "verify"],
    ];
    let look = |command: &&[&str]| {
        let args: Vec<&str> = command.iter().chain(place).copied().collect();
        (command.join(" "), output(&args))
    };
    commands.iter().map(look).collect()
}

#[test]
fn each_command_that_looks_prints_the_same_whether_webhookd_runs_or_not() {
    let scene = Scene::new();
    let targets = [scene.target("audit", "hook"), scene.target("pager", "hook")];
    let mut daemon = scene.start(&targets, &["--admin", "127.0.0.1:0"]);
    let letters = scene.feed(&mut daemon);
    let first: Value = serde_json::from_str(letters.lines().next().expect("there are four"))
        .expect("each is a document");
    let id = first["id"].as_str().expect("it has an id").to_owned();
    let (queue, config) = (scene.queue(), scene.config());
    until(
        "attempts to fail, and none to be under way",
        || output(&["targets", "list", "--queue", &queue, "--format", "json"]),
        |text| {
            let listed: Value = serde_json::from_str(text).expect("it prints JSON");
            let pager = &listed["targets"][1]["stats"];
            pager["inFlight"] == 0 && pager["pending"] == 4 && pager["attempts"]["5xx"] != 0
        },
    );
    let admin = admin_of(&daemon);
    let admin = admin.as_str();

    let by_directory = looks(&["--queue", &queue], &id);
    // A class of statuses has all letters of one of its statuses.
    assert_eq!(by_directory[3].1, by_directory[4].1);
    assert!(
        by_directory[3].1.lines().count() > 1,
        "{}",
        by_directory[3].1
    );
    let by_config = looks(&["--webhook-config", &config], &id);
    let by_address = looks(&["--admin", &format!("http://{admin}")], &id);
    stop(daemon);
    let stopped = looks(&["--webhook-config", &config], &id);
    for running in [by_directory, by_config, by_address] {
        for ((command, running), (_, stopped)) in running.iter().zip(&stopped) {
            if command.ends_with("stats --format json") {
                assert_eq!(timeless_json(running), timeless_json(stopped), "{command}");
            } else {
                assert_eq!(timeless(running), timeless(stopped), "{command}");
            }
        }
    }
    let (_, shown) = &stopped[6];
    assert!(shown.contains("no such \\u{1b}column"), "{shown}");
    assert!(shown.ends_with(&(event("r1", 1) + "\n")), "{shown}");
    let refused = command(&["queue", "stats", "--admin", admin]).expect_code(2);
    assert!(
        refused.stderr.contains("no response from webhookd at"),
        "{}",
        refused.stderr
    );
}

#[test]
fn replay_and_drop_do_the_same_whether_webhookd_runs_or_not() {
    let scene = Scene::new();
    let targets = [scene.target("audit", "hook"), scene.target("old", "hook")];
    let mut daemon = scene.start(&targets, &[]);
    let _letters = scene.feed(&mut daemon);
    stop(daemon);

    // From now on it is taken, and `old` is configured no longer.
    let daemon = scene.start(&[scene.target("audit", "taken")], &[]);
    let queue = scene.queue();
    until(
        "it to run",
        || String::from_utf8(command(&["ready", "--queue", &queue]).stdout).expect("text"),
        |said| said == "ready\n",
    );
    let change = |args: &[&str], task: &str| {
        let place = ["--queue", &queue, "--task", task];
        let args: Vec<&str> = args.iter().copied().chain(place).collect();
        output(&args)
    };
    let before = scene.receiver.requests();
    let replayed = change(&["dead-letters", "replay"], "r1");
    let dropped = change(&["dead-letters", "drop"], "r2");
    let requests = scene.receiver.wait_for_requests(before.len() + 1);
    let (first, last) = (&requests, requests.last().expect("there is one"));
    let first = first
        .iter()
        .find(|it| it.header("x-target") == "audit" && task_of(&it.body) == "r1")
        .expect("it was refused before");
    assert_eq!(task_of(&last.body), "r1");
    assert_eq!(last.header("webhook-id"), first.header("webhook-id"));
    for contradiction in [&["--all", "--task", "x"][..], &[]] {
        let args = ["dead-letters", "replay", "--queue", &queue];
        let args: Vec<&str> = args.iter().chain(contradiction).copied().collect();
        let _refused = command(&args).expect_code(2);
    }
    let unknown = [
        "dead-letters",
        "drop",
        "--queue",
        &queue,
        "--target",
        "adit",
    ];
    let running = command(&unknown).expect_code(2).stderr;
    assert!(running.contains("adit"), "{running}");

    let compact = command(&["queue", "compact", "--queue", &queue]).expect_code(2);
    assert!(
        compact.stderr.contains("stop it first"),
        "{}",
        compact.stderr
    );
    let drop_old = ["queue", "drop-target", "old", "--queue", &queue];
    let asked = command(&drop_old).expect_code(2).stderr;
    assert!(asked.contains("confirm with --yes"), "{asked}");
    let configured = ["queue", "drop-target", "audit", "--yes", "--queue", &queue];
    let in_use = command(&configured).expect_code(2).stderr;
    assert!(in_use.contains("configur"), "{in_use}");
    let confirmed = [&drop_old[..], &["--yes"]].concat();
    let old_dropped = output(&confirmed);
    assert!(
        old_dropped.ends_with("entries of \"old\" dropped\n"),
        "{old_dropped}"
    );
    stop(daemon);

    assert_eq!(change(&["dead-letters", "replay"], "r3"), replayed);
    assert_eq!(change(&["dead-letters", "drop"], "r4"), dropped);
    assert_eq!(
        (replayed.as_str(), dropped.as_str()),
        ("1 owed again\n", "1 dropped\n")
    );
    let stopped = command(&unknown).expect_code(2).stderr;
    assert!(stopped.contains("adit"), "{stopped}");
    let _compacted = command(&["queue", "compact", "--queue", &queue]).expect_code(0);
    let _dropped = output(&["queue", "drop-target", "audit", "--yes", "--queue", &queue]);
    let left = output(&["queue", "stats", "--queue", &queue, "--format", "json"]);
    let left: Value = serde_json::from_str(&left).expect("it prints JSON");
    assert_eq!(left["events"], 0, "{left}");
}

#[test]
fn a_target_is_paused_resumed_and_restarted_and_the_file_read_again() {
    let scene = Scene::new();
    let mut daemon = scene.start(&[scene.target("audit", "hook")], &[]);
    daemon.write(event("a", 1) + "\n");
    scene.receiver.wait_for_done(1);
    let queue = scene.queue();
    let targets = |verb: &[&str]| output(&[&["targets"], verb, &["--queue", &queue]].concat());
    assert_eq!(targets(&["pause", "audit"]), "audit is paused\n");
    let listed = until(
        "the pause",
        || targets(&["list"]),
        |text| text.contains(" paused "),
    );
    assert!(listed.contains("audit"), "{listed}");
    daemon.write(event("b", 1) + "\n");
    until(
        "an event to be owed",
        || output(&["queue", "stats", "--queue", &queue, "--format", "json"]),
        |text| {
            let held: Value = serde_json::from_str(text).expect("it prints JSON");
            held["targets"][0]["pending"] == 1
        },
    );
    assert_eq!(scene.receiver.requests().len(), 1);
    assert_eq!(targets(&["resume", "audit"]), "audit is resumed\n");
    let requests = scene.receiver.wait_for_requests(2);
    assert_eq!(task_of(&requests[1].body), "b");
    assert_eq!(targets(&["restart", "audit"]), "audit is restarted\n");
    let unknown = command(&["targets", "pause", "adit", "--queue", &queue]).expect_code(2);
    assert!(unknown.stderr.contains("adit"), "{}", unknown.stderr);

    let file = |text: &str| drop(scene.folder.write("webhook.json", text));
    file("{");
    let invalid = command(&["reload", "--queue", &queue]).expect_code(1);
    let said = String::from_utf8_lossy(&invalid.stdout);
    let first = said.lines().next();
    assert_eq!(first, Some("nothing was changed: the file is not valid"));
    assert!(said.contains("\n  1:2: error: "), "{said}");
    let two = json!({
        "targets": [scene.target("audit", "hook"), scene.target("more", "hook")],
        "queue": { "dir": "queue" },
    });
    file(&two.to_string());
    let said = output(&["reload", "--queue", &queue]);
    assert!(said.contains("added: more"), "{said}");
    daemon.write(event("c", 1) + "\n");
    scene.receiver.wait_for_requests(4);
    stop(daemon);
}

#[test]
fn a_reload_that_a_token_file_prevents_ends_with_1_and_names_the_file() {
    let scene = Scene::new();
    let tokens = scene.folder.write("tokens", "sesame\n");
    let tokens = tokens.to_str().expect("the path is text");
    let args = ["--listen", "127.0.0.1:0", "--listen-token-file", tokens];
    let daemon = scene.start(&[scene.target("audit", "hook")], &args);
    let queue = scene.queue();
    output(&["ready", "--wait", "60s", "--queue", &queue]);
    scene.folder.write("tokens", "");
    let refused = command(&["reload", "--queue", &queue]).expect_code(1);
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(said.starts_with("nothing was changed: "), "{said}");
    assert!(said.contains(tokens), "{said}");
    stop(daemon);
}

#[test]
fn where_nothing_runs_it_is_said() {
    let scene = Scene::new();
    let daemon = scene.start(&[scene.target("audit", "hook")], &[]);
    let queue = scene.queue();
    until(
        "it to run",
        || String::from_utf8(command(&["ready", "--queue", &queue]).stdout).expect("text"),
        |said| said == "ready\n",
    );
    // Killed, it leaves its socket behind.
    daemon.signal(Signal::KILL);
    let _ended = daemon.wait();
    assert!(Path::new(&queue).join("admin.sock").exists());
    for args in [&["targets", "list"][..], &["reload"], &["top", "--once"]] {
        let args = [args, &["--queue", &queue]].concat();
        let said = command(&args).expect_code(2).stderr;
        assert!(
            said.contains("no webhookd runs with the queue in"),
            "{args:?}: {said}"
        );
    }
    let _works = output(&["queue", "stats", "--queue", &queue]);
    for (bad, help) in [
        ("nowhere", "HOST:PORT"),
        ("ftp://box:1", "HOST:PORT"),
        ("", "HOST:PORT"),
        ("https://box:1", "--admin-ca-file"),
    ] {
        let said = command(&["targets", "list", "--admin", bad])
            .expect_code(2)
            .stderr;
        assert!(said.contains(help), "{bad}: {said}");
    }
}

#[test]
fn ready_ends_with_0_or_1_alone_and_waits_as_long_as_it_may() {
    let scene = Scene::new();
    let queue = scene.queue();
    for args in [
        &["ready", "--queue", &queue][..],
        &["ready", "--queue", &queue, "--wait", "200ms"],
        &["ready", "--admin", "nowhere"],
        &["ready", "--admin", "127.0.0.1:1"],
        &["ready", "--webhook-config", "/nowhere/webhook.json"],
        &["ready"],
        &["ready", "--no-such-option"],
    ] {
        let _ended = command(args).expect_code(1);
    }
    // Asked before webhookd is started.
    let waiting = Launch::new()
        .args(["ready", "--queue", &queue, "--wait", "60s"])
        .spawn();
    let _daemon = scene.start(&[scene.target("audit", "hook")], &[]);
    let ended = waiting.wait().expect_code(0);
    assert_eq!(ended.stdout, b"ready\n");
    let ended = command(&["ready", "--live", "--queue", &queue]).expect_code(0);
    assert_eq!(ended.stdout, b"live\n");
}

#[test]
fn a_closed_pipe_is_no_error_and_does_not_change_the_exit_status() {
    let scene = Scene::new();
    let targets = [scene.target("audit", "hook"), scene.target("pager", "hook")];
    let mut daemon = scene.start(&targets, &[]);
    let _letters = scene.feed(&mut daemon);
    let (queue, config) = (scene.queue(), scene.config());
    let invalid = scene.folder.write("invalid.json", "{}");
    let invalid = invalid.to_str().expect("UTF-8");
    for (code, args) in [
        (0, &["dead-letters", "list", "--queue", &queue][..]),
        (
            0,
            &[
                "dead-letters",
                "list",
                "--format",
                "json",
                "--queue",
                &queue,
            ],
        ),
        (0, &["queue", "stats", "--queue", &queue]),
        (0, &["queue", "verify", "--queue", &queue]),
        (0, &["targets", "list", "--queue", &queue]),
        (0, &["targets", "pause", "audit", "--queue", &queue]),
        (0, &["reload", "--queue", &queue]),
        (0, &["ready", "--queue", &queue]),
        (
            0,
            &["top", "--once", "--interval", "100ms", "--queue", &queue],
        ),
        (0, &["dead-letters", "replay", "--all", "--queue", &queue]),
        (0, &["config", "show", &config]),
        (0, &["check", &config]),
        (1, &["check", invalid]),
        (0, &["schema"]),
        (0, &["completions", "bash"]),
        (0, &["--help"]),
    ] {
        let (reader, writer) = std::io::pipe().expect("there are pipes");
        drop(reader);
        let ended = Launch::new().args(args).output(writer).run("");
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.stderr);
        for word in ["pipe", "panic", "standard output"] {
            assert!(!ended.stderr.contains(word), "{args:?}: {}", ended.stderr);
        }
    }
}
