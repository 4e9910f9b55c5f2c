//! Answers in every framing, and malformed ones.

use crate::peer::{Client, OK, always, client, once, url};
use std::time::Duration;
use testkit::Server;
use webhook_config::{Target, TargetUrl};
use webhook_dispatch::{Answer, TransportErrorKind};

/// The answer when a peer writes these bytes and closes.
fn answer(bytes: impl Into<Vec<u8>>) -> Answer {
    let peer = once(bytes);
    client(&peer).post(b"body").unwrap()
}

fn check(bytes: &[u8], status: u16, body: &[u8], complete: bool) {
    let text = String::from_utf8_lossy(bytes);
    let answer = answer(bytes);
    assert_eq!(answer.status, status, "{text}");
    assert_eq!(answer.body, body, "{text}");
    assert_eq!(answer.complete, complete, "{text}");
}

/// Checks that these bytes are no answer. Returns the error.
fn check_none(bytes: impl Into<Vec<u8>>) -> String {
    let peer = once(bytes);
    let (kind, message) = client(&peer).error();
    assert_eq!(kind, TransportErrorKind::Io, "{message}");
    message
}

#[test]
fn a_body_is_framed_by_its_length_by_chunks_or_by_the_end() {
    check(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        200,
        b"abc",
        true,
    );
    check(b"HTTP/1.1 201 Created\r\n\r\nabc", 201, b"abc", true);
    check(
        b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n\
          2;name=value\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        503,
        b"abc",
        true,
    );
    check(b"HTTP/1.0 200 OK\r\n\r\nabc", 200, b"abc", true);
    check(
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
        200,
        b"ab",
        true,
    );
}

#[test]
fn a_status_is_an_answer_though_its_body_is_cut_off() {
    check(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        200,
        b"abc",
        false,
    );
    check(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        200,
        b"abc",
        false,
    );
    check(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        200,
        b"",
        false,
    );
}

#[test]
fn some_statuses_have_no_body() {
    for status in [204, 304] {
        let head = format!("HTTP/1.1 {status} Status\r\n\r\n");
        let peer = always(head);
        let mut client = client(&peer);
        assert_eq!((client.status(), client.status()), (status, status));
        assert_eq!(peer.connections(), 1, "no body is waited for");
    }
}

#[test]
fn interim_answers_are_skipped() {
    let mut bytes = b"HTTP/1.1 100 Continue\r\n\r\n\
                      HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        .to_vec();
    bytes.extend_from_slice(OK);
    let peer = always(bytes);
    let mut client = client(&peer);
    assert_eq!((client.status(), client.status()), (200, 200));
    assert_eq!(peer.connections(), 1);
}

#[test]
fn an_answer_may_come_byte_by_byte() {
    let peer = Server::start(|connection| {
        while connection.request().is_some() {
            for byte in
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            {
                connection.write(&[*byte]);
            }
        }
    });
    let mut client = client(&peer);
    for _ in 0..2 {
        let answer = client.post(b"body").unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"abc"[..]));
    }
    assert_eq!(peer.connections(), 1);
}

#[test]
fn the_head_of_an_answer_has_bounds() {
    let many = |count: usize| "x-name: value\r\n".repeat(count);
    let long = |length: usize| format!("x-name: {}\r\n", "v".repeat(length));
    let head = |fields: String| format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
    for fields in [
        many(100),
        long(60_000),
        long(16 * 1024),
        many(100) + &long(30_000),
    ] {
        assert_eq!(answer(head(fields)).status, 200);
    }
    for fields in [many(1000), long(100_000), long(10 << 20)] {
        assert_eq!(answer(head(fields)).status, 200, "by its status line");
    }
    check_none(format!("HTTP/1.1 200 {}", "x".repeat(100_000)));
}

#[test]
fn bytes_that_are_not_http_are_no_answer() {
    for bytes in [
        &b"SSH-2.0-x\r\n"[..],
        b"\0\0\0\0\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"<html>\r\n\r\n",
        &[0xff; 1000],
    ] {
        check_none(bytes);
    }
}

#[test]
fn an_answer_that_ends_within_its_status_line_is_none() {
    let closed = "the server closed the connection before it answered";
    assert_eq!(check_none(""), closed);
    let line = "HTTP/1.1 200 OK\r\n".len();
    for length in [1, 10, line - 2, line - 1] {
        check_none(&OK[..length]);
    }
    for length in [line, line + 10, OK.len() - 1] {
        let answer = answer(&OK[..length]);
        assert_eq!((answer.status, answer.complete), (200, false));
    }
}

#[test]
fn a_peer_without_tls_is_no_connection() {
    let peer = Server::start(|connection| {
        connection.write(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        connection.wait_for_end();
    });
    let target = TargetUrl::parse(&url(&peer, "https")).unwrap();
    let (kind, message) = Client::of(Target::builder(target)).error();
    assert_eq!(kind, TransportErrorKind::Connect, "{message}");
    let words = "TLS: the server does not speak TLS on this port; use http:// or another port";
    assert!(message.starts_with(words), "{message}");
}

#[test]
fn a_peer_that_wants_tls_is_told_from_one_that_refuses() {
    let alert = b"\x15\x03\x01\x00\x02\x02\x46";
    let message = check_none(alert);
    assert!(message.ends_with("it is TLS; use https:// in the URL"));
    for body in [
        "<html><h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port</html>",
        "Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
        "Client sent an HTTP request to an HTTPS server.\n",
        "no",
    ] {
        let peer = once(format!("HTTP/1.1 400 Bad Request\r\n\r\n{body}"));
        match client(&peer).post(b"body") {
            Ok(answer) => assert_eq!((answer.status, body), (400, "no")),
            Err(error) => {
                assert_eq!(error.kind, TransportErrorKind::Connect);
                let words = "the server speaks TLS on this port; use https:// in the URL";
                assert_eq!(error.message, words);
                assert_ne!(body, "no");
            }
        }
    }
}

#[test]
fn an_interim_answer_alone_is_none() {
    check_none("HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn a_half_close_or_reset_before_the_answer_is_an_error() {
    for resets in [false, true] {
        let peer = Server::start(move |connection| {
            connection.request().unwrap();
            if resets {
                connection.reset();
            } else {
                connection.half_close();
                connection.wait_for_end();
            }
        });
        let (kind, message) = client(&peer).error();
        assert_eq!(kind, TransportErrorKind::Io, "{message}");
    }
}

/// The receiver answers before it has read the body, and reads no further.
#[test]
fn an_answer_counts_though_the_body_is_never_read() {
    let (gone, is_gone) = std::sync::mpsc::channel::<()>();
    let is_gone = std::sync::Mutex::new(is_gone);
    let peer = Server::start(move |connection| {
        connection.head().unwrap();
        connection.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
        is_gone.lock().unwrap().recv().unwrap_err();
    });
    let target = Target::builder(TargetUrl::parse(&peer.url()).unwrap());
    let mut client = Client::of(target.response_timeout(Duration::from_secs(2)));
    assert_eq!(client.post(&vec![b'x'; 64 << 20]).unwrap().status, 413);
    drop(gone);
}

/// The receiver answers before it has read the body, and closes: a reset follows the answer.
#[test]
fn an_answer_before_the_body_is_sent_counts() {
    let peer = Server::start(|connection| {
        connection.head().unwrap();
        connection.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge");
    });
    let mut client = client(&peer);
    for _ in 0..2 {
        let answer = client.post(&vec![b'x'; 64 << 20]).unwrap();
        assert_eq!((answer.status, &answer.body[..]), (413, &b"large"[..]));
    }
    assert_eq!(peer.connections(), 2);
}
