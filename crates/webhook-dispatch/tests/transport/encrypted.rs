//! A connection in TLS is kept, and given up, as any other is.

use crate::peer::{Client, OK};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use webhook_config::{Target, TargetUrl, Tls};

/// What the first answer of a connection is not followed by.
const HONEST: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
const NOT_YOURS: &[u8] = b"HTTP/1.1 500 Not Yours\r\nContent-Length: 0\r\n\r\n";

/// A peer whose certificate the client trusts.
struct Encrypted {
    client: Client,
    connections: Arc<AtomicUsize>,
}

/// Answers each connection's first request with these records, all in one write, after which it
/// sends a word; and the later ones as they should be.
fn encrypted(records: Vec<Vec<u8>>, said: Sender<()>) -> Encrypted {
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
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            let (config, records, said) = (Arc::clone(&config), records.clone(), said.clone());
            std::thread::spawn(move || serve(stream.unwrap(), config, &records, &said));
        }
    });
    let url = TargetUrl::parse(&format!("https://localhost:{port}/")).unwrap();
    let tls = Tls::default().with_ca(certified.cert.pem()).unwrap();
    Encrypted {
        client: Client::of(Target::builder(url).tls(tls)),
        connections,
    }
}

/// Until the client closes.
fn serve(mut stream: TcpStream, config: Arc<ServerConfig>, records: &[Vec<u8>], said: &Sender<()>) {
    stream.set_nodelay(true).unwrap();
    let mut tls = ServerConnection::new(config).unwrap();
    let mut request = Vec::new();
    let honest = [HONEST.to_vec()];
    let mut answer = records;
    while tls.complete_io(&mut stream).is_ok() {
        let mut part = [0; 4096];
        match tls.reader().read(&mut part) {
            Ok(0) => return,
            Ok(length) => request.extend_from_slice(&part[..length]),
            Err(_) => continue,
        }
        if !request.ends_with(b"\r\n\r\nbody") {
            continue;
        }
        request.clear();
        let mut bytes = Vec::new();
        for record in std::mem::replace(&mut answer, &honest) {
            tls.writer().write_all(record).unwrap();
            while tls.wants_write() {
                tls.write_tls(&mut bytes).unwrap();
            }
        }
        if stream.write_all(&bytes).is_err() {
            return;
        }
        if said.send(()).is_err() {
            // The test is over.
            return;
        }
    }
}

/// The statuses of two requests, and the connections that they took.
fn two_requests(records: Vec<Vec<u8>>) -> ([u16; 2], usize) {
    let (said, hears) = channel();
    let mut peer = encrypted(records, said);
    let statuses = [(); 2].map(|()| {
        let answer = peer.client.post(b"body").unwrap();
        assert!(answer.complete);
        hears.recv().unwrap();
        answer.status
    });
    (statuses, peer.connections.load(Ordering::SeqCst))
}

#[test]
fn a_connection_is_kept_although_tickets_came_with_the_answer() {
    assert_eq!(two_requests(vec![OK.to_vec()]), ([200, 201], 1));
}

/// Beneath TLS, as it came; and above, where it is decrypted already.
#[test]
fn what_nobody_asked_for_is_not_taken_for_the_next_answer() {
    let mut long = NOT_YOURS.to_vec();
    long.splice(24..24, format!("x: {}\r\n", "y".repeat(8000)).into_bytes());
    assert!(long.starts_with(b"HTTP/1.1 500 Not Yours\r\nx: y"));
    assert_eq!(two_requests(vec![OK.to_vec(), long]), ([200, 200], 2));

    // A whole record of the largest size, so that the next is not looked at with it.
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

#[test]
fn bodies_of_every_size_go_through() {
    let (said, _hears) = channel();
    let mut peer = encrypted(vec![OK.to_vec()], said);
    for size in [0, 8_000, 16_300, 16_384, 16_385, 100_000, 1 << 20] {
        let mut body = vec![b'x'; size];
        body.extend_from_slice(b"\r\n\r\nbody");
        assert!(matches!(peer.client.post(&body).unwrap().status, 200 | 201));
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
}
