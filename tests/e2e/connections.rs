//! More connections than there are slots: no request is cut off, and each is answered.

use serde_json::{Value, json};
use testkit::{
    Answer, Client, Folder, Launch, Process, Receiver, Reply, Signal, event, post_bytes,
};

const JSON: &str = "Content-Type: application/json";

fn config(url: &str) -> Value {
    json!({
        "headers": {},
        "targetURL": url,
        "timeoutMsec": 30_000,
        "responseTimeoutMsec": 30_000,
        "maxEventBytes": 4 << 20,
    })
}

fn listening(folder: &Folder, url: &str, options: &[&str]) -> Process {
    let config = folder.config(&config(url));
    Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0"])
        .args(options)
        .spawn()
}

/// Whether the connection stays open after this answer.
fn is_kept(answer: &Answer) -> bool {
    answer.header("connection") != Some("close")
}

/// Sends events one after the other, on new connections or, while they last, on one.
fn send_all(url: &str, task: &str, count: usize, keep: bool) {
    let mut kept: Option<Client> = None;
    for number in 0..count {
        let mut client = match kept.take() {
            Some(client) => client,
            None => Client::connect(url).expect("it listens"),
        };
        let answer = client.post(&[JSON], event(task, number));
        let answer = answer.unwrap_or_else(|error| panic!("{task} {number}: {error}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        kept = (keep && is_kept(&answer)).then_some(client);
    }
}

#[test]
fn a_request_is_not_cut_off_when_there_are_too_many_connections() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &receiver.url(), &["--max-connections", "8"]);
    let url = process.listens();
    for keep in [false, true] {
        std::thread::scope(|scope| {
            for number in 0..16 {
                let (url, task) = (&url, format!("{keep}-{number}"));
                scope.spawn(move || send_all(url, &task, 50, keep));
            }
        });
    }
    process.signal(Signal::TERM);
    let ended = process.wait().expect_code(0);
    assert_eq!(ended.summary().count("/events"), 1600);
    assert_eq!(receiver.requests().len(), 1600);
}

#[test]
fn connections_that_send_nothing_give_way_and_those_under_way_do_not() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let options = ["--max-connections", "4", "--min-rate", "1KiB"];
    let process = listening(&folder, &receiver.url(), &options);
    let url = process.listens();
    let mut idle: Vec<_> = (0..3)
        .map(|_| Client::connect(&url).expect("it listens"))
        .collect();
    let mut slow = Client::connect(&url).expect("it listens");
    let body = "x".repeat(512 << 10);
    let large = json!({
        "task": { "assignedTask": { "taskId": "slow" }, "status": "RUNNING" },
        "padding": body,
    });
    let request = post_bytes(&[JSON], large.to_string());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A tenth of the request each time: faster than --min-rate.
            for piece in request.chunks(request.len() / 10) {
                slow.send(piece).expect("it is not cut off");
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            let answer = slow.answer().expect("it is not cut off");
            assert_eq!(answer.status, 200, "{answer:?}");
        });
        for number in 0..3 {
            send_all(&url, &format!("other-{number}"), 5, false);
        }
    });
    assert!(idle.iter_mut().any(Client::is_closed));
    process.signal(Signal::TERM);
    process.wait().expect_code(0);
}
