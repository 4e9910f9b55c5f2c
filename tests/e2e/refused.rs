//! What was refused is never sent, at the moment the queue becomes full too.

use crate::durable::{acks, reliable};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;
use testkit::{
    Admin, Client, DEADLINE, Ended, Folder, Launch, Process, Receiver, Reply, Signal, event,
};

/// The smallest queue that there is, bytes.
const SMALLEST: u64 = 1 << 20;

/// Two targets: one takes every event at once, the other takes none, so that the queue fills.
struct Full {
    takes: Receiver,
    _takes_none: Receiver,
    folder: Folder,
    config: PathBuf,
}

impl Full {
    fn new(when_full: &str) -> Full {
        let takes = Receiver::always(Reply::status(200));
        let takes_none = Receiver::always(Reply::status(410));
        let folder = Folder::new();
        let target = |name: &str, receiver: &Receiver| {
            let mut target = reliable(&receiver.url());
            target["name"] = name.into();
            // As much as the queue, so that one target can fill it.
            target["maxOwedBytes"] = SMALLEST.into();
            target
        };
        let config = folder.config(&json!({
            "targets": [target("takes", &takes), target("takes-none", &takes_none)],
            "queue": { "maxBytes": SMALLEST, "whenFull": when_full },
        }));
        Full {
            takes,
            _takes_none: takes_none,
            folder,
            config,
        }
    }

    fn launch(&self) -> Launch {
        Launch::with_config(&self.config)
    }

    /// The ids under which the first target got events. A delivery keeps its id.
    fn sent(&self) -> BTreeSet<String> {
        let requests = self.takes.requests();
        let ids = requests.iter().map(|request| request.header("webhook-id"));
        ids.collect()
    }

    /// Only what was acknowledged was sent, each under one id; and not all was acknowledged.
    fn check(&self, ended: &Ended, lines: usize) {
        let acks = acks(&ended.stdout);
        assert!((1..lines).contains(&acks.len()), "{} acks", acks.len());
        let acknowledged: BTreeSet<String> = acks.into_values().collect();
        let sent = self.sent();
        let refused = sent.difference(&acknowledged).count();
        assert_eq!(
            refused,
            0,
            "of {} events sent were not accepted",
            sent.len()
        );
        let bodies: BTreeSet<Vec<u8>> = self.takes.bodies().into_iter().collect();
        assert_eq!(bodies.len(), sent.len(), "an event has one id");
    }
}

/// An event of some 5 KB.
fn padded(number: usize) -> String {
    let padding = "x".repeat(5_000);
    event(&format!("task-{number}"), number).replacen(
        '{',
        &format!("{{\"padding\":\"{padding}\","),
        1,
    )
}

/// Feeds more than fits, by standard input or as a file.
fn feed(launch: Launch, folder: &Folder, lines: &[String], as_file: bool) -> Process {
    let launch = launch.args(["--acks", "-", "--grace", "500ms"]);
    if as_file {
        let file = folder.write("events.ndjson", lines.join("\n"));
        return launch.arg("--events").arg(file).spawn();
    }
    let mut process = launch.spawn();
    process.write(lines.join("\n"));
    process.close_input();
    process
}

fn wait_until_full(admin: &Admin) {
    let until = Instant::now() + DEADLINE;
    loop {
        let answer = admin.ask("GET", "/readyz", &[], "");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status == 503 && text.contains("queue-full") {
            return;
        }
        assert!(Instant::now() < until, "{} {text}", answer.status);
        std::thread::yield_now();
    }
}

#[test]
fn lines_that_a_full_queue_rejects_are_never_sent() {
    for as_file in [false, true] {
        let full = Full::new("reject");
        let lines: Vec<_> = (0..600).map(padded).collect();
        let process = feed(full.launch(), &full.folder, &lines, as_file);
        full.check(&process.wait().expect_code(3), lines.len());
    }
}

#[test]
fn lines_that_wait_for_room_when_a_signal_comes_are_never_sent() {
    for as_file in [false, true] {
        let full = Full::new("block");
        let lines: Vec<_> = (0..600).map(padded).collect();
        let launch = full.launch().args(["--admin", "0"]);
        let process = feed(launch, &full.folder, &lines, as_file);
        wait_until_full(&Admin::of(&process));
        process.signal(Signal::TERM);
        full.check(&process.wait().expect_code(3), lines.len());
    }
}

#[test]
fn an_event_that_http_refuses_for_want_of_room_is_answered_503_and_never_sent() {
    for when_full in ["block", "reject"] {
        let full = Full::new(when_full);
        let process = full
            .launch()
            .args([
                "--listen",
                "127.0.0.1:0",
                "--sync-timeout",
                "1s",
                "--grace",
                "0",
            ])
            .spawn();
        let mut client = Client::connect(&process.listens()).expect("it listens");
        let mut post = |body: String| {
            let answer = client.post(&["Content-Type: application/json"], body);
            answer.expect("it is answered")
        };
        let mut accepted = BTreeSet::new();
        for number in 0..1_000 {
            let answer = post(padded(number));
            if answer.status != 200 {
                break;
            }
            let id = answer.json()["id"].as_str().map(str::to_owned);
            accepted.insert(id.expect("the answer has the id"));
        }
        assert!((1..1_000).contains(&accepted.len()), "{when_full}");
        for _ in 0..3 {
            let answer = post(padded(5_000));
            assert_eq!(answer.status, 503, "{when_full}: {answer:?}");
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
        full.takes.wait_for_requests(accepted.len());
        process.signal(Signal::TERM);
        let _ended = process.wait().expect_code(3);
        assert_eq!(full.sent(), accepted, "{when_full}");
    }
}
