//! `--delivery-log`: a line for each attempt, over rotation, and beside a reader that reads nothing.

use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use testkit::{Admin, DEADLINE, Folder, Launch, Receiver, Reply, Signal, event, full_pipe, post};

fn config(url: &str) -> Value {
    json!({
        "targets": [{
            "name": "audit",
            "targetURL": url,
            "headers": { "Authorization": "Bearer hidden-token" },
            "timeoutMsec": 30_000,
        }],
        "queue": { "dir": "queue" },
    })
}

/// Waits until the file has this many lines, and parses them.
fn lines(path: &Path, count: usize) -> Vec<Value> {
    let until = Instant::now() + DEADLINE;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() >= count {
            let parse = |line| serde_json::from_str(line).expect("a line is JSON");
            return text.lines().map(parse).collect();
        }
        assert!(Instant::now() < until, "{path:?}: {text}");
        std::thread::yield_now();
    }
}

#[test]
fn each_attempt_is_a_line_also_after_the_file_was_rotated() {
    let receiver =
        Receiver::start(
            |request| match String::from_utf8_lossy(&request.body).contains("bad") {
                true => Reply::status(422).body("no: Bearer hidden-token"),
                false => Reply::status(200),
            },
        );
    let folder = Folder::new();
    let log = folder.path().join("deliveries.ndjson");
    let process = Launch::with_config(&folder.config(&config(&receiver.url())))
        .args(["--listen", "127.0.0.1:0", "--admin", "0", "--delivery-log"])
        .arg(&log)
        .spawn();
    let (url, admin) = (process.listens(), Admin::of(&process));
    post(&url, &[], event("good", 1)).expect_status(200);
    let written = lines(&log, 1);
    let shown = &admin.get("/api/v1/targets/audit/attempts")["attempts"][0];
    let mut shown = shown.clone();
    shown.as_object_mut().unwrap().remove("answer");
    assert_eq!(written, [shown]);
    assert_eq!(written[0]["state"], "RUNNING");
    assert_eq!(written[0]["job"], "r/e/n");

    let by_signal = folder.path().join("deliveries.1");
    std::fs::rename(&log, &by_signal).unwrap();
    process.signal(Signal::USR1);
    assert_eq!(lines_when_there(&log), 0);
    post(&url, &[], event("bad", 1)).expect_status(200);
    let written = lines(&log, 1);
    assert_eq!(written[0]["error"], "the receiver answered 422");
    assert!(!written[0].to_string().contains("hidden-token"));

    let by_reload = folder.path().join("deliveries.2");
    std::fs::rename(&log, &by_reload).unwrap();
    admin.post("/api/v1/reload", "").expect_status(200);
    assert_eq!(lines_when_there(&log), 0);
    post(&url, &[], event("good", 2)).expect_status(200);
    process.signal(Signal::TERM);
    let _ended = process.wait();
    // The end waits for the last line.
    for path in [&by_signal, &by_reload, &log] {
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
    }
}

/// Waits until the file exists, and counts its lines.
fn lines_when_there(path: &Path) -> usize {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Ok(text) = std::fs::read_to_string(path) {
            return text.lines().count();
        }
        assert!(Instant::now() < until, "{path:?} is not opened again");
        std::thread::yield_now();
    }
}

#[test]
fn a_delivery_log_that_is_not_read_keeps_no_event_from_its_receiver() {
    const EVENTS: usize = 10_000;
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let (unread, output) = full_pipe();
    let mut process = Launch::with_config(&folder.config(&config(&receiver.url())))
        .args(["--admin", "0", "--delivery-log", "-", "--events", "-"])
        .output(output)
        .spawn();
    let admin = Admin::of(&process);
    for number in 0..EVENTS {
        process.write(event(&format!("task-{}", number % 100), number) + "\n");
    }
    admin.wait_for("audit", "delivered", EVENTS as u64);
    let metrics = admin.text("/metrics");
    let dropped = metrics
        .lines()
        .find_map(|line| line.strip_prefix("webhookd_delivery_log_dropped_total "))
        .expect("it is a metric");
    assert!(dropped.parse::<f64>().unwrap() > 0.0, "{dropped}");
    process.signal(Signal::TERM);
    let ended = process.wait().expect_code(0);
    let error = &ended.stderr;
    assert!(error.contains("the delivery log is incomplete"), "{error}");
    drop(unread);
}

#[test]
fn a_delivery_log_that_cannot_be_written_is_an_error_at_the_start() {
    let folder = Folder::new();
    let config = folder.config(&config("http://127.0.0.1:1/"));
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("there is mkfifo").success());
    for (args, expected) in [
        (
            &["--delivery-log", "missing/log"][..],
            "cannot write the delivery log to missing/log",
        ),
        (
            &["--delivery-log", fifo.to_str().expect("it is UTF-8")],
            "no process reads the FIFO of the delivery log",
        ),
        (
            &["--acks", "-", "--delivery-log", "-"],
            "--acks and --delivery-log cannot both write to standard output",
        ),
    ] {
        let ended = Launch::with_config(&config)
            .args(args)
            .run("")
            .expect_code(2);
        let error = &ended.stderr;
        assert!(error.contains(expected), "{error}");
    }
}
