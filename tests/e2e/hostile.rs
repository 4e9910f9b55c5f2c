//! Peers that mean harm, or know no better: memory stays bounded, and good clients are served.

use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::{
    Client, Folder, Launch, Process, Receiver, Reply, Signal, event, post, post_bytes,
    raise_descriptors,
};

const JSON: &str = "Content-Type: application/json";
const LINES: &str = "Content-Type: application/x-ndjson";
/// Bytes of memory over that of the start that no attack may take: 64 MiB of events and 4,096
/// connections, and what the allocator does not give back.
const BOUND: u64 = 256 << 20;

struct Victim {
    process: Process,
    url: String,
    _receiver: Receiver,
    _folder: Folder,
    before: u64,
}

impl Victim {
    fn start(options: &[&str]) -> Victim {
        let receiver = Receiver::always(Reply::status(200));
        let folder = Folder::new();
        let config = folder.config(&json!({
            "headers": {},
            "targetURL": receiver.url(),
            "timeoutMsec": 30_000,
            "responseTimeoutMsec": 30_000,
            "inputs": {
                "batch": { "schema": "pointers", "key": "/id", "each": "" },
                "raw": {
                    "schema": "pointers", "key": "/id", "each": "",
                    "unknown": "accept", "invalidUtf8": "replace",
                },
            },
        }));
        let process = Launch::with_config(&config)
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .spawn();
        let url = process.listens();
        post(&url, &[JSON], event("warm", 0));
        let before = process.anonymous_memory();
        Victim {
            process,
            url,
            _receiver: receiver,
            _folder: folder,
            before,
        }
    }

    fn connect(&self) -> TcpStream {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        TcpStream::connect(address).expect("it listens")
    }

    /// A good client is served, and memory is bounded.
    fn check(&self) {
        assert_eq!(post(&self.url, &[JSON], event("good", 1)).status, 200);
        let grown = self.process.anonymous_memory().saturating_sub(self.before);
        assert!(grown < BOUND, "{} MiB more", grown >> 20);
    }

    fn end(self) {
        self.check();
        self.process.signal(Signal::TERM);
        let _ended = self.process.wait().expect_code(0);
    }
}

#[test]
fn idle_connections_by_the_thousand_lock_nobody_out() {
    let descriptors = raise_descriptors();
    let count = usize::try_from(descriptors.saturating_sub(500)).expect("it is a number");
    let count = count.clamp(1, 10_000);
    let victim = Victim::start(&[]);
    let mut idle = Vec::new();
    for number in 0..count {
        let mut stream = victim.connect();
        if number % 2 == 1 {
            // Slowloris: a head that does not end.
            stream.write_all(b"POST / HTTP/1.1\r\nX: ").ok();
        }
        idle.push(stream);
        if number % 1000 == 0 {
            victim.check();
        }
    }
    assert!(count >= 2000, "only {count} connections could be made here");
    victim.end();
    drop(idle);
}

#[test]
fn a_head_that_does_not_end_and_a_body_that_does_not_come_are_cut_off() {
    let victim = Victim::start(&["--head-timeout", "200ms", "--body-timeout", "200ms"]);
    let mut head = Client::connect(&victim.url).expect("it listens");
    head.send("POST / HTTP/1.1\r\nX: ").expect("it reads");
    assert!(head.is_closed());
    for kind in [JSON, LINES] {
        let mut body = Client::connect(&victim.url).expect("it listens");
        let request = post_bytes(&[kind], event("one", 1));
        body.send(&request[..request.len() - 1]).expect("it reads");
        assert_eq!(body.answer().expect("it answers").status, 408, "{kind}");
        assert!(body.is_closed());
    }
    victim.end();
}

#[test]
fn slow_bodies_give_way_when_there_are_too_many() {
    let victim = Victim::start(&["--max-connections", "50", "--grace", "1s"]);
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = victim.connect();
        let request = post_bytes(&[JSON], event("slow", 1));
        stream
            .write_all(&request[..request.len() - 1])
            .expect("it reads");
        slow.push(stream);
    }
    victim.end();
}

#[test]
fn a_body_of_a_gigabyte_is_cut_off_early() {
    let victim = Victim::start(&["--max-body", "8MiB", "--grace", "1s"]);
    for kind in [JSON, LINES] {
        let mut client = Client::connect(&victim.url).expect("it listens");
        let head =
            format!("POST / HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: 1073741824\r\n\r\n");
        client.send(head).expect("it reads");
        assert_eq!(client.answer().expect("it answers").status, 413, "{kind}");
    }
    // One that does not say how long it is: blanks, then one line without end.
    for filler in [b"\n", b"x"] {
        let mut client = Client::connect(&victim.url).expect("it listens");
        let head =
            format!("POST / HTTP/1.1\r\nHost: x\r\n{LINES}\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(head).expect("it reads");
        let mut chunk = b"100000\r\n".to_vec();
        chunk.extend(filler.repeat(1 << 20));
        chunk.extend(b"\r\n");
        let sent = (0..1024)
            .take_while(|_| client.send(&chunk).is_ok())
            .count();
        assert!(sent < 100, "it took {sent} MiB");
        if let Ok(answer) = client.answer() {
            assert_eq!(answer.status, 413);
        }
    }
    victim.end();
}

#[test]
fn documents_of_many_events_take_bounded_memory() {
    let victim = Victim::start(&[]);
    let document = |event: &[u8], bytes: usize| {
        let mut document = b"[".to_vec();
        while document.len() < bytes {
            document.extend_from_slice(event);
            document.push(b',');
        }
        document.extend_from_slice(event);
        document.push(b']');
        document
    };
    let ignored = document(b"1", 8 << 20);
    let padded = format!("{{\"id\":1,\"text\":\"{}\"}}", "x".repeat(100_000));
    let events = document(padded.as_bytes(), 8 << 20);
    let raw = document(&b"\xff".repeat(1_000), 8 << 20);
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (path, body) = match number % 3 {
                0 => ("/events/batch", &ignored),
                1 => ("/events/batch", &events),
                _ => ("/events/raw", &raw),
            };
            let url = &victim.url;
            scope.spawn(move || {
                let mut client = Client::connect(url).expect("it listens");
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                // One that is slow while others wait for memory is answered before its end.
                drop(client.send([head.as_bytes(), body].concat()));
                if let Ok(answer) = client.answer() {
                    // It has too many events; or it is accepted, or kept; or it is to be sent again.
                    let expected = [200, 408, 422, 503, 504];
                    assert!(
                        expected.contains(&answer.status),
                        "{number}: {}",
                        answer.head
                    );
                }
            });
        }
    });
    victim.end();
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let victim = Victim::start(&[]);
    let long = format!("X: {}", "x".repeat(100_000));
    let many = vec!["X: 1"; 200];
    for headers in [&[&*long][..], &many] {
        let mut client = Client::connect(&victim.url).expect("it listens");
        // It may have hung up before all of it is sent.
        client.send(post_bytes(headers, event("one", 1))).ok();
        if let Ok(answer) = client.answer() {
            assert_eq!(answer.status, 431);
        }
        assert!(client.is_closed());
    }
    victim.end();
}

#[test]
fn garbage_keeps_nobody_from_being_served() {
    let victim = Victim::start(&[]);
    let done = AtomicBool::new(false);
    let garbage: Vec<u8> = (0..1_000_000u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let lines = post_bytes(&[LINES], &garbage);
    let event = post_bytes(&[JSON], &garbage);
    /// Ends the attack also when a check fails.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    std::thread::scope(|scope| {
        let _end = End(&done);
        for attack in [&garbage, &lines, &event] {
            scope.spawn(|| {
                // Far more than 1 MB/s.
                while !done.load(Ordering::SeqCst) {
                    victim.connect().write_all(attack).ok();
                }
            });
        }
        for _ in 0..20 {
            victim.check();
        }
    });
    victim.end();
}
