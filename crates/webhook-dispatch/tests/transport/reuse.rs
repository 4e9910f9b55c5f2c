//! When a connection is kept for the next request, and when it is replaced.

use crate::peer::{Client, OK, PATIENCE, always, client, once};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::{Connection, Port, Server};
use webhook_config::{Target, TargetUrl};
use webhook_dispatch::{HeaderLines, HttpConnector, Request, TransportErrorKind};

/// An answer that closes the connection.
const CLOSING: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// How often a transport checks the address of its connection.
const ADDRESS_CHECK: Duration = Duration::from_secs(1);

#[test]
fn head_and_body_come_in_one_piece_on_one_connection() {
    let peer = Server::start(|connection| {
        for _ in 0..3 {
            let piece = String::from_utf8(connection.read()).unwrap();
            let (head, body) = piece.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
            assert_eq!(body, "x".repeat(3500));
            connection.write(OK);
        }
        connection.wait_for_end();
    });
    let mut client = client(&peer);
    for _ in 0..3 {
        assert_eq!(
            client.post("x".repeat(3500).as_bytes()).unwrap().status,
            200
        );
    }
    assert_eq!(peer.connections(), 1);
}

#[test]
fn bodies_of_every_size_arrive_unchanged() {
    let (sent, received) = channel();
    let sent = Mutex::new(sent);
    let peer = Server::start(move |connection| {
        while let Some(request) = connection.request() {
            sent.lock().unwrap().send(request.body.to_vec()).unwrap();
            connection.write(OK);
        }
    });
    let mut client = client(&peer);
    for size in [0, 1, 8_000, 16_000, 16_384, 16_385, 100_000, 1 << 20, 1] {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        assert_eq!(client.post(&body).unwrap().status, 200);
        assert!(received.recv().unwrap() == body, "{size}");
    }
    assert_eq!(peer.connections(), 1);
}

#[test]
fn long_headers_arrive_unchanged() {
    let peer = Server::start(|connection| {
        while let Some(request) = connection.request() {
            let head = String::from_utf8_lossy(request.head);
            assert_eq!(head.matches(&"v".repeat(5000)).count(), 5);
            connection.write(OK);
        }
    });
    let mut client = client(&peer);
    for _ in 0..2 {
        let mut headers = HeaderLines::new();
        for name in ["x-a", "x-b", "x-c", "x-d", "x-e"] {
            let name = http::HeaderName::from_static(name);
            headers.push(&name, &"v".repeat(5000).parse().unwrap());
        }
        let headers = &headers;
        let body = &[b'x'; 10_000][..];
        let answer = client.0.send(Request { headers, body });
        assert_eq!(answer.unwrap().status, 200);
    }
    assert_eq!(peer.connections(), 1);
}

/// Checks that each request uses a new connection after the peer ran this script on the last one.
fn check_replaced(script: impl Fn(&mut Connection) + Send + Sync + 'static) {
    let (finished, scripts) = channel();
    let finished = Mutex::new(finished);
    let peer = Server::start(move |connection| {
        connection.request().unwrap();
        script(connection);
        finished.lock().unwrap().send(()).unwrap();
        connection.wait_for_end();
    });
    let mut client = client(&peer);
    for connections in 1..=3 {
        assert!(matches!(client.status(), 200 | 204));
        // Waits for the end of the peer's script.
        scripts.recv().unwrap();
        assert_eq!(peer.connections(), connections);
    }
}

/// Posts until `done`, which the requests bring about.
fn post_until(client: &mut Client, done: impl Fn() -> bool) {
    let ends = Instant::now() + PATIENCE;
    while !done() {
        assert_eq!(client.status(), 200);
        assert!(Instant::now() < ends, "not in time");
    }
}

#[test]
fn a_connection_is_replaced_at_its_greatest_age() {
    let peer = always(OK);
    let target = Target::builder(TargetUrl::parse(&peer.url()).unwrap());
    let mut client = Client::of(target.max_connection_age(Duration::from_millis(50)));
    post_until(&mut client, || peer.connections() == 3);
}

/// The name moves while the old address goes on answering.
#[test]
fn a_connection_to_an_address_that_the_name_has_left_is_replaced() {
    let (old, new) = (always(OK), always(OK));
    let answer = Arc::new(Mutex::new(vec![old.address()]));
    let (asked, short) = (Arc::clone(&answer), Duration::from_millis(10));
    let connector =
        HttpConnector::new().with_resolver(short, move |_, _| Ok(asked.lock().unwrap().clone()));
    let target = Target::builder(TargetUrl::parse("http://some.host/").unwrap());
    let mut client = Client::with(&connector, target);
    assert_eq!((client.status(), client.status()), (200, 200));
    assert_eq!(old.connections(), 1);
    // Both addresses: the connection stays.
    answer.lock().unwrap().insert(0, new.address());
    let until = Instant::now() + 2 * ADDRESS_CHECK;
    post_until(&mut client, || Instant::now() >= until);
    assert_eq!((old.connections(), new.connections()), (1, 0));
    answer.lock().unwrap().pop();
    post_until(&mut client, || new.connections() == 1);
    assert_eq!(old.connections(), 1);
}

#[test]
fn a_new_connection_asks_for_a_name_that_has_expired_and_outlives_a_failing_look_up() {
    let (old, new) = (once(CLOSING), once(CLOSING));
    let answers = [Ok(old.address()), Ok(new.address()), Err(())];
    let asked = AtomicUsize::new(0);
    let connector = HttpConnector::new().with_resolver(Duration::ZERO, move |_, _| {
        let answer = answers[asked.fetch_add(1, Ordering::SeqCst).min(2)];
        let address = answer.map_err(|()| std::io::Error::other("away"))?;
        Ok(vec![address])
    });
    let target = Target::builder(TargetUrl::parse("http://some.host/").unwrap());
    let mut client = Client::with(&connector, target);
    for expected in [(1, 0), (1, 1), (1, 2)] {
        assert_eq!(client.status(), 200);
        assert_eq!((old.connections(), new.connections()), expected);
    }
}

/// The name moves after the old address has gone.
#[test]
fn a_name_is_looked_up_again_when_its_addresses_refuse() {
    let (gone, new) = (Port::take(), always(OK));
    let addresses = [gone.address(), new.address()];
    let (asked, hour) = (AtomicUsize::new(0), Duration::from_secs(3600));
    let connector = HttpConnector::new().with_resolver(hour, move |_, _| {
        let at = asked.fetch_add(1, Ordering::SeqCst).min(1);
        Ok(vec![addresses[at]])
    });
    let target = Target::builder(TargetUrl::parse("http://some.host/").unwrap());
    let mut client = Client::with(&connector, target);
    assert_eq!(client.error().0, TransportErrorKind::Connect);
    // A look-up is not repeated within a second.
    let ends = Instant::now() + PATIENCE;
    while client.post(b"").is_err() {
        assert!(Instant::now() < ends, "not in time");
        std::thread::yield_now();
    }
    assert_eq!(new.connections(), 1);
}

/// The peer closes or resets a kept connection as the next request comes.
#[test]
fn a_kept_connection_that_is_closed_instead_of_an_answer_is_stale() {
    for (answer, kind) in [
        (&b""[..], TransportErrorKind::Stale),
        (b"HTTP/1.1 100 Continue\r\n\r\n", TransportErrorKind::Io),
        (b"HTTP", TransportErrorKind::Io),
    ] {
        for resets in [false, true] {
            let peer = Server::start(move |connection| {
                connection.request().unwrap();
                connection.write(OK);
                connection.request().unwrap();
                connection.write(answer);
                if resets && answer.is_empty() {
                    connection.reset();
                }
            });
            let mut client = client(&peer);
            for connections in 1..=2 {
                assert_eq!(client.status(), 200, "over a new connection");
                let error = client.post(b"body").unwrap_err();
                assert_eq!(error.kind, kind, "{error}");
                assert_eq!(peer.connections(), connections);
            }
        }
    }
}

#[test]
fn a_connection_that_the_peer_closed_since_is_replaced() {
    check_replaced(|connection| {
        connection.write(OK);
        connection.half_close();
    });
}

#[test]
fn unsolicited_bytes_are_not_taken_for_the_next_answer() {
    // In the same write as the answer, and in a write of their own.
    check_replaced(|connection| {
        connection.write(&[OK, b"HTTP/1.1 500 Not Yours\r\n\r\n"].concat());
    });
    check_replaced(|connection| {
        connection.write(OK);
        connection.write(b"HTTP/1.1 500 Not Yours\r\n\r\n");
    });
    check_replaced(|connection| {
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd");
    });
    check_replaced(|connection| {
        connection.write(b"HTTP/1.1 204 No Content\r\n\r\nbody");
    });
    // A 204 with a length may be followed by content.
    check_replaced(|connection| {
        connection.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n");
    });
}

#[test]
fn a_connection_is_closed_if_the_peer_says_so() {
    check_replaced(|connection| {
        connection.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    check_replaced(|connection| {
        connection.write(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
}

#[test]
fn an_answer_beyond_the_bound_costs_the_connection() {
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n".to_owned();
    let long = long + &"x".repeat(10_000_000);
    let peer = Server::start(move |connection| {
        connection.request().unwrap();
        connection.write(long.as_bytes());
    });
    let mut client = client(&peer);
    for connections in 1..=2 {
        let answer = client.post(b"body").unwrap();
        assert!(!answer.complete);
        assert!(answer.body.len() < 10_000_000);
        assert_eq!(peer.connections(), connections);
    }
}
