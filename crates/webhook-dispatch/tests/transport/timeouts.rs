//! Each phase has its bound.

use crate::peer::{Client, PATIENCE, Peer};
use rustix::net;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;
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
fn a_host_that_takes_no_connection_is_given_up() {
    let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).unwrap();
    net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    net::listen(&socket, 0).unwrap();
    let address: SocketAddr = net::getsockname(&socket).unwrap().try_into().unwrap();
    // Once its backlog is full, whoever tries waits.
    let mut backlog = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, SHORT) {
        backlog.push(stream);
    }
    let target = target(&format!("http://{address}/")).connect_timeout(SHORT);
    check(
        Client::of(target),
        b"body",
        "no connection within timeoutMsec",
    );
}

#[test]
fn a_tls_handshake_that_stalls_is_given_up() {
    let peer = Peer::start(|_, connection| connection.wait_for_the_end());
    let target = target(&peer.url("https")).connect_timeout(SHORT);
    check(
        Client::of(target),
        b"body",
        "no connection within timeoutMsec",
    );
}

#[test]
fn a_tls_handshake_that_drips_is_given_up() {
    let peer = Peer::start(|_, connection| {
        // A handshake record of 16 KiB, a byte at a time.
        let mut going = connection.write(&[0x16, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc]);
        while going {
            std::thread::sleep(SHORT / 20);
            going = connection.write(&[0]);
        }
    });
    let target = target(&peer.url("https")).connect_timeout(SHORT);
    check(
        Client::of(target),
        b"body",
        "no connection within timeoutMsec",
    );
}

#[test]
fn a_peer_that_does_not_read_the_body_is_given_up() {
    // Not read before the client has gone: more than all buffers on the way hold.
    let (gone, is_gone) = std::sync::mpsc::channel::<()>();
    let is_gone = std::sync::Mutex::new(is_gone);
    let peer = Peer::start(move |_, _| {
        // Nothing comes: the other side is dropped.
        is_gone.lock().unwrap().recv().unwrap_err();
    });
    let target = target(&peer.url("http")).response_timeout(SHORT);
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
    let peer = Peer::start(|_, connection| {
        connection.request().unwrap();
        connection.wait_for_the_end();
    });
    let target = target(&peer.url("http")).response_timeout(SHORT);
    check(
        Client::of(target),
        b"body",
        "no answer within responseTimeoutMsec",
    );
}

#[test]
fn a_head_that_drips_is_given_up() {
    let peer = Peer::start(|_, connection| {
        connection.request().unwrap();
        let mut going = connection.write(b"HTTP/1.1 200 OK\r\nx-long: ");
        while going {
            std::thread::sleep(SHORT / 20);
            going = connection.write(b"x");
        }
    });
    let target = target(&peer.url("http")).response_timeout(SHORT);
    check(
        Client::of(target),
        b"body",
        "no answer within responseTimeoutMsec",
    );
}

#[test]
fn a_body_that_stalls_or_drips_costs_the_connection_and_not_the_answer() {
    for drips in [false, true] {
        let peer = Peer::start(move |number, connection| {
            connection.request().unwrap();
            if number > 0 {
                connection.write(crate::peer::OK);
                return;
            }
            let mut going = connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx");
            while drips && going {
                std::thread::sleep(SHORT / 20);
                going = connection.write(b"x");
            }
            connection.wait_for_the_end();
        });
        let target = target(&peer.url("http")).response_timeout(SHORT);
        let mut client = Client::of(target);
        let answer = client.post(b"body").unwrap();
        assert_eq!((answer.status, answer.complete), (200, false));
        assert_eq!(client.status(), 200);
        assert_eq!(peer.connections(), 2);
    }
}
