//! More connections than there are slots: no request is cut off, and each is answered.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use testkit::{
    Answer, Client, DEADLINE, Folder, Launch, Process, Receiver, Reply, Signal, event, post_bytes,
};

const JSON: &str = "Content-Type: application/json";
const LINES: &str = "Content-Type: application/x-ndjson";

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
fn a_client_that_ends_its_side_after_the_request_gets_the_response() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &receiver.url(), &[]);
    let url = process.listens();
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).expect("it listens");
    let limited = stream.set_read_timeout(Some(DEADLINE));
    limited.expect("it is a socket");
    let sent = stream.write_all(&post_bytes(&[JSON], event("ended", 0)));
    sent.expect("it reads");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    // The server ends its side after the response.
    let mut response = String::new();
    let read = stream.read_to_string(&mut response);
    read.expect("it responds");
    assert!(response.starts_with("HTTP/1.1 200 "), "{response:?}");
    process.signal(Signal::TERM);
    process.wait().expect_code(0);
    assert_eq!(receiver.requests().len(), 1);
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
    let since = std::time::Instant::now();
    while !idle.iter_mut().any(Client::is_closed_by_peer) {
        assert!(since.elapsed() < DEADLINE, "no idle connection gave way");
        std::thread::yield_now();
    }
    process.signal(Signal::TERM);
    process.wait().expect_code(0);
}

/// An event of about so many bytes.
fn large(task: &str, bytes: usize) -> String {
    let event = json!({
        "task": { "assignedTask": { "taskId": task }, "status": "RUNNING" },
        "padding": "x".repeat(bytes),
    });
    event.to_string()
}

/// The bytes of a request in chunks, whose length is not known before.
fn chunked(headers: &[&str], body: &str) -> Vec<u8> {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let mut request =
        format!("POST / HTTP/1.1\r\nHost: webhookd\r\nTransfer-Encoding: chunked\r\n{lines}\r\n");
    for chunk in body.as_bytes().chunks(100_000) {
        let chunk = std::str::from_utf8(chunk).expect("it is ASCII");
        request.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }
    request.push_str("0\r\n\r\n");
    request.into_bytes()
}

#[test]
fn large_bodies_that_do_not_fit_into_memory_together_wait_in_turn() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let options = ["--max-in-flight", "8MiB", "--body-timeout", "60s"];
    let process = listening(&folder, &receiver.url(), &options);
    let url = process.listens();
    std::thread::scope(|scope| {
        for number in 0..24 {
            let url = &url;
            scope.spawn(move || {
                let body = large(&format!("large-{number}"), 3 << 20);
                let request = match number % 3 {
                    0 => post_bytes(&[JSON], body),
                    1 => chunked(&[JSON], &body),
                    _ => post_bytes(&[LINES], body),
                };
                let mut client = Client::connect(url).expect("it listens");
                // Half of each before the rest of any, as over a network.
                let (first, rest) = request.split_at(request.len() / 2);
                client.send(first).expect("it reads");
                client.send(rest).expect("it reads");
                let answer = client.answer().expect("it is answered");
                assert_eq!(answer.status, 200, "{number}: {answer:?}");
            });
        }
    });
    process.signal(Signal::TERM);
    let ended = process.wait().expect_code(0);
    assert_eq!(ended.summary().count("/events"), 24);
}

#[test]
fn slow_bodies_hold_no_memory_against_others() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let options = ["--max-in-flight", "8MiB", "--body-timeout", "300s"];
    let process = listening(&folder, &receiver.url(), &options);
    let url = process.listens();
    let mut slow = Vec::new();
    for number in 0..12 {
        let mut client = Client::connect(&url).expect("it listens");
        let body = large("slow", 1 << 20);
        let request = match number % 3 {
            0 => post_bytes(&[JSON, "Expect: 100-continue"], body),
            1 => chunked(&[JSON], &body),
            _ => post_bytes(&[LINES], body),
        };
        // Some send nothing of the body, others most of it.
        let sent = if number % 2 == 0 {
            300
        } else {
            request.len() - 100_000
        };
        client.send(&request[..sent]).expect("it reads");
        if number == 0 {
            // It has memory before all others.
            assert_eq!(client.interim().expect("it is answered"), 100);
        }
        slow.push(client);
    }
    for number in 0..3 {
        let mut client = Client::connect(&url).expect("it listens");
        let answer = client.post(&[JSON], large(&format!("good-{number}"), 1 << 20));
        let answer = answer.expect("it is answered");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // One that had memory is told why it lost it.
    let answer = slow[0].answer().expect("it is answered");
    assert_eq!(answer.status, 408, "{answer:?}");
    drop(slow);
    process.signal(Signal::TERM);
    process.wait().expect_code(0);
}

#[test]
fn an_expectation_is_met_once_there_is_memory() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &receiver.url(), &["--max-in-flight", "8MiB"]);
    let url = process.listens();
    let mut clients = Vec::new();
    for number in 0..4 {
        let mut client = Client::connect(&url).expect("it listens");
        let request = post_bytes(
            &[JSON, "Expect: 100-continue"],
            large(&number.to_string(), 3 << 20),
        );
        let head = request.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, body) = request.split_at(head.expect("it has a head") + 4);
        client.send(head).expect("it reads");
        clients.push((client, body.to_vec()));
    }
    // Each sends its body as soon as it may: one that is slow gives its memory to those that wait.
    std::thread::scope(|scope| {
        for (client, body) in &mut clients {
            scope.spawn(|| {
                assert_eq!(client.interim().expect("it is answered"), 100);
                client.send(body).expect("it reads");
                assert_eq!(client.answer().expect("it is answered").status, 200);
            });
        }
    });
    process.signal(Signal::TERM);
    process.wait().expect_code(0);
}
