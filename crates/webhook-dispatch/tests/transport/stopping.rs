//! Stopping a transport ends a blocked request at once.

use crate::peer::{PATIENCE, client};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use testkit::Server;
use webhook_dispatch::TransportErrorKind;

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
