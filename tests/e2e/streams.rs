//! Event streams over HTTP, against a server that follows a script written after Nomad's
//! documentation. `kubernetes.rs` has those of Kubernetes.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::{
    Admin, BlackHole, CHUNKED, DEADLINE, EventStream, Folder, Launch, Process, Receiver, Reply,
    Request, Signal, StreamRequest, chunked,
};

/// A configuration with one target, and one source whose input has this schema.
pub(crate) fn config(
    folder: &Folder,
    receiver: &Receiver,
    schema: &str,
    source: &Value,
) -> PathBuf {
    folder.config(&json!({
        "targets": [{
            "headers": {},
            "targetURL": receiver.url(),
            "timeoutMsec": 30_000,
            "responseTimeoutMsec": 30_000,
            "retry": { "initialMsec": 10, "maxMsec": 100 },
            "breaker": { "maxMsec": 100 },
        }],
        "queue": { "maxBytes": 1 << 20, "whenFull": "reject" },
        "inputs": { "in": { "schema": schema } },
        "sources": [source],
    }))
}

pub(crate) fn launch(config: &std::path::Path) -> Process {
    Launch::with_config(config).args(["--admin", "0"]).spawn()
}

/// The source of Nomad's documentation, which connects again at once.
fn nomad(server: &EventStream) -> Value {
    json!({
        "input": "in",
        "stream": {
            "url": format!("{}v1/event/stream?topic=Allocation:*&index={{cursor}}", server.url()),
            "cursor": "/Index",
            "repeatsCursor": true,
            "retry": { "initialMsec": 1, "maxMsec": 10 },
        },
    })
}

/// A frame of Nomad: a change of one allocation, to another state than before.
fn frame(index: usize) -> String {
    padded(index, 0)
}

fn padded(index: usize, padding: usize) -> String {
    let state = ["pending", "running"][index % 2];
    let allocation = json!({
        "JobID": "web", "TaskGroup": "g", "ClientStatus": state, "Name": "x".repeat(padding),
    });
    json!({
        "Index": index,
        "Events": [{
            "Topic": "Allocation", "Key": "a1", "Namespace": "default", "Index": index,
            "Payload": { "Allocation": allocation },
        }],
    })
    .to_string()
}

/// The index that a request asks for; `None` without a cursor.
fn asked(request: &StreamRequest<'_>) -> Option<usize> {
    request.parameter("index")?.parse().ok()
}

/// What was delivered, without what came again under the same id.
pub(crate) fn delivered<T>(receiver: &Receiver, read: impl Fn(&Value) -> T) -> Vec<T> {
    let mut ids = std::collections::HashSet::new();
    let requests = receiver.requests();
    let first: Vec<&Request> = requests
        .iter()
        .filter(|request| ids.insert(request.header("webhook-id")))
        .collect();
    let body = |request: &&Request| serde_json::from_slice(&request.body).expect("it is JSON");
    first.iter().map(|it| read(&body(it))).collect()
}

/// Waits until the events of these indices, and no others, were delivered in this order.
#[track_caller]
fn expect_indices(receiver: &Receiver, process: &Process, last: usize) {
    let expected: Vec<u64> = (1..=last as u64).collect();
    let until = Instant::now() + DEADLINE;
    loop {
        let found = delivered(receiver, |event| {
            event["Index"].as_u64().unwrap_or_default()
        });
        if found == expected {
            return;
        }
        assert!(
            expected.starts_with(&found) && Instant::now() < until,
            "{found:?}\n{}",
            process.error_so_far()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The first stream of `/api/v1/status`, once `done` says so.
#[track_caller]
pub(crate) fn wait_for_stream(admin: &Admin, done: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + DEADLINE;
    loop {
        let stream = admin.get("/api/v1/status")["streams"][0].take();
        if done(&stream) {
            return stream;
        }
        assert!(Instant::now() < until, "{stream}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn end(process: Process) {
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
}

#[test]
fn a_stream_cut_at_every_byte_delivers_each_event_once_and_in_order() {
    const FRAMES: usize = 2;
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    // The next index, and where its response is cut.
    let next_cut = Mutex::new((0, 0));
    let server = EventStream::start(move |request| {
        let next = asked(request).unwrap_or(0) + 1;
        let cut = {
            let mut next_cut = next_cut.lock().expect("no holder panics");
            let cut = if next_cut.0 == next {
                next_cut.1 + 1
            } else {
                0
            };
            *next_cut = (next, cut);
            cut
        };
        // The last frame is repeated, and a new one follows, in small or large chunks.
        let size = [16, 1 << 10][next % 2];
        let repeated = asked(request).map_or_else(String::new, |index| frame(index) + "\n");
        let fresh = if next <= FRAMES {
            frame(next)
        } else {
            "{}".to_owned()
        };
        let mut response = CHUNKED.as_bytes().to_vec();
        response.extend(chunked(&repeated, size));
        response.extend(chunked(&(fresh + "\n"), size));
        request.send(&response[..cut.min(response.len())]);
        if cut.is_multiple_of(2) {
            request.reset();
        }
    });
    let config = config(&folder, &receiver, "nomad", &nomad(&server));
    let process = launch(&config);
    expect_indices(&receiver, &process, FRAMES);
    let cuts = server.requests().len();
    let bytes = frame(1).len() + 2 * frame(2).len();
    assert!(cuts > bytes, "{cuts} connections");
    // The last frame is repeated some more times.
    server.wait_for_requests(cuts + 20);
    let stream = wait_for_stream(&Admin::of(&process), |it| it["cursor"] == "2");
    assert_eq!(stream["gaps"], 0);
    end(process);
    assert_eq!(receiver.requests().len(), FRAMES);
}

#[test]
fn kills_and_restarts_lose_and_repeat_nothing() {
    const ROUND: usize = 20;
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let last = Arc::new(AtomicUsize::new(0));
    let server = EventStream::start({
        let last = Arc::clone(&last);
        move |request| {
            request.begin();
            for index in asked(request).unwrap_or(1)..=last.load(Ordering::SeqCst) {
                request.line(&frame(index));
            }
            request.hold();
        }
    });
    let config = config(&folder, &receiver, "nomad", &nomad(&server));
    for round in 1..=4 {
        last.store(round * ROUND, Ordering::SeqCst);
        let process = launch(&config);
        // Killed in the middle, or after all of it was read.
        let count = if round % 2 == 1 {
            round * ROUND
        } else {
            (round - 1) * ROUND + 1
        };
        receiver.wait_for_requests(count);
        process.signal(Signal::KILL);
        drop(process.wait());
    }
    let process = launch(&config);
    expect_indices(&receiver, &process, 4 * ROUND);
    let stream = wait_for_stream(&Admin::of(&process), |it| it["cursor"] == "80");
    assert_eq!(stream["gaps"], 0);
    end(process);
    // After an orderly end it goes on exactly there.
    let process = launch(&config);
    wait_for_stream(&Admin::of(&process), |it| it["connected"] == true);
    let asked_last = server.requests().pop().expect("it has asked");
    assert!(asked_last.contains("index=80 "), "{asked_last}");
    end(process);
}

#[test]
fn a_jump_and_410_are_gaps() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let server = EventStream::start(|request| match request.number {
        0 => {
            request.begin();
            request.line(&frame(1));
            request.line(&frame(2));
        }
        // 2 is no longer there.
        1 => {
            request.begin();
            request.line("{}");
            request.line(&frame(3));
        }
        // It is behind, which is no gap.
        2 => {
            request.begin();
            request.line(&frame(2));
            request.line(&frame(3));
        }
        3 => request.respond(410, "", ""),
        _ => {
            request.begin();
            request.line(&frame(4));
            request.hold();
        }
    });
    let config = config(&folder, &receiver, "nomad", &nomad(&server));
    let process = launch(&config);
    expect_indices(&receiver, &process, 4);
    let admin = Admin::of(&process);
    let stream = wait_for_stream(&admin, |it| it["cursor"] == "4");
    assert_eq!(stream["gaps"], 2, "{}", process.error_so_far());
    assert!(
        admin
            .text("/metrics")
            .contains("webhookd_stream_gaps_total{source=\"in\"} 2")
    );
    process.wait_for_error("stream in: events may be lost: the stream goes on at 3");
    process.wait_for_error("the server no longer has what follows the cursor 3 (410)");
    let requests = server.requests();
    assert!(requests[3].contains("index=3 ") && requests[4].contains("index= "));
    end(process);
}

#[test]
fn errors_are_retried_and_retry_after_is_respected() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let answered = Arc::new(Mutex::new(None));
    let waited = Arc::new(Mutex::new(None));
    let server = EventStream::start({
        let (answered, waited) = (Arc::clone(&answered), Arc::clone(&waited));
        move |request| match request.number {
            0 => request.respond(500, "", "no"),
            1 => request.respond(403, "", "no"),
            2 => request.respond(307, "Location: /elsewhere\r\n", ""),
            3 => {
                *answered.lock().expect("no holder panics") = Some(Instant::now());
                request.respond(429, "Retry-After: 1\r\n", "");
            }
            4 => {
                let since = answered
                    .lock()
                    .expect("no holder panics")
                    .expect("429 came before");
                *waited.lock().expect("no holder panics") = Some(since.elapsed());
            }
            _ => {
                // Not in chunks: to the end of the connection.
                request.send("HTTP/1.1 200 OK\r\n\r\n");
                request.send(format!("\n  {}\r\n{}", frame(1), frame(2)));
            }
        }
    });
    let mut source = nomad(&server);
    source["stream"]["retry"] = json!({ "initialMsec": 1, "maxMsec": 500 });
    let config = config(&folder, &receiver, "nomad", &source);
    let process = launch(&config);
    expect_indices(&receiver, &process, 2);
    for text in [
        "responds 500",
        "responds 403: check its token",
        "redirects are not followed",
    ] {
        process.wait_for_error(text);
    }
    let waited = waited
        .lock()
        .expect("no holder panics")
        .expect("it was asked again");
    assert!(waited >= Duration::from_millis(990), "{waited:?}");
    end(process);
}

#[test]
fn heartbeats_keep_a_connection_and_silence_ends_it() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let silent = Arc::new(AtomicBool::new(false));
    let server = EventStream::start({
        let silent = Arc::clone(&silent);
        move |request| {
            request.begin();
            // It comes byte by byte.
            for byte in chunked(&format!("{}\n", frame(1)), 16) {
                request.send([byte]);
                std::thread::sleep(Duration::from_millis(1));
            }
            while !silent.load(Ordering::SeqCst) && request.line("{}") {
                std::thread::sleep(Duration::from_millis(50));
            }
            request.hold();
        }
    });
    let mut source = nomad(&server);
    source["stream"]["silenceMsec"] = json!(2_000);
    let config = config(&folder, &receiver, "nomad", &source);
    let process = launch(&config);
    let admin = Admin::of(&process);
    // More than the silence that ends it.
    wait_for_stream(&admin, |it| it["documents"].as_u64() > Some(60));
    let before = server.requests().len();
    silent.store(true, Ordering::SeqCst);
    server.wait_for_requests(before + 1);
    process.wait_for_error("nothing has come for silenceMsec");
    assert_eq!(before, 1, "{}", process.error_so_far());
    expect_indices(&receiver, &process, 1);
    end(process);
}

#[test]
fn a_full_queue_holds_the_stream_up_and_loses_nothing() {
    const FRAMES: usize = 32;
    let open = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::start({
        let open = Arc::clone(&open);
        move |_| {
            Reply::status(if open.load(Ordering::SeqCst) {
                200
            } else {
                503
            })
        }
    });
    let folder = Folder::new();
    let server = EventStream::start(|request| {
        request.begin();
        for index in asked(request).unwrap_or(1)..=FRAMES {
            request.line(&padded(index, 40 << 10));
        }
        request.hold();
    });
    let config = config(&folder, &receiver, "nomad", &nomad(&server));
    let process = launch(&config);
    // It connects again at the cursor, once the queue has refused an event.
    server.wait_for_requests(2);
    open.store(true, Ordering::SeqCst);
    wait_for_stream(&Admin::of(&process), |it| it["cursor"] == "32");
    let until = Instant::now() + DEADLINE;
    let taken = || {
        let indices = delivered(&receiver, |event| event["Index"].as_u64());
        indices.len()
    };
    while taken() < FRAMES {
        assert!(Instant::now() < until, "{}", process.error_so_far());
        std::thread::sleep(Duration::from_millis(20));
    }
    let indices = delivered(&receiver, |event| {
        event["Index"].as_u64().unwrap_or_default()
    });
    assert_eq!(indices, (1..=FRAMES as u64).collect::<Vec<_>>());
    end(process);
}

#[test]
fn a_line_that_is_too_long_is_skipped_and_the_next_is_read() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let server = EventStream::start(|request| {
        request.begin();
        request.line(&frame(1));
        request.line(&padded(7, 2 << 20));
        request.line(&frame(2));
        request.hold();
    });
    let config = config(&folder, &receiver, "nomad", &nomad(&server));
    let process = launch(&config);
    expect_indices(&receiver, &process, 2);
    process.wait_for_error("maxEventBytes");
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(1);
}

#[test]
fn a_signal_ends_a_stream_that_connects_waits_or_reads() {
    let receiver = Receiver::always(Reply::status(200));
    let hole = BlackHole::start();
    let server = EventStream::start(|request| match request.path() {
        "/silent" => request.hold(),
        "/later" => request.respond(503, "Retry-After: 86400\r\n", ""),
        _ => {
            request.begin();
            request.line("{}");
            request.hold();
        }
    });
    // Without the signal, each would wait for longer than the test.
    for url in [
        hole.url(),
        format!("{}silent", server.url()),
        format!("{}later", server.url()),
        format!("{}reads", server.url()),
    ] {
        let folder = Folder::new();
        let hour = 3_600_000;
        let source = json!({ "input": "in", "stream": {
            "url": url, "timeoutMsec": hour, "silenceMsec": hour, "retry": { "maxMsec": hour },
        } });
        let config = config(&folder, &receiver, "nomad", &source);
        let before = server.requests().len();
        let process = launch(&config);
        match url == hole.url() {
            true => hole.wait_for_connecting(1),
            false => drop(server.wait_for_requests(before + 1)),
        }
        if url.ends_with("later") {
            process.wait_for_error("responds 503");
        }
        end(process);
    }
}
