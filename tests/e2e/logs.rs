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
        // Nor is the start, or what the file is warned of, about an event.
        .filter(|line| line.get("version").is_none())
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
    for (level, said) in [("a=b=c", "--log-level"), ("wran", "did you mean warn?")] {
        for wrong in [
            run(Launch::with_config(&config).args(["--log-level", level])),
            run(Launch::with_config(&config).env("WEBHOOKD_LOG", level)),
        ] {
            assert_eq!(wrong.code, Some(2));
            assert!(wrong.stderr.contains(said), "{}", wrong.stderr);
        }
    }
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

/// The lines of a run whose standard error is a file, with the file's name in `JOURNAL_STREAM` or not.
fn lines_in_a_file(names_the_journal: bool) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let refuses = Receiver::always(Reply::status(422));
    let folder = Folder::new();
    let config = folder.config(&crate::admin::two_targets(&refuses.url(), &refuses.url()));
    let path = folder.write("log", "");
    let file = std::fs::File::options().append(true).open(&path);
    let file = file.expect("it was made");
    let metadata = file.metadata().expect("it is open");
    let journal = match names_the_journal {
        true => format!("{}:{}", metadata.dev(), metadata.ino()),
        false => "1:2".to_owned(),
    };
    let launch = Launch::with_config(&config)
        .env("JOURNAL_STREAM", &journal)
        .error(file);
    let _ended = launch.run(event("one", 1)).expect_code(1);
    let text = std::fs::read_to_string(&path).expect("it is UTF-8");
    text.lines()
        .filter(|line| line.contains("attempt 1"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_line_of_text_has_its_time_unless_the_journal_adds_it() {
    for line in lines_in_a_file(false) {
        let (time, rest) = line.split_at("2026-11-29T12:00:00.000Z ".len());
        let shape = time.replace(|it: char| it.is_ascii_digit(), "0");
        assert_eq!(shape, "0000-00-00T00:00:00.000Z ", "{line}");
        assert!(rest.starts_with("webhookd: target "), "{line}");
    }
    for line in lines_in_a_file(true) {
        assert!(line.starts_with("webhookd: target "), "{line}");
    }
}

#[test]
fn a_task_id_is_cut_in_log_lines() {
    let refuses = Receiver::always(Reply::status(422));
    let folder = Folder::new();
    let config = folder.config(&crate::admin::two_targets(&refuses.url(), &refuses.url()));
    let task = "x".repeat(10_000);
    for format in ["text", "json"] {
        let ended = Launch::with_config(&config)
            .args(["--log-format", format])
            .run(event(&task, 1))
            .expect_code(1);
        assert!(ended.stderr.contains(&task[..256]), "{}", ended.stderr);
        assert!(!ended.stderr.contains(&task[..257]), "{}", ended.stderr);
    }
}

#[test]
fn an_operators_action_names_where_it_came_from() {
    let takes = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&crate::admin::two_targets(&takes.url(), &takes.url()));
    let process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    let letters = r#"{"target":"audit"}"#;
    for (path, body, said) in [
        (
            "targets/audit/pause",
            "",
            "POST /api/v1/targets/audit/pause by an operator (127.0.0.1:",
        ),
        (
            "targets/audit/pause",
            "",
            ", no token required): 204 No Content",
        ),
        (
            "targets/unknown/pause",
            "",
            ", no token required): 404 Not Found",
        ),
        (
            "reload",
            "",
            "configuration reloaded by the admin API (127.0.0.1:",
        ),
        (
            "reload",
            "",
            "POST /api/v1/reload by an operator (127.0.0.1:",
        ),
        (
            "dead-letters/replay",
            letters,
            "200 OK, replayed 0 dead letters of {\"target\":\"audit\"}",
        ),
        (
            "dead-letters/drop",
            letters,
            "200 OK, dropped 0 dead letters of {\"target\":\"audit\"}",
        ),
    ] {
        admin.post(&format!("/api/v1/{path}"), body);
        process.wait_for_error(said);
    }
    let resume = Launch::new()
        .args(["targets", "resume", "audit", "--queue"])
        .arg(folder.path().join("queue"));
    let _ended = resume.run("").expect_code(0);
    process.wait_for_error("POST /api/v1/targets/audit/resume by an operator (process ");
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
}

#[test]
fn the_start_tells_the_version_and_the_backlog_and_the_end_what_it_waits_for() {
    let silent = Receiver::always(Reply::silence());
    let folder = Folder::new();
    let mut target = crate::durable::reliable(&silent.url());
    target["responseTimeoutMsec"] = 3_600_000.into();
    let config = folder.config(&target);
    let mut process = Launch::with_config(&config)
        .args(["--grace", "100ms", "--acks", "-"])
        .spawn();
    process.write(event("one", 1) + "\n" + &event("one", 2) + "\n");
    silent.wait_for_requests(1);
    process.wait_for_error("webhook-queue: pending 0, dead letters 0, ");
    process.wait_for_output("\"line\":2");
    process.close_input();
    process.signal(Signal::TERM);
    let ended = process.wait();
    let owed = ended.summary().count("/owed");
    let said =
        format!("SIGTERM: ending; waiting up to 100ms for deliveries: pending {owed}, in flight 1");
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);

    // A run that reads a file to its end tells of the start only if there is a backlog.
    let events = folder.write("events", "");
    let again = |queue: &str| {
        let launch = Launch::with_config(&config).args(["--grace", "0s", "--queue", queue]);
        launch.arg("--events").arg(&events).run("").stderr
    };
    let version = format!("webhookd {} has started; queue ", env!("CARGO_PKG_VERSION"));
    let told = again("webhook-queue");
    assert!(told.contains(&version), "{told}");
    assert!(
        told.contains(&format!("pending {owed}, dead letters 0, ")),
        "{told}"
    );
    let told = again("empty");
    assert!(!told.contains(&version), "{told}");
}
