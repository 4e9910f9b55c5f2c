//! `webhookd receive`, spoken to over a bare socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use testkit::{Folder, Launch, Process, Signal, best_effort, event};

/// A running `webhookd receive` and its address.
struct Running {
    process: Process,
    address: String,
}

fn receive(args: &[&str]) -> Running {
    let process = Launch::new()
        .args(["receive", "--listen", "127.0.0.1:0"])
        .args(args)
        .spawn();
    process.wait_for_error("\n");
    let said = process.error_so_far();
    let line = said.lines().next().expect("it has said a line");
    let address = line.strip_prefix("listening on http://").expect(line);
    let address = address.strip_suffix('/').expect(line).to_owned();
    Running { process, address }
}

impl Running {
    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).expect("it listens")
    }

    /// The status of the answer to a request on a connection of its own.
    fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).expect("it reads");
        status(&mut stream)
    }

    fn post(&self, body: &str) -> String {
        self.exchange(&post(body))
    }

    /// What it has printed by its end, which SIGTERM brings.
    fn finish(self) -> String {
        self.process.signal(Signal::TERM);
        let ended = self.process.wait().expect_code(0);
        String::from_utf8(ended.stdout).expect("the tests send UTF-8")
    }
}

fn post(body: &str) -> Vec<u8> {
    format!(
        "POST /p HTTP/1.1\r\nHost: x\r\nX-A: b\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Reads an answer without a body and returns its status.
fn status(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => answer.extend_from_slice(&byte),
            _ => panic!("no answer but {:?}", String::from_utf8_lossy(&answer)),
        }
    }
    String::from_utf8_lossy(&answer)
        .split(' ')
        .nth(1)
        .expect("a status line")
        .to_owned()
}

#[test]
fn each_body_is_printed_as_a_line_and_answered_200() {
    let receiver = receive(&[]);
    assert_eq!(receiver.post("{\"a\": 1}"), "200");
    assert_eq!(receiver.post("ümläute \r"), "200");
    assert_eq!(receiver.post(""), "200");
    assert_eq!(receiver.finish(), "{\"a\": 1}\nümläute \r\n\n");
}

#[test]
fn a_body_is_printed_at_once() {
    let receiver = receive(&[]);
    receiver.post("now");
    receiver.process.wait_for_output("now\n");
}

#[test]
fn a_connection_takes_one_request_after_the_other() {
    let receiver = receive(&[]);
    let mut stream = receiver.connect();
    for body in ["one", "two", "three"] {
        stream.write_all(&post(body)).expect("it is kept");
        assert_eq!(status(&mut stream), "200");
    }
    drop(stream);
    assert_eq!(receiver.finish(), "one\ntwo\nthree\n");
}

#[test]
fn a_chunked_body_is_printed_without_its_framing() {
    let receiver = receive(&[]);
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(receiver.exchange(chunked.as_bytes()), "200");
    assert_eq!(receiver.finish(), "abcde\n");
}

#[test]
fn the_status_asked_for_is_answered_and_the_body_printed_all_the_same() {
    let receiver = receive(&["--status", "410"]);
    assert_eq!(receiver.post("a"), "410");
    assert_eq!(receiver.finish(), "a\n");
}

#[test]
fn the_first_requests_fail_when_asked_to() {
    let receiver = receive(&["--fail-first", "2", "--status", "204"]);
    let statuses: Vec<_> = ["a", "b", "c", "d"].map(|body| receiver.post(body)).into();
    assert_eq!(statuses, ["503", "503", "204", "204"]);
    assert_eq!(receiver.finish(), "a\nb\nc\nd\n");
}

#[test]
fn a_delayed_request_is_printed_before_it_is_answered() {
    // The delay outlasts the test: only a print that does not wait for the answer is seen.
    let receiver = receive(&["--delay-ms", "3600000"]);
    let mut stream = receiver.connect();
    stream.write_all(&post("waits")).expect("it reads");
    receiver.process.wait_for_output("waits\n");
}

#[test]
fn it_ends_by_itself_after_the_count_asked_for() {
    let receiver = receive(&["--count", "2"]);
    assert_eq!(receiver.post("a"), "200");
    assert_eq!(receiver.post("b"), "200");
    assert_eq!(receiver.process.wait().expect_code(0).stdout, b"a\nb\n");
}

#[test]
fn headers_are_shown_when_asked_for() {
    let receiver = receive(&["--headers"]);
    receiver.post("body");
    receiver.process.wait_for_error("POST /p HTTP/1.1\n");
    receiver.process.wait_for_error("x-a: b\n");
    assert_eq!(receiver.finish(), "body\n");
}

#[test]
fn garbage_and_a_body_too_long_are_refused_and_the_next_request_served() {
    let receiver = receive(&[]);
    assert_eq!(receiver.exchange(b"garbage\r\n\r\n"), "400");
    let huge = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 67108865\r\n\r\n";
    assert_eq!(receiver.exchange(huge), "413");
    assert_eq!(
        receiver.exchange(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
        "405"
    );
    assert_eq!(receiver.post("fine"), "200");
    assert_eq!(receiver.finish(), "fine\n");
}

#[test]
fn a_request_cut_off_is_not_printed() {
    let receiver = receive(&[]);
    let mut stream = receiver.connect();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        .expect("sent");
    drop(stream);
    assert_eq!(receiver.post("whole"), "200");
    assert_eq!(receiver.finish(), "whole\n");
}

#[test]
fn an_idle_connection_does_not_hold_up_its_end() {
    let receiver = receive(&[]);
    let mut stream = receiver.connect();
    stream.write_all(&post("a")).expect("it reads");
    assert_eq!(status(&mut stream), "200");
    assert_eq!(receiver.finish(), "a\n");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let receiver = receive(&["--delay-ms", "3600000"]);
    let mut idle = receiver.connect();
    let mut stream = receiver.connect();
    stream.write_all(&post("waits")).expect("it reads");
    receiver.process.wait_for_output("waits\n");
    receiver.process.signal(Signal::TERM);
    // An idle connection is closed once the first signal is taken.
    assert!(matches!(idle.read(&mut [0]), Ok(0)));
    receiver.process.signal(Signal::INT);
    assert_eq!(receiver.process.wait().code, Some(130));
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named() {
    let ended = Launch::new()
        .args(["receive", "--listen", "nonsense"])
        .run("");
    assert_ne!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("cannot listen on nonsense"),
        "{}",
        ended.stderr
    );
}

#[test]
fn only_what_is_signed_by_the_secret_is_taken_when_that_is_asked_for() {
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let folder = Folder::new();
    let file = folder.write("secret", format!("{secret}\n"));
    let file = file.to_str().expect("the path is text");
    let receiver = receive(&["--verify-secret", file]);
    assert_eq!(receiver.post("{}"), "401");
    let url = format!("http://{}/", receiver.address);
    for (signer, code) in [(secret, 0), ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1)] {
        let mut config = best_effort(&url);
        config["signing"] = serde_json::json!({ "secrets": [signer] });
        let config = folder.config(&config);
        let _ended = Launch::new()
            .args(["send", "-", "--webhook-config"])
            .arg(config)
            .run(event("a", 1))
            .expect_code(code);
    }
    receiver
        .process
        .wait_for_error("\nnot verified: without an id: ");
    receiver.process.wait_for_error("\nverified: evt_");
    receiver.process.wait_for_error("\nnot verified: evt_");
    assert_eq!(receiver.finish(), event("a", 1) + "\n");

    for (content, said) in [
        ("", "holds no signing secret"),
        ("\nabc", ":2: not a signing secret"),
    ] {
        let file = folder.write("bad", content);
        let ended = Launch::new()
            .args(["receive", "--listen", "127.0.0.1:0", "--verify-secret"])
            .arg(file)
            .run("")
            .expect_code(2);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}
