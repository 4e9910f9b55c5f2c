//! Through a proxy, `http` in absolute form, and `https` in a tunnel by CONNECT.

use crate::peer::{Client, OK, drip};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use testkit::{Message, Server};
use webhook_config::{ProxyUrl, Target, TargetBuilder, TargetUrl};
use webhook_dispatch::TransportErrorKind;

/// A client of a target that is reachable only through the proxy.
fn client(proxy: &Server, scheme: &str, userinfo: &str) -> Client {
    Client::of(target(proxy, scheme, userinfo))
}

fn target(proxy: &Server, scheme: &str, userinfo: &str) -> TargetBuilder {
    let url = proxy
        .url()
        .replace("http://", &format!("http://{userinfo}"));
    let url = ProxyUrl::parse(url.trim_end_matches('/')).unwrap();
    let target = TargetUrl::parse(&format!("{scheme}://behind.invalid:8080/hook")).unwrap();
    Target::builder(target).proxy(Some(url))
}

fn text(request: Message<'_>) -> String {
    String::from_utf8([request.head, request.body].concat()).unwrap()
}

/// Default configurations of proxies refuse CONNECT to ports other than 443.
#[test]
fn a_proxy_gets_plain_requests_in_absolute_form_on_one_connection() {
    let (received, requests) = channel();
    let received = Mutex::new(received);
    let proxy = Server::start(move |connection| {
        while let Some(request) = connection.request() {
            received.lock().unwrap().send(text(request)).unwrap();
            connection.write(OK);
        }
    });
    let mut client = client(&proxy, "http", "user:pass%20word@");
    assert_eq!((client.status(), client.status()), (200, 200));
    for _ in 0..2 {
        let request = requests.recv().unwrap();
        // base64 of "user:pass word"
        let head = "POST http://behind.invalid:8080/hook HTTP/1.1\r\n\
                    host: behind.invalid:8080\r\n\
                    proxy-authorization: Basic dXNlcjpwYXNzIHdvcmQ=\r\n";
        assert!(request.starts_with(head), "{request}");
        assert!(request.ends_with("\r\n\r\nbody"), "{request}");
    }
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_tunnel_is_made_for_tls() {
    let (received, requests) = channel();
    let received = Mutex::new(received);
    let proxy = Server::start(move |connection| {
        let request = text(connection.request().unwrap());
        received.lock().unwrap().send(request).unwrap();
        connection.write(b"HTTP/1.1 200 Connection established\r\n\r\n");
        // The first record of TLS, of the type handshake.
        assert_eq!(connection.read().first(), Some(&0x16));
    });
    let (kind, message) = client(&proxy, "https", "user:pass%20word@").error();
    assert_ne!(kind, TransportErrorKind::Timeout, "{message}");
    let tunnel = requests.recv().unwrap();
    assert!(tunnel.starts_with("CONNECT behind.invalid:8080 HTTP/1.1\r\n"));
    let credentials = "Proxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=\r\n";
    assert!(tunnel.contains(credentials), "{tunnel}");
}

#[test]
fn a_refusing_proxy_is_no_connection_and_its_password_is_not_shown() {
    let unauthorized = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    for (scheme, answer) in [
        ("http", unauthorized),
        ("https", unauthorized),
        ("https", "HTTP/1.1 502 Bad Gateway\r\n\r\n"),
        ("https", ""),
    ] {
        let proxy = Server::start(move |connection| {
            connection.request().unwrap();
            connection.write(answer.as_bytes());
        });
        let (kind, message) = client(&proxy, scheme, "user:hidden@").error();
        assert_eq!(kind, TransportErrorKind::Connect, "{message}");
        assert!(message.starts_with("the proxy refused: "), "{message}");
        assert!(!message.contains("hidden"), "{message}");
    }
}

#[test]
fn bodies_of_every_size_go_through() {
    let proxy = Server::start(|connection| {
        while let Some(request) = connection.request() {
            let body = request.body;
            let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
            let text = format!("{} {sum}", body.len());
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
            connection.write((head + &text).as_bytes());
        }
    });
    let mut client = client(&proxy, "http", "");
    for size in [
        0,
        1,
        8_000,
        16_300,
        16_340,
        16_384,
        16_385,
        100_000,
        1 << 20,
        1,
    ] {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
        let answer = client.post(&body).unwrap();
        assert_eq!(answer.body, format!("{size} {sum}").into_bytes());
    }
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_proxy_that_drips_is_given_up() {
    let short = Duration::from_millis(200);
    let proxy = Server::start(move |connection| {
        connection.request().unwrap();
        drip(connection, b"HTTP/1.1 200 OK\r\nx: ", b"x", short / 20);
    });
    let mut client = Client::of(target(&proxy, "https", "").connect_timeout(short));
    let began = Instant::now();
    let (kind, message) = client.error();
    assert!(began.elapsed() >= short);
    assert_eq!(kind, TransportErrorKind::Timeout, "{message}");
    assert_eq!(message, "no connection within timeoutMsec");
}

#[test]
fn a_malformed_answer_of_the_proxy_is_blamed_on_the_proxy() {
    let headers = "a: b\r\n".repeat(30);
    for (bytes, blamed) in [
        ("SSH-2.0-x\r\n\r\n".to_owned(), "the proxy"),
        (format!("HTTP/1.1 200 OK\r\n{headers}\r\n"), "the proxy"),
        // What follows the proxy's answer comes from the receiver.
        (
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 Early\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "TLS: ",
        ),
    ] {
        let proxy = Server::start(move |connection| {
            connection.request().unwrap();
            connection.write(bytes.as_bytes());
            connection.wait_for_end();
        });
        let (kind, message) = client(&proxy, "https", "").error();
        assert_eq!(kind, TransportErrorKind::Connect, "{message}");
        assert!(message.starts_with(blamed), "{message}");
    }
}
