//! Through a proxy: a tunnel, by CONNECT.

use crate::peer::{Client, OK, Peer};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use webhook_config::{ProxyUrl, Target, TargetUrl};
use webhook_dispatch::TransportErrorKind;

/// A client of a target that exists behind the proxy alone.
fn client(proxy: &Peer, userinfo: &str) -> Client {
    let url = proxy
        .url("http")
        .replace("http://", &format!("http://{userinfo}"));
    let url = ProxyUrl::parse(url.trim_end_matches('/')).unwrap();
    let target = TargetUrl::parse("http://behind.invalid:8080/hook").unwrap();
    Client::of(Target::builder(target).proxy(Some(url)))
}

#[test]
fn a_tunnel_is_made_once_and_used_for_each_request() {
    let (heard, hears) = channel();
    let heard = Mutex::new(heard);
    let proxy = Peer::start(move |_, connection| {
        let say = |text: String| heard.lock().unwrap().send(text).unwrap();
        say(connection.head().unwrap());
        connection.write(b"HTTP/1.1 200 Connection established\r\n\r\n");
        while let Some((head, body)) = connection.request() {
            say(format!("{head}{}", String::from_utf8(body).unwrap()));
            connection.write(OK);
        }
    });
    let mut client = client(&proxy, "user:pass%20word@");
    assert_eq!((client.status(), client.status()), (200, 200));
    let tunnel = hears.recv().unwrap();
    assert!(tunnel.starts_with("CONNECT behind.invalid:8080 HTTP/1.1\r\n"));
    // base64 of "user:pass word"
    let credentials = "Proxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=\r\n";
    assert!(tunnel.contains(credentials), "{tunnel}");
    for _ in 0..2 {
        let request = hears.recv().unwrap();
        assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
        assert!(!request.to_lowercase().contains("proxy-"), "{request}");
        assert!(request.ends_with("\r\n\r\nbody"), "{request}");
    }
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_proxy_that_refuses_is_no_connection_and_its_password_is_not_told() {
    for answer in [
        "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\n\r\n",
        "",
    ] {
        let proxy = Peer::start(move |_, connection| {
            connection.head().unwrap();
            connection.write(answer.as_bytes());
        });
        let (kind, message) = client(&proxy, "user:hidden@").error();
        assert_eq!(kind, TransportErrorKind::Connect, "{message}");
        assert!(message.starts_with("the proxy refused: "), "{message}");
        assert!(!message.contains("hidden"), "{message}");
    }
}
