//! OAuth 2.0 client credentials of a target, against a token endpoint that misbehaves on demand.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{Admin, Ended, Folder, Launch, Receiver, Reply, Request, Server, Signal, event};

const SECRET: &str = "s3cr3t/of the+client";
/// `reports%3A1:s3cr3t%2Fof+the%2Bclient` in base64.
const CREDENTIALS: &str = "Basic cmVwb3J0cyUzQTE6czNjcjN0JTJGb2YrdGhlJTJCY2xpZW50";

/// A configuration whose target gets its tokens there.
fn config(receiver: &Receiver, token_url: &str) -> Value {
    let mut config = reliable(&receiver.url());
    config["oauth2"] = json!({
        "tokenURL": token_url,
        "clientId": "reports:1",
        "clientSecret": SECRET,
        "scopes": ["events:write", "b"],
    });
    config["retry"] = json!({ "initialMsec": 1, "maxMsec": 1 });
    config
}

fn token(name: &str, more: &str) -> Reply {
    let body = format!(r#"{{"access_token":"{name}","token_type":"bearer"{more}}}"#);
    Reply::status(200).body(body)
}

/// A token endpoint that gives `token-0`, `token-1` and so on.
fn endpoint() -> Receiver {
    Receiver::start(|request| token(&format!("token-{}", request.number), ",\"expires_in\":3600"))
}

fn run(folder: &Folder, config: &Value, input: impl Into<Vec<u8>>) -> Ended {
    Launch::with_config(&folder.config(config)).run(input)
}

/// Events of so many tasks.
fn events(count: usize) -> String {
    (0..count)
        .map(|number| line(&format!("task-{number}"), 1))
        .collect()
}

fn line(task: &str, number: usize) -> String {
    event(task, number) + "\n"
}

fn tokens(requests: &[Request]) -> Vec<String> {
    requests
        .iter()
        .map(|it| it.header("authorization"))
        .collect()
}

#[test]
fn all_senders_of_a_target_share_one_token_and_no_other_host_gets_it() {
    let endpoint = endpoint();
    let (receiver, other) = (
        Receiver::always(Reply::status(200)),
        Receiver::always(Reply::status(200)),
    );
    let folder = Folder::new();
    let mut first = config(&receiver, &format!("{}oauth2/token", endpoint.url()));
    first["name"] = json!("first");
    let mut second = reliable(&other.url());
    second["name"] = json!("second");
    let config = json!({ "targets": [first, second] });
    let _ended = run(&folder, &config, events(100)).expect_code(0);
    let asked = endpoint.requests();
    assert_eq!(asked.len(), 1, "one token for all senders");
    assert_eq!(asked[0].line(), "POST /oauth2/token HTTP/1.1");
    assert_eq!(asked[0].header("authorization"), CREDENTIALS);
    assert_eq!(
        asked[0].header("content-type"),
        "application/x-www-form-urlencoded"
    );
    assert_eq!(
        String::from_utf8_lossy(&asked[0].body),
        "grant_type=client_credentials&scope=events%3Awrite+b"
    );
    let sent = tokens(&receiver.wait_for_requests(100));
    assert!(sent.iter().all(|it| it == "Bearer token-0"), "{sent:?}");
    for request in other.wait_for_requests(100) {
        assert!(request.headers("authorization").is_empty());
    }
}

#[test]
fn a_request_that_is_answered_401_is_repeated_once_with_another_token() {
    let endpoint = endpoint();
    // The first token is revoked after its first request.
    let receiver = Receiver::start(|request| match request.number {
        0 => Reply::status(200),
        _ if request.header("authorization") == "Bearer token-0" => Reply::status(401),
        _ => Reply::status(200),
    });
    let folder = Folder::new();
    let config = config(&receiver, &endpoint.url());
    let input = line("a", 1) + &line("a", 2);
    let ended = run(&folder, &config, input).expect_code(0);
    let sent = receiver.requests();
    let expected = ["Bearer token-0", "Bearer token-0", "Bearer token-1"];
    assert_eq!(tokens(&sent), expected);
    assert_eq!(sent[1].body, sent[2].body);
    assert_eq!(
        sent[1].header("webhook-attempt"),
        sent[2].header("webhook-attempt")
    );
    assert_eq!(ended.summary().outcomes(), "2xx 2");
    assert_eq!(endpoint.requests().len(), 2);
}

#[test]
fn a_receiver_that_refuses_every_token_gets_each_attempt_twice_at_most() {
    let endpoint = endpoint();
    let receiver = Receiver::always(Reply::status(401));
    let folder = Folder::new();
    let mut config = config(&receiver, &endpoint.url());
    config["retry"]["maxAttempts"] = json!(3);
    let _ended = run(&folder, &config, event("a", 1)).expect_code(1);
    let (sent, asked) = (receiver.requests().len(), endpoint.requests().len());
    assert!((4..=6).contains(&sent), "{sent} requests for 3 attempts");
    assert!((2..=4).contains(&asked), "{asked} tokens for 3 attempts");
}

#[test]
fn a_token_is_renewed_before_its_end_and_kept_without_one() {
    // A token of no time is renewed for each attempt.
    let ending = Receiver::start(|request| {
        token(
            &format!("token-{}", request.number),
            ",\"expires_in\":\"0\"",
        )
    });
    let lasting = Receiver::start(|request| token(&format!("token-{}", request.number), ""));
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let input = line("a", 1) + &line("a", 2) + &line("a", 3);
    let _ended = run(&folder, &config(&receiver, &ending.url()), input.clone()).expect_code(0);
    let _ended = run(&folder, &config(&receiver, &lasting.url()), input).expect_code(0);
    let sent = tokens(&receiver.requests());
    let number = |number: usize| format!("Bearer token-{number}");
    let expected = [0, 1, 2, 0, 0, 0].map(number);
    assert_eq!(sent, expected);
}

#[test]
fn a_failing_token_endpoint_is_its_targets_trouble_alone() {
    let failing = Receiver::start(|request| match request.number {
        0 => Reply::status(401).body(
            r#"{"error":"invalid_client","error_description":"no client s3cr3t/of the+client"}"#,
        ),
        1 => Reply::status(302).header("Location", "http://127.0.0.1:9/"),
        2 => Reply::status(200).body(vec![b'x'; 1 << 20]),
        3 => Reply::status(200).body(r#"{"access_token":"a b"}"#),
        4 => Reply::status(200).body(r#"{"access_token":"a","token_type":"mac"}"#),
        5 => Reply::reset(),
        6 => Reply::raw("garbage"),
        _ => token("good", ""),
    });
    let (receiver, other) = (
        Receiver::always(Reply::status(200)),
        Receiver::always(Reply::status(200)),
    );
    let folder = Folder::new();
    let mut first = config(&receiver, &failing.url());
    first["name"] = json!("first");
    let mut second = reliable(&other.url());
    second["name"] = json!("second");
    let config = json!({ "targets": [first, second] });
    let process = Launch::with_config(&folder.config(&config))
        .args(["--listen", "127.0.0.1:0", "--admin", "0", "--grace", "1s"])
        .spawn();
    let (url, admin) = (process.listens(), Admin::of(&process));
    testkit::post(&url, &[], event("a", 1)).expect_status(200);
    other.wait_for_requests(1);
    assert_eq!(tokens(&receiver.wait_for_requests(1)), ["Bearer good"]);
    receiver.wait_for_done(1);
    admin.wait_for("first", "delivered", 1);
    let page = admin.get("/api/v1/targets/first/attempts?outcome=token");
    let mut errors: Vec<&str> = page["attempts"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["error"].as_str())
        .collect();
    errors.reverse();
    let start = format!(
        "no access token from the token endpoint {}: ",
        failing.url()
    );
    let expected = [
        "it answered 401: invalid_client: no client ***",
        "it answered 302, a redirect, which is not followed",
        "it answered 200, but the response was cut off or is longer than 64 KiB",
        "it answered 200 with an `access_token` that no header can carry",
        "it answered 200 with a `token_type` other than Bearer",
    ];
    for (error, expected) in errors.iter().zip(expected) {
        assert_eq!(error.strip_prefix(&*start), Some(expected), "{error}");
    }
    assert_eq!(errors.len(), 7, "{errors:#?}");
    let metrics = admin.text("/metrics");
    assert!(
        metrics.contains("webhookd_attempts_total{target=\"first\",outcome=\"token\"} 7\n"),
        "{metrics}"
    );
}

#[test]
fn a_failure_of_tls_is_the_token_endpoints_and_not_the_receivers() {
    let endpoint = Server::start(|connection| {
        connection.write(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        connection.wait_for_end();
    });
    let receiver = Receiver::always(Reply::status(200));
    let url = endpoint.url().replace("http://", "https://");
    let folder = Folder::new();
    let config = folder.config(&config(&receiver, &url));
    let event = folder.write("event.json", event("a", 1));
    let send = Launch::new().arg("send").arg(event);
    let ended = send.arg("--webhook-config").arg(config).run("");
    let shown = String::from_utf8_lossy(&ended.expect_code(1).stdout).into_owned();
    let told = format!(
        "no access token from the token endpoint {url}: TLS: the server does not speak TLS on this port"
    );
    assert!(shown.contains(&told), "{shown}");
    assert!(!shown.contains("the receiver"), "{shown}");
}

#[test]
fn a_retry_after_of_the_token_endpoint_holds_the_target() {
    let endpoint = Receiver::always(Reply::status(429).header("Retry-After", "1800.5"));
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = config(&receiver, &endpoint.url());
    config["retry"]["maxMsec"] = json!(3_600_000);
    let mut process = Launch::with_config(&folder.config(&config))
        .args(["--grace", "0s", "--admin", "0"])
        .spawn();
    let admin = Admin::of(&process);
    process.write(event("a", 1) + "\n");
    admin.wait_for("default", "waitingTasks", 1);
    let targets = admin.get("/api/v1/targets");
    let target = &targets["targets"][0];
    assert_eq!(target["state"], "held", "{target}");
    assert_eq!(target["hold"]["reason"], "retry-after", "{target}");
    let detail = "the token endpoint answered with Retry-After: 1800.5";
    assert_eq!(target["hold"]["detail"], detail, "{target}");
    process.close_input();
    let _ended = process.wait().expect_code(3);
    assert!(receiver.requests().is_empty());
}

#[test]
fn a_token_endpoint_that_never_answers_holds_no_sender_beyond_the_time_out() {
    let silent = Receiver::always(Reply::silence());
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = config(&receiver, &silent.url());
    config["timeoutMsec"] = json!(200);
    config["responseTimeoutMsec"] = json!(200);
    config["retry"]["maxAttempts"] = json!(2);
    // Attempts of many senders, of which one asks, and all others wait.
    let ended = run(&folder, &config, events(20)).expect_code(1);
    assert!(receiver.requests().is_empty());
    let outcomes = ended.summary().outcomes();
    assert!(outcomes.starts_with("token "), "{outcomes}");
}

#[test]
fn a_receiver_that_quotes_its_request_shows_no_token_and_no_secret() {
    let endpoint = Receiver::start(|request| match request.number {
        0 => Reply::status(400).body(format!(
            r#"{{"error":"invalid_request","error_description":"got {}"}}"#,
            request.header("authorization")
        )),
        _ => token("t0ken-of-mine", ""),
    });
    let receiver = Receiver::start(|request| match request.number {
        0 => Reply::status(500).body(format!("got {}", request.header("authorization"))),
        _ => Reply::status(200),
    });
    let folder = Folder::new();
    let path = folder.config(&config(&receiver, &endpoint.url()));
    let process = Launch::with_config(&path)
        .args(["--listen", "127.0.0.1:0", "--admin", "0", "--grace", "1s"])
        .spawn();
    let (url, admin) = (process.listens(), Admin::of(&process));
    testkit::post(&url, &[], event("a", 1)).expect_status(200);
    admin.wait_for("default", "delivered", 1);
    let tested = admin.post("/api/v1/targets/default/test", "");
    let shown = [
        admin.text("/api/v1/targets/default/attempts"),
        admin.text("/api/v1/config"),
        admin.text("/api/v1/targets"),
        String::from_utf8_lossy(&tested.expect_status(200).body).into_owned(),
        {
            process.signal(Signal::TERM);
            process.wait().expect_code(0).stderr
        },
    ]
    .join("\n");
    assert!(shown.contains("got ***"), "{shown}");
    assert!(shown.contains("Bearer ***"), "{shown}");
    for secret in [
        "t0ken-of-mine",
        SECRET,
        "s3cr3t",
        CREDENTIALS,
        &CREDENTIALS[6..],
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn a_test_delivery_shows_no_secret_that_the_token_endpoint_quotes() {
    let error = json!({
        "error": "invalid_client",
        "error_description": format!("no client {SECRET}"),
    });
    let endpoint = Receiver::always(Reply::status(400).body(error.to_string()));
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let path = folder.config(&config(&receiver, &endpoint.url()));
    let event = folder.write("event.json", event("a", 1));
    let send = Launch::new().arg("send").arg(event);
    let ended = send
        .arg("--webhook-config")
        .arg(path)
        .run("")
        .expect_code(1);
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned() + &ended.stderr;
    assert!(shown.contains("no response: no access token"), "{shown}");
    assert!(shown.contains("no client ***"), "{shown}");
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn a_stop_during_the_response_of_the_token_endpoint_fails_no_attempt() {
    // The head comes, and the body does not.
    let endpoint = Receiver::start(|request| match request.number {
        0 => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{").then_stall(),
        _ => token("good", ""),
    });
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = config(&receiver, &endpoint.url());
    config["retry"]["maxAttempts"] = json!(1);
    let process = Launch::with_config(&folder.config(&config))
        .args(["--listen", "127.0.0.1:0", "--grace", "300ms"])
        .spawn();
    testkit::post(&process.listens(), &[], event("a", 1)).expect_status(200);
    endpoint.wait_for_requests(1);
    process.signal(Signal::TERM);
    let ended = process.wait().expect_code(3);
    assert!(!ended.stderr.contains("dead letter ("), "{}", ended.stderr);
    let _ended = run(&folder, &config, "").expect_code(0);
    assert_eq!(tokens(&receiver.requests()), ["Bearer good"]);
}

#[test]
fn a_reload_with_another_secret_drops_the_token() {
    let asked = AtomicUsize::new(0);
    let endpoint = Receiver::start(move |_| {
        token(
            &format!("token-{}", asked.fetch_add(1, Ordering::SeqCst)),
            "",
        )
    });
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = config(&receiver, &endpoint.url());
    folder.write("secret", "first\n");
    config["oauth2"]["clientSecret"] = json!({ "file": "secret" });
    let process = Launch::with_config(&folder.config(&config))
        .args(["--listen", "127.0.0.1:0", "--admin", "0", "--grace", "1s"])
        .spawn();
    let (url, admin) = (process.listens(), Admin::of(&process));
    testkit::post(&url, &[], event("a", 1)).expect_status(200);
    receiver.wait_for_requests(1);
    admin.post("/api/v1/reload", "").expect_status(200);
    testkit::post(&url, &[], event("a", 2)).expect_status(200);
    receiver.wait_for_requests(2);
    folder.write("secret", "second\n");
    admin.post("/api/v1/reload", "").expect_status(200);
    testkit::post(&url, &[], event("a", 3)).expect_status(200);
    let sent = tokens(&receiver.wait_for_requests(3));
    assert_eq!(sent, ["Bearer token-0", "Bearer token-0", "Bearer token-1"]);
}
