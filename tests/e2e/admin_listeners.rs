//! The admin API over TLS, and on a Unix socket at a path.

use crate::durable::reliable;
use crate::tls::Authority;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use testkit::{Answer, Folder, Launch, Messages, Receiver, Reply, Signal, has_curl};

/// The status of a GET by curl, which trusts this authority alone; `None` without an answer.
fn get(url: &str, authority: &str) -> Option<String> {
    let output = Command::new("curl")
        .args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{ssl_verify_result}",
        ])
        .args(["--cacert", authority, url])
        .output()
        .expect("it starts");
    let said = String::from_utf8(output.stdout).expect("it is text");
    output.status.success().then_some(said)
}

#[test]
fn the_admin_api_is_served_over_tls_with_a_certificate_that_a_reload_reads_again() {
    if !has_curl() {
        return;
    }
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let (old, new) = (Authority::new(), Authority::new());
    let copy = |from: &Authority| {
        from.issue_for_hosts("server", &["127.0.0.1"]);
        for file in ["server.pem", "server-key.pem"] {
            let text = std::fs::read_to_string(from.path(file)).expect("it is there");
            folder.write(file, text);
        }
    };
    copy(&old);
    let launch = || {
        Launch::with_config(&config)
            .args(["--listen", "127.0.0.1:0", "--admin", "0"])
            .arg("--admin-tls-cert")
            .arg(folder.path().join("server.pem"))
            .arg("--admin-tls-key")
            .arg(folder.path().join("server-key.pem"))
    };
    let process = launch().spawn();
    let url = process.told_url("the admin API listens on ");
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let status = format!("{url}api/v1/status");
    let (ca, other) = (old.path("ca.pem"), new.path("ca.pem"));
    assert_eq!(get(&status, &ca).as_deref(), Some("200 0"));
    assert_eq!(get(&status, &other), None);
    assert_eq!(get(&status.replace("https", "http"), &ca), None);

    // A key of another certificate changes nothing.
    let key = std::fs::read_to_string(folder.path().join("server-key.pem")).expect("it is there");
    copy(&new);
    let right = std::fs::read_to_string(folder.path().join("server-key.pem")).expect("it is there");
    folder.write("server-key.pem", key);
    process.signal(Signal::HUP);
    process.wait_for_error("the certificate of --admin");
    assert_eq!(get(&status, &ca).as_deref(), Some("200 0"));
    folder.write("server-key.pem", right);
    process.signal(Signal::HUP);
    process.wait_for_error("configuration reloaded");
    assert_eq!(get(&status, &other).as_deref(), Some("200 0"));
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);

    folder.write("server.pem", "nothing");
    let ended = launch().run("").expect_code(2);
    let said = "holds no certificate in PEM";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}

#[test]
fn commands_reach_the_admin_api_over_tls_if_they_trust_its_authority() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let (own, other) = (Authority::new(), Authority::new());
    own.issue_for_hosts("server", &["127.0.0.1"]);
    let token = folder.write("token", "sesame\n");
    let process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .arg("--admin-token-file")
        .arg(&token)
        .args(["--admin-tls-cert", &own.path("server.pem")])
        .args(["--admin-tls-key", &own.path("server-key.pem")])
        .spawn();
    let url = process.told_url("the admin API listens on ");
    let list = |url: &str, more: &[&str]| {
        let launch = Launch::new().args(["targets", "list", "--admin", url]);
        launch
            .arg("--admin-token-file")
            .arg(&token)
            .args(more)
            .run("")
    };
    let (ca, foreign) = (own.path("ca.pem"), other.path("ca.pem"));
    let listed = list(&url, &["--admin-ca-file", &ca]).expect_code(0);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("reliable"), "{listed}");
    let localhost = url.replace("127.0.0.1", "localhost");
    for (url, more, said) in [
        (
            url.as_str(),
            &["--admin-ca-file", foreign.as_str()][..],
            "invalid peer certificate",
        ),
        (&localhost, &["--admin-ca-file", &ca], "not valid for name"),
        (&url, &[], "--admin-ca-file FILE"),
        (
            &url.replace("https", "http"),
            &["--admin-ca-file", &ca],
            "https://HOST:PORT",
        ),
        (
            &url,
            &["--admin-ca-file", token.to_str().expect("a text")],
            "no certificate in PEM",
        ),
    ] {
        let ended = list(url, more);
        assert!(
            !ended.status.success() && ended.stderr.contains(said),
            "{said} in {}",
            ended.stderr
        );
    }
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
}

#[test]
fn the_admin_api_is_served_on_a_unix_socket_at_a_path() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let path = folder.path().join("api.sock");
    let address = format!("unix:{}", path.display());
    let launch = |queue: &str| {
        Launch::with_config(&config)
            .args(["--listen", "127.0.0.1:0", "--admin", &address])
            .args(["--queue", queue])
    };
    let process = launch("one").spawn();
    process.wait_for_error(&format!("the admin API listens on {address}"));
    let mode = std::fs::metadata(&path).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    for (host, status) in [("localhost", 200), ("evil.example.com", 403)] {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        let request = format!("GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let answer = Answer::read(&mut Messages::new(stream)).expect("it answers");
        assert_eq!(answer.status, status);
    }
    let targets = Launch::new().args(["targets", "list", "--admin", &address]);
    let _listed = targets.run("").expect_code(0);
    // Another process takes the socket from none that listens.
    let second = launch("two").run("").expect_code(75);
    assert!(
        second.stderr.contains("another process listens on"),
        "{}",
        second.stderr
    );
    process.signal(Signal::KILL);
    drop(process.wait());
    let process = launch("one").spawn();
    process.wait_for_error(&format!("the admin API listens on {address}"));
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);

    std::fs::remove_file(&path).expect("it is there");
    folder.write("api.sock", "precious");
    let ended = launch("one").run("").expect_code(2);
    assert!(ended.stderr.contains("is not a socket"), "{}", ended.stderr);
    assert_eq!(std::fs::read(&path).expect("it is there"), b"precious");
}
