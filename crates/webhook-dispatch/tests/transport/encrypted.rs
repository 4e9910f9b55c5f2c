//! When a connection in TLS is kept, and when it is replaced.

use crate::peer::{Client, OK};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use testkit::Server;
use webhook_config::{Target, TargetUrl, Tls};
use webhook_dispatch::TransportErrorKind;

/// The answer to each later request of a connection.
const LATER: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
const NOT_YOURS: &[u8] = b"HTTP/1.1 500 Not Yours\r\nContent-Length: 0\r\n\r\n";

/// A peer whose certificate the client trusts, and the client.
struct Encrypted {
    client: Client,
    peer: Server,
}

/// Answers each connection's first request with these records, all in one write, and later ones
/// with `later`. Notifies `answered` after each write. Without records, it closes.
fn encrypted(records: Vec<Vec<u8>>, later: &'static [&[u8]], answered: Sender<()>) -> Encrypted {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certified.cert.der().clone()],
            PrivateKeyDer::Pkcs8(key),
        )
        .unwrap();
    let config = Arc::new(config);
    let answered = Mutex::new(answered);
    let peer = Server::start(move |connection| {
        let answered = answered.lock().unwrap().clone();
        serve(
            connection.stream(),
            Arc::clone(&config),
            &records,
            later,
            &answered,
        );
    });
    let port = peer.address().port();
    let url = TargetUrl::parse(&format!("https://localhost:{port}/")).unwrap();
    let tls = Tls::default().with_ca(certified.cert.pem()).unwrap();
    Encrypted {
        client: Client::of(Target::builder(url).tls(tls)),
        peer,
    }
}

/// Serves a connection until the client closes it.
fn serve(
    mut stream: &TcpStream,
    config: Arc<ServerConfig>,
    records: &[Vec<u8>],
    later: &[&[u8]],
    answered: &Sender<()>,
) {
    let mut tls = ServerConnection::new(config).unwrap();
    let mut request = Vec::new();
    let later: Vec<_> = later.iter().map(|record| record.to_vec()).collect();
    let mut answer = records;
    while tls.complete_io(&mut stream).is_ok() {
        let mut part = [0; 4096];
        match tls.reader().read(&mut part) {
            Ok(0) => return,
            Ok(length) => request.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(_) => return,
        }
        if !request.ends_with(b"\r\n\r\nbody") {
            continue;
        }
        request.clear();
        if answer.is_empty() {
            return;
        }
        let mut bytes = Vec::new();
        for record in std::mem::replace(&mut answer, &later) {
            tls.writer().write_all(record).unwrap();
            while tls.wants_write() {
                tls.write_tls(&mut bytes).unwrap();
            }
        }
        // The client may have closed, and the test may have ended.
        if stream.write_all(&bytes).is_err() || answered.send(()).is_err() {
            return;
        }
    }
}

/// The statuses of two requests, and the number of connections for them.
fn two_requests(records: Vec<Vec<u8>>) -> ([u16; 2], usize) {
    let (answered, answers) = channel();
    let mut pair = encrypted(records, &[LATER], answered);
    let statuses = [(); 2].map(|()| {
        let answer = pair.client.post(b"body").unwrap();
        assert!(answer.complete);
        answers.recv().unwrap();
        answer.status
    });
    (statuses, pair.peer.connections())
}

#[test]
fn session_tickets_with_the_answer_do_not_cost_the_connection() {
    assert_eq!(two_requests(vec![OK.to_vec()]), ([200, 201], 1));
}

/// The bytes are below TLS, not decrypted yet, or above it.
#[test]
fn unsolicited_bytes_in_tls_are_not_taken_for_the_next_answer() {
    let mut long = NOT_YOURS.to_vec();
    long.splice(24..24, format!("x: {}\r\n", "y".repeat(8000)).into_bytes());
    assert!(long.starts_with(b"HTTP/1.1 500 Not Yours\r\nx: y"));
    assert_eq!(two_requests(vec![OK.to_vec(), long]), ([200, 200], 2));

    // A record of the largest size, so that the next one is not decrypted with it.
    const RECORD: usize = 16 * 1024;
    let head = |length| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let body = RECORD - head(RECORD).len();
    let mut record = head(body).into_bytes();
    record.resize(RECORD, b'x');
    assert_eq!(
        two_requests(vec![record, NOT_YOURS.to_vec()]),
        ([200, 200], 2)
    );
}

/// The peer closes without a close_notify, as it does when it has closed before.
#[test]
fn a_kept_connection_in_tls_that_closes_instead_of_an_answer_is_stale() {
    let (answered, _answers) = channel();
    let mut pair = encrypted(vec![OK.to_vec()], &[], answered);
    for connections in 1..=2 {
        assert_eq!(pair.client.status(), 200, "over a new connection");
        let (kind, message) = pair.client.error();
        assert_eq!(kind, TransportErrorKind::Stale, "{message}");
        assert_eq!(pair.peer.connections(), connections);
    }
}

#[test]
fn bodies_of_every_size_go_through() {
    let (answered, _answers) = channel();
    let mut pair = encrypted(vec![OK.to_vec()], &[LATER], answered);
    for size in [0, 8_000, 16_300, 16_384, 16_385, 100_000, 1 << 20] {
        let mut body = vec![b'x'; size];
        body.extend_from_slice(b"\r\n\r\nbody");
        assert!(matches!(pair.client.post(&body).unwrap().status, 200 | 201));
    }
    assert_eq!(pair.peer.connections(), 1);
}
