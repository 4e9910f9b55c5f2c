//! Which requests the admin API and the ingest accept, and how a rejected one is logged.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use testkit::{
    Admin, Client, Folder, Launch, Process, Receiver, Reply, Signal, event, post, post_bytes,
    task_of,
};

const JSON: &str = "Content-Type: application/json";
const LINES: &str = "Content-Type: application/x-ndjson";

fn config(url: &str) -> Value {
    json!({ "headers": {}, "targetURL": url, "timeoutMsec": 30_000 })
}

fn listening(config: &Path, tokens: &Path) -> Process {
    Launch::with_config(config)
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .arg("--listen-token-file")
        .arg(tokens)
        .spawn()
}

fn end(process: Process) -> String {
    end_with(process, 0)
}

fn end_with(process: Process, code: i32) -> String {
    process.signal(Signal::TERM);
    process.wait().expect_code(code).stderr
}

#[test]
fn what_is_refused_over_http_is_counted_and_told_and_does_not_end_a_run_badly() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let tokens = folder.write("tokens", "sesame\n");
    let process = listening(&folder.config(&config(&receiver.url())), &tokens);
    let (url, admin) = (process.listens(), Admin::of(&process));
    let shown = "Authorization: Bearer sesame";
    assert_eq!(post(&url, &[JSON], event("one", 1)).status, 401);
    assert_eq!(post(&url, &[JSON, shown], "{").status, 400);
    let lines = format!("{}\n{{}}\n", event("one", 2));
    assert_eq!(post(&url, &[LINES, shown], lines).status, 207);
    let metrics = admin.text("/metrics");
    for count in ["rejected_total 2", "unauthorized_total 1"] {
        let line = format!("\nwebhookd_intake_{count}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    let said = end(process);
    for what in [
        "rejected over HTTP: 400 Bad Request: ",
        "rejected over HTTP: line 2: not a task state change: ",
        "unauthorized over HTTP: no valid token or signature ",
    ] {
        let mut lines = said.lines().filter(|line| line.contains(what));
        let line = lines
            .next_back()
            .unwrap_or_else(|| panic!("{what} in {said}"));
        assert!(line.contains("(from 127.0.0.1:"), "{line}");
    }
    assert!(!said.contains("401"), "{said}");
    assert!(!said.contains("sesame"), "{said}");
}

#[test]
fn the_line_before_which_reading_stops_is_counted_and_logged() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = Launch::with_config(&folder.config(&config(&receiver.url())))
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .args(["--body-timeout", "200ms"])
        .spawn();
    let (url, admin) = (process.listens(), Admin::of(&process));
    let lines = format!("{}\n{}", event("one", 1), event("two", 2));
    let request = post_bytes(&[LINES], lines);
    let mut client = Client::connect(&url).expect("it listens");
    client
        .send(&request[..request.len() - 1])
        .expect("it reads");
    let answer = client.answer().expect("it answers").expect_status(408);
    assert_eq!(answer.json()["accepted"], 1);
    assert_eq!(admin.get("/api/v1/status")["intake"]["rejected"], 1);
    let said = end(process);
    let what = "rejected over HTTP: line 2: the body did not arrive in time";
    assert!(said.contains(what), "{said}");
}

#[test]
fn a_probe_without_a_token_is_no_rejected_input() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let secrets = folder.write("secrets", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n");
    let config = folder.config(&config(&receiver.url()));
    let process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .arg("--listen-secret-file")
        .arg(&secrets)
        .spawn();
    let (url, admin) = (process.listens(), Admin::of(&process));
    assert_eq!(post(&url, &[JSON], event("one", 1)).status, 401);
    let mut client = Client::connect(&url).expect("it listens");
    client
        .send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("it reads");
    assert_eq!(client.answer().expect("it is answered").status, 404);
    let intake = admin.get("/api/v1/status")["intake"].take();
    assert_eq!(
        (&intake["rejected"], &intake["unauthorized"]),
        (&json!(0), &json!(1))
    );
    let said = end(process);
    assert!(!said.contains("rejected over HTTP"), "{said}");
}

#[test]
fn what_a_client_or_an_event_says_is_cut_in_log_lines() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&config(&receiver.url()));
    let mut process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--events", "-"])
        .spawn();
    let url = process.listens();
    let long = "x".repeat(10_000);
    let broken = event(&long, 1).replace("RUNNING", "RUNNING\"\"");
    let kind = format!("Content-Type: {long}");
    post(&url, &[&kind], event("one", 1)).expect_status(415);
    post(&url, &[JSON], &broken).expect_status(400);
    post(&url, &[LINES], &broken).expect_status(400);
    process.write(broken + "\n");
    let number = event("two", 2).replace("\"two\"", &"7".repeat(10_000));
    process.write(number + "\n");
    process.write(event("three", 3) + "\n");
    receiver.wait_for_done(1);
    let said = end_with(process, 1);
    for line in said.lines() {
        assert!(line.len() < 1_000, "{line}");
    }
    for what in ["415", "400", "line 1: ", "line 2: not a task"] {
        assert!(said.contains(what), "{what} in {said}");
    }
}

#[test]
fn a_web_page_of_another_site_sends_no_event() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&config(&receiver.url()));
    let process = Launch::with_config(&config)
        .args([
            "--listen",
            "127.0.0.1:0",
            "--listen-host",
            "hooks.example.com",
        ])
        .spawn();
    let url = process.listens();
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let own = format!("Origin: http://{host}");
    for (number, (host, header, status)) in [
        (host, "X: 1", 200),
        (host, own.as_str(), 200),
        ("localhost", "Sec-Fetch-Site: same-origin", 200),
        ("hooks.example.com", "X: 1", 200),
        ("10.0.0.7:8080", "X: 1", 200),
        (host, "Origin: http://evil.example.com", 403),
        (host, "Origin: null", 403),
        (host, "Sec-Fetch-Site: cross-site", 403),
        ("evil.example.com", "X: 1", 403),
    ]
    .into_iter()
    .enumerate()
    {
        let body = event("one", number);
        let mut client = Client::connect(&url).expect("it listens");
        let length = body.len();
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\n{header}\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .expect("it reads");
        let answer = client.answer().expect("it is answered");
        assert_eq!(answer.status, status, "{host} {header}");
    }
    let said = end(process);
    assert!(
        said.contains("403 Forbidden") && said.contains("(from 127.0.0.1:"),
        "{said}"
    );
    assert_eq!(receiver.requests().len(), 5);
}

#[test]
fn latin_1_is_delivered_in_utf_8() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&config(&receiver.url()));
    let named = "Content-Type: application/json; charset=ISO-8859-1";
    let text = event("caf\u{e9}", 1);
    let latin1: Vec<u8> = text.chars().map(|it| it as u8).collect();
    let launch = || Launch::with_config(&config).args(["--listen", "127.0.0.1:0"]);
    let process = launch().spawn();
    let url = process.listens();
    let answer = post(&url, &[named], &latin1).expect_status(200);
    let header = answer.header("webhookd-transcoded-from");
    assert_eq!(header, Some("ISO-8859-1"));
    post(&url, &[JSON], &latin1).expect_status(400);
    // Aurora's webhook does not name the charset.
    let kafka = "Content-Type: application/vnd.kafka.json.v1+json";
    let aurora = [kafka, "Timestamp: 1500000000000"];
    for body in [&latin1[..], text.as_bytes()] {
        post(&url, &aurora, body).expect_status(200);
    }
    let lines = "Content-Type: application/x-ndjson; charset=ISO-8859-1";
    // Each character takes two bytes in UTF-8, and maxEventBytes is a mebibyte.
    for (length, status) in [(500_000, 200), (600_000, 413)] {
        let mut body = event("long", length).into_bytes();
        let end = body.pop().expect("it is not empty");
        body.extend_from_slice(b",\"padding\":\"");
        body.resize(body.len() + length, 0xe9);
        body.extend_from_slice(&[b'"', end]);
        for headers in [named, lines] {
            post(&url, &[headers], &body).expect_status(status);
        }
    }
    let other = "Content-Type: application/json; charset=utf-16";
    post(&url, &[other], &text).expect_status(415);
    end(process);
    let process = launch().arg("--latin1").spawn();
    let url = process.listens();
    for headers in [JSON, LINES] {
        post(&url, &[headers], &latin1).expect_status(200);
        post(&url, &[headers], &text).expect_status(200);
    }
    end(process);
    let (long, bodies): (Vec<_>, Vec<_>) = receiver
        .bodies()
        .into_iter()
        .partition(|body| task_of(body) == "long");
    for body in &long {
        let padding = String::from_utf8_lossy(body).matches('\u{e9}').count();
        assert_eq!(padding, 500_000);
    }
    assert_eq!(long.len(), 2);
    assert_eq!(bodies, vec![text.into_bytes(); 7]);
}

#[test]
fn a_reload_exchanges_a_token_or_says_that_it_did_not() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let tokens = folder.write("tokens", "old\n");
    let process = listening(&folder.config(&config(&receiver.url())), &tokens);
    let (url, admin) = (process.listens(), Admin::of(&process));
    let status = |token: &str| {
        let shown = format!("Authorization: Bearer {token}");
        post(&url, &[JSON, &shown], event("one", 1)).status
    };
    folder.write("tokens", "new\n");
    assert_eq!(admin.post("/api/v1/reload", "").status, 200);
    assert_eq!((status("old"), status("new")), (401, 200));
    folder.write("tokens", "");
    let answer = admin.post("/api/v1/reload", "");
    assert_eq!(answer.status, 422, "{answer:?}");
    let metrics = admin.text("/metrics");
    let failed = "\nwebhookd_config_last_reload_successful 0\n";
    assert!(metrics.contains(failed), "{metrics}");
    assert_eq!((status("old"), status("new")), (401, 200));
    end(process);
}

#[test]
fn a_socket_that_another_program_made_requires_the_token_as_well() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&config(&receiver.url()));
    let token = folder.write("token", "hush\n");
    let path = folder.path().join("passed.sock");
    let socket = UnixListener::bind(&path).expect("a socket can be made");
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0 0</dev/null";
    let mut process = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(testkit::webhookd())
        .arg("--webhook-config")
        .arg(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "systemd"])
        .arg("--admin-token-file")
        .arg(&token)
        .env("LISTEN_FDNAMES", "admin")
        .current_dir(folder.path())
        .stdin(OwnedFd::from(socket))
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("there is a shell");
    let status = |header: &str| {
        let mut peer = UnixStream::connect(&path).expect("it listens");
        let request = format!(
            "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n"
        );
        peer.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        peer.read_to_string(&mut answer).expect("it answers");
        answer.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(status(""), "HTTP/1.1 401 Unauthorized");
    assert_eq!(status("Authorization: Bearer hush\r\n"), "HTTP/1.1 200 OK");
    process.kill().expect("it runs");
    process.wait().expect("it ends");
}

#[test]
fn the_read_only_token_reads_all_and_changes_nothing_and_each_attempt_is_logged() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&config(&receiver.url()));
    let (write, read) = (
        folder.write("write", "sesame\n"),
        folder.write("read", "peep\n"),
    );
    let launch = || Launch::with_config(&config).args(["--listen", "127.0.0.1:0", "--admin", "0"]);
    let process = launch()
        .arg("--admin-token-file")
        .arg(&write)
        .arg("--admin-readonly-token-file")
        .arg(&read)
        .spawn();
    let admin = Admin::of(&process);
    let (writer, reader) = ("Authorization: Bearer sesame", "Authorization: Bearer peep");
    for (header, access) in [(writer, "write"), (reader, "read")] {
        let answer = admin.ask("GET", "/api/v1/session", &[header], "");
        assert_eq!(
            answer.expect_status(200).json(),
            json!({ "access": access })
        );
        admin
            .ask("GET", "/metrics", &[header], "")
            .expect_status(200);
    }
    let pause = "/api/v1/targets/default/pause";
    let name = admin.ask("GET", "/api/v1/targets", &[reader], "").json();
    let name = name["targets"][0]["name"].as_str().expect("it has a name");
    let pause = pause.replace("default", name);
    let refused = admin.ask("POST", &pause, &[reader], "").expect_status(403);
    let detail = refused.json()["detail"].take();
    assert!(
        detail.as_str().expect("text").contains("only reads"),
        "{detail}"
    );
    admin.ask("POST", &pause, &[], "").expect_status(401);
    // It finds tasks and checks texts, and is told nothing about the files that they name.
    let json_type = "Content-Type: application/json";
    let find = |header| {
        admin.ask(
            "POST",
            "/api/v1/tasks",
            &[header, json_type],
            r#"{"key":".."}"#,
        )
    };
    assert_eq!(find(reader).expect_status(200).json()["key"], "..");
    find("Authorization: Bearer wrong").expect_status(401);
    let mut told = Vec::new();
    for (name, exists) in [("write", true), ("missing", false)] {
        let mut target = self::config("http://127.0.0.1:1/");
        target["headers"] = json!({ "Authorization": { "file": name } });
        let check = |header| {
            let path = "/api/v1/config/validate";
            admin
                .ask("POST", path, &[header], &target.to_string())
                .expect_status(200)
                .json()
        };
        let blind = check(reader);
        assert_eq!(
            (&blind["valid"], &blind["secretsRead"]),
            (&json!(true), &json!(false))
        );
        told.push(blind.to_string().replace(name, "NAME"));
        let seeing = check(writer);
        assert_eq!(
            (&seeing["valid"], &seeing["secretsRead"]),
            (&json!(exists), &json!(true))
        );
        assert!(!seeing.to_string().contains("sesame"), "{seeing}");
    }
    assert_eq!(told[0], told[1]);
    let foreign = "Sec-Fetch-Site: same-site";
    admin
        .ask("POST", &pause, &[writer, foreign], "")
        .expect_status(403);
    admin
        .ask("GET", "/api/v1/session", &[writer, foreign], "")
        .expect_status(200);
    let paused =
        || admin.ask("GET", "/api/v1/targets", &[reader], "").json()["targets"][0]["paused"].take();
    assert_eq!(paused(), false);
    let own = "Sec-Fetch-Site: same-origin";
    admin
        .ask("POST", &pause, &[writer, own], "")
        .expect_status(204);
    // A token is exchanged while it runs.
    folder.write("read", "gaze\n");
    admin
        .ask("GET", "/metrics", &[reader], "")
        .expect_status(401);
    admin
        .ask("GET", "/metrics", &["Authorization: Bearer gaze"], "")
        .expect_status(200);
    let said = end(process);
    for token in ["sesame", "peep", "gaze"] {
        assert!(!said.contains(token), "{said}");
    }
    let results = |start: &str| -> Vec<String> {
        let start = format!("POST {pause} {start}127.0.0.1:");
        let lines = said.lines().filter(|line| line.contains(&start));
        let result = |line: &str| {
            line.rsplit_once("): ")
                .or_else(|| line.rsplit_once(": "))
                .map(|it| it.1.to_owned())
        };
        lines.filter_map(result).collect()
    };
    assert_eq!(results("by an operator ("), ["204 No Content"], "{said}");
    assert!(
        !said.contains("config/validate by") && !said.contains("tasks by"),
        "{said}"
    );
    let rejected = ["403 Forbidden", "401 Unauthorized", "403 Forbidden"];
    assert_eq!(results("from "), rejected, "{said}");

    folder.write("read", "sesame\n");
    let same = launch()
        .arg("--admin-token-file")
        .arg(&write)
        .arg("--admin-readonly-token-file")
        .arg(&read)
        .run("")
        .expect_code(2);
    assert!(
        same.stderr.contains("hold the same token"),
        "{}",
        same.stderr
    );
    let alone = launch()
        .arg("--admin-readonly-token-file")
        .arg(&read)
        .run("");
    assert!(alone.expect_code(2).stderr.contains("--admin-token-file"));
}

#[test]
fn every_answer_of_the_admin_api_keeps_pages_of_other_origins_out() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&config(&receiver.url()));
    let process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .spawn();
    let admin = Admin::of(&process);
    for (method, path, headers) in [
        ("GET", "/", &[][..]),
        ("GET", "/livez", &[]),
        ("GET", "/metrics", &[]),
        ("GET", "/unknown", &[]),
        ("POST", "/metrics", &[]),
        ("GET", "/metrics", &["Host: evil.example.com"]),
    ] {
        let answer = admin.ask(method, path, headers, "");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(
                answer.header(name),
                Some(value),
                "{method} {path}: {answer:?}"
            );
        }
    }
    end(process);
}
