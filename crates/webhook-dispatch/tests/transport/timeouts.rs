//! The time-outs of each phase of an attempt.

use crate::peer::{Client, OK, PATIENCE, drip, url};
use std::time::Duration;
use testkit::{BlackHole, Server};
use webhook_config::{Target, TargetBuilder, TargetUrl};
use webhook_dispatch::TransportErrorKind;

const SHORT: Duration = Duration::from_millis(200);

fn target(url: &str) -> TargetBuilder {
    Target::builder(TargetUrl::parse(url).unwrap())
        .connect_timeout(PATIENCE)
        .response_timeout(PATIENCE)
}

fn check(mut client: Client, body: &[u8], expected: &str) {
    let error = client.post(body).unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Timeout, "{error}");
    assert_eq!(error.message, expected);
}

#[test]
fn a_host_that_accepts_no_connection_is_given_up() {
    let black_hole = BlackHole::start();
    let target = target(&black_hole.url()).connect_timeout(SHORT);
    check(
        Client::of(target),
        b"body",
        "no connection within timeoutMsec",
    );
}

#[test]
fn a_tls_handshake_that_stalls_is_given_up() {
    let peer = Server::start(|connection| connection.wait_for_end());
    let target = target(&url(&peer, "https")).connect_timeout(SHORT);
    check(
        Client::of(target),
        b"body",
        "no connection within timeoutMsec",
    );
}

#[test]
fn a_tls_handshake_that_drips_is_given_up() {
    let peer = Server::start(|connection| {
        // A handshake record of 16 KiB, a byte at a time.
        let record = [0x16, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc];
        drip(connection, &record, &[0], SHORT / 20);
    });
    let target = target(&url(&peer, "https")).connect_timeout(SHORT);
    check(
        Client::of(target),
        b"body",
        "no connection within timeoutMsec",
    );
}

#[test]
fn a_peer_that_does_not_read_the_body_is_given_up() {
    // The body is larger than all buffers on the way, and the peer does not read it.
    let (gone, is_gone) = std::sync::mpsc::channel::<()>();
    let is_gone = std::sync::Mutex::new(is_gone);
    let peer = Server::start(move |_| {
        // Ends when the test drops the other side.
        is_gone.lock().unwrap().recv().unwrap_err();
    });
    let target = target(&peer.url()).response_timeout(SHORT);
    let body = vec![b'x'; 64 << 20];
    check(
        Client::of(target),
        &body,
        "the request could not be sent within responseTimeoutMsec",
    );
    drop(gone);
}

#[test]
fn a_peer_that_does_not_answer_is_given_up() {
    let peer = Server::start(|connection| {
        connection.request().unwrap();
        connection.wait_for_end();
    });
    let target = target(&peer.url()).response_timeout(SHORT);
    check(
        Client::of(target),
        b"body",
        "no answer within responseTimeoutMsec",
    );
}

#[test]
fn a_head_that_drips_is_given_up() {
    let dripping = |first: &'static [u8]| {
        let peer = Server::start(move |connection| {
            connection.request().unwrap();
            drip(connection, first, b"x", SHORT / 20);
        });
        let target = target(&peer.url()).response_timeout(SHORT);
        (Client::of(target), peer)
    };
    let (client, _peer) = dripping(b"HTTP/1.1 200 OK");
    check(client, b"body", "no answer within responseTimeoutMsec");
    // A whole status line is an answer.
    let (mut client, _peer) = dripping(b"HTTP/1.1 200 OK\r\nx-long: ");
    let answer = client.post(b"body").unwrap();
    assert_eq!((answer.status, answer.complete), (200, false));
}

#[test]
fn a_body_that_stalls_or_drips_costs_the_connection_and_not_the_answer() {
    for drips in [false, true] {
        let peer = Server::start(move |connection| {
            connection.request().unwrap();
            if connection.number > 0 {
                connection.write(OK);
                return;
            }
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx";
            if drips {
                drip(connection, head, b"x", SHORT / 20);
            } else {
                connection.write(head);
                connection.wait_for_end();
            }
        });
        let target = target(&peer.url()).response_timeout(SHORT);
        let mut client = Client::of(target);
        let answer = client.post(b"body").unwrap();
        assert_eq!((answer.status, answer.complete), (200, false));
        assert_eq!(client.status(), 200);
        assert_eq!(peer.connections(), 2);
    }
}
