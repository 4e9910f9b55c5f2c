//! Logs: a line for trouble, none for success, and no secret anywhere.

use serde_json::{Value, json};
use testkit::{Admin, Folder, Launch, Receiver, Reply, Signal, event, full_pipe};

#[test]
fn an_events_trouble_is_one_line_with_fields_and_its_success_is_none() {
    let refuses = Receiver::always(Reply::status(422));
    let takes = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&crate::admin::two_targets(&refuses.url(), &takes.url()));
    let ended = Launch::with_config(&config)
        .args(["--log-format", "json"])
        .run(event("one", 1) + "\n")
        .expect_code(1);
    let lines: Vec<Value> = ended
        .stderr
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"))
        // The summary is no log line.
        .filter(|line| line.get("delivered").is_none())
        // Nor of an event is what the file is warned of.
        .filter(|line| line.get("file").is_none())
        .collect();
    let [line] = &lines[..] else {
        panic!("{lines:#?}");
    };
    let id = refuses.requests()[0].header("webhook-id").to_string();
    for (field, expected) in [
        ("level", json!("WARN")),
        ("target", json!("audit")),
        ("task", json!("one")),
        ("id", json!(id)),
        ("attempt", json!(1)),
        ("outcome", json!("4xx")),
        ("next_step", json!("dead-letter")),
        ("reason", json!("refused")),
    ] {
        assert_eq!(line[field], expected, "{field} of {line:#}");
    }
}

#[test]
fn the_level_is_heeded_and_a_wrong_one_is_refused() {
    let refuses = Receiver::always(Reply::status(422));
    let folder = Folder::new();
    let config = folder.config(&crate::admin::two_targets(&refuses.url(), &refuses.url()));
    let run = |launch: Launch| launch.run(event("one", 1) + "\n");
    let quiet = run(Launch::with_config(&config).env("WEBHOOKD_LOG", "error"));
    assert!(!quiet.stderr.contains("attempt 1"), "{}", quiet.stderr);
    let usual = run(Launch::with_config(&config));
    assert!(usual.stderr.contains("attempt 1"), "{}", usual.stderr);
    let wrong = run(Launch::with_config(&config).args(["--log-level", "a=b=c"]));
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("--log-level"), "{}", wrong.stderr);
}

#[test]
fn no_secret_and_no_payload_is_told_anywhere() {
    let receiver = Receiver::always(Reply::status(503).body("\u{1b}[2J hidden-answer"));
    let folder = Folder::new();
    let token = folder.write("token", "hidden-file-token");
    let secret = "whsec_aGlkZGVuLXNlY3JldC1oaWRkZW4tc2VjcmV0";
    let url = receiver
        .url()
        .replace("http://", "http://user:hidden-password@");
    let config = folder.config(&json!({
        "targets": [{
            "name": "audit",
            "targetURL": url,
            "headers": {
                "Authorization": "Bearer hidden-header",
                "X-Token": { "file": token },
            },
            "timeoutMsec": 30_000,
            "retry": { "initialMsec": 1, "maxMsec": 1, "maxAttempts": 3 },
            "signing": { "secrets": [secret] },
        }],
        "queue": { "dir": "queue" },
    }));
    let mut process = Launch::with_config(&config)
        .args(["--admin", "0", "--log-level", "trace"])
        .spawn();
    let admin = Admin::of(&process);
    let body = event("one", 1).replace("RUNNING", "RUNNING\",\"x\":\"hidden-body");
    process.write(body + "\n{\"x\":\"hidden-bad-line\n");
    admin.wait_for("audit", "deadHeld", 1);
    let reloaded = admin.post("/api/v1/reload", "");
    let mut told = String::from_utf8(reloaded.body).expect("it is UTF-8");
    for path in [
        "/metrics",
        "/vars",
        "/vars.json",
        "/readyz",
        "/api/v1/status",
        "/api/v1/targets",
        "/api/v1/targets/audit",
        "/api/v1/queue",
        "/api/v1/config",
    ] {
        told.push_str(&admin.text(path));
    }
    process.close_input();
    let ended = process.wait();
    told.push_str(&ended.stderr);
    assert!(ended.stderr.contains("attempt 3"), "{}", ended.stderr);
    for secret in ["hidden", "aGlkZGVu"] {
        let at = told
            .find(secret)
            .map(|at| told[at.saturating_sub(300)..].to_owned());
        assert!(at.is_none(), "{secret}: {at:?}");
    }
    assert!(!told.contains('\u{1b}'), "{told}");
}

#[test]
fn a_standard_error_that_is_not_read_holds_up_no_delivery_no_command_and_no_end() {
    let fails = Receiver::always(Reply::status(503));
    let takes = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = crate::admin::two_targets(&fails.url(), &takes.url());
    config["targets"][0]["retry"] = json!({ "initialMsec": 1, "maxMsec": 1 });
    let config = folder.config(&config);
    let (unread, error) = full_pipe();
    let mut process = Launch::with_config(&config)
        .args(["--grace", "100ms"])
        .error(error)
        .spawn();
    for number in 0..50 {
        process.write(event(&format!("task-{number}"), number) + "\n");
    }
    takes.wait_for_requests(50);
    // Each pause logs a line on a thread that answers requests.
    let queue = folder.path().join("queue");
    for change in ["pause", "resume", "pause", "resume"] {
        let command = Launch::new()
            .args(["targets", change, "other", "--queue"])
            .arg(&queue);
        let _ended = command.run("").expect_code(0);
    }
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code, Some(3));
    drop(unread);
}

#[test]
fn lines_reach_a_standard_error_that_is_read_late() {
    let refuses = Receiver::always(Reply::status(422));
    let folder = Folder::new();
    let config = folder.config(&crate::admin::two_targets(&refuses.url(), &refuses.url()));
    let (mut unread, error) = full_pipe();
    let mut process = Launch::with_config(&config).error(error).spawn();
    process.write(event("one", 1) + "\n");
    refuses.wait_for_requests(2);
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut unread, &mut text).expect("it is UTF-8");
        text
    });
    process.close_input();
    let _ended = process.wait().expect_code(1);
    let text = reader.join().expect("the reader does not panic");
    for expected in ["attempt 1 of evt_", "\"delivered\":0"] {
        assert!(text.contains(expected), "{text}");
    }
}
