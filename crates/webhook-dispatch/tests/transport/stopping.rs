//! Stopping a transport ends a blocked request at once.

use crate::peer::{Client, PATIENCE, client};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use testkit::{BlackHole, Server};
use webhook_config::{Target, TargetUrl};
use webhook_dispatch::{HttpConnector, TransportErrorKind};

const SENDERS: usize = 256;

#[test]
fn hundreds_of_blocked_senders_end_at_once() {
    let (received, requests) = channel();
    let received = Mutex::new(received);
    let peer = Server::start(move |connection| {
        connection.request().unwrap();
        received.lock().unwrap().send(()).unwrap();
        connection.wait_for_end();
    });
    let mut stoppers = Vec::new();
    let mut threads = Vec::new();
    for _ in 0..SENDERS {
        let mut client = client(&peer);
        stoppers.push(client.0.stopper());
        threads.push(std::thread::spawn(move || (client.error(), client.error())));
    }
    for _ in 0..SENDERS {
        requests.recv_timeout(PATIENCE).unwrap();
    }
    for stop in stoppers {
        stop();
    }
    for thread in threads {
        let (first, second) = thread.join().unwrap();
        assert_eq!(first.0, TransportErrorKind::Stopped, "{}", first.1);
        assert_eq!(second.0, TransportErrorKind::Stopped, "{}", second.1);
    }
    assert_eq!(peer.connections(), SENDERS);
}

#[test]
fn a_sender_blocked_in_a_write_ends_at_once() {
    let (received, requests) = channel();
    let (end, ends) = channel::<()>();
    let script = Mutex::new((received, ends));
    let peer = Server::start(move |connection| {
        connection.head().unwrap();
        let (received, ends) = &*script.lock().unwrap();
        received.send(()).unwrap();
        // Nothing more is read. The test drops the other end.
        ends.recv().unwrap_err();
    });
    let mut client = client(&peer);
    let stop = client.0.stopper();
    let thread = std::thread::spawn(move || client.post(&vec![b'x'; 64 << 20]).unwrap_err().kind);
    requests.recv_timeout(PATIENCE).unwrap();
    stop();
    assert_eq!(thread.join().unwrap(), TransportErrorKind::Stopped);
    drop(end);
}

const HOUR: Duration = Duration::from_secs(3600);

/// The kind of the error of a request that nothing but a stop ends, from a thread of its own.
fn error_of(mut client: Client) -> Receiver<TransportErrorKind> {
    let (ended, ends) = channel();
    // Detached: a stop that does not work must fail the test, not hang it.
    std::thread::spawn(move || ended.send(client.error().0));
    ends
}

#[test]
fn a_sender_that_connects_ends_at_once() {
    for scheme in ["http", "https"] {
        let black_hole = BlackHole::start();
        let url = TargetUrl::parse(&format!("{scheme}://{}/", black_hole.address())).unwrap();
        let client = Client::of(Target::builder(url).connect_timeout(HOUR));
        let stop = client.0.stopper();
        let ends = error_of(client);
        black_hole.wait_for_connecting(1);
        stop();
        let kind = ends.recv_timeout(PATIENCE).unwrap();
        assert_eq!(kind, TransportErrorKind::Stopped);
    }
}

#[test]
fn a_sender_in_a_tls_handshake_ends_at_once() {
    let (accepted, connections) = channel();
    let accepted = Mutex::new(accepted);
    let peer = Server::start(move |connection| {
        accepted.lock().unwrap().send(()).unwrap();
        connection.wait_for_end();
    });
    let url = TargetUrl::parse(&crate::peer::url(&peer, "https")).unwrap();
    let client = Client::of(Target::builder(url).connect_timeout(HOUR));
    let stop = client.0.stopper();
    let ends = error_of(client);
    connections.recv_timeout(PATIENCE).unwrap();
    stop();
    let kind = ends.recv_timeout(PATIENCE).unwrap();
    assert_eq!(kind, TransportErrorKind::Stopped);
}

#[test]
fn a_sender_that_waits_for_a_name_ends_at_once() {
    let (asked, questions) = channel();
    let (gone, is_gone) = channel::<()>();
    let script = Mutex::new((asked, is_gone));
    let connector = HttpConnector::new().with_resolver(HOUR, move |_, _| {
        let (asked, is_gone) = &*script.lock().unwrap();
        asked.send(()).unwrap();
        // Ends when the test drops the other side.
        is_gone.recv().unwrap_err();
        Ok(Vec::new())
    });
    let url = TargetUrl::parse("http://some.host/").unwrap();
    let target = Target::builder(url).connect_timeout(HOUR);
    let client = Client::with(&connector, target);
    let stop = client.0.stopper();
    let ends = error_of(client);
    questions.recv_timeout(PATIENCE).unwrap();
    stop();
    let kind = ends.recv_timeout(PATIENCE).unwrap();
    assert_eq!(kind, TransportErrorKind::Stopped);
    drop(gone);
}
