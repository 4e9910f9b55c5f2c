//! `/metrics` and `/vars`: what Prometheus and Aurora's tools read.

use crate::admin::two_targets;
use std::io::Write;
use std::process::{Command, Stdio};
use testkit::{Admin, Folder, Launch, Receiver, Reply, event};

/// The value of a sample, named with its labels.
fn value(text: &str, sample: &str) -> f64 {
    let found = text.lines().find_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        (name == sample).then(|| value.parse().expect("it is a number"))
    });
    found.unwrap_or_else(|| panic!("there is no {sample} in\n{text}"))
}

/// What `promtool check metrics` says; nothing, and a loud word, where there is none.
#[expect(clippy::print_stderr, reason = "a test that checks nothing says so")]
fn promtool(text: &str) {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = spawned else {
        eprintln!("THERE IS NO promtool ON THIS MACHINE: /metrics WAS NOT CHECKED BY IT");
        return;
    };
    let mut stdin = promtool.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[test]
fn prometheus_accepts_the_metrics_and_they_add_up() {
    let refuses = Receiver::always(Reply::status(400));
    let takes = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&two_targets(&refuses.url(), &takes.url()));
    let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    promtool(&admin.text("/metrics"));
    process.write(format!(
        "{}\n{}\nno event\n",
        event("one", 1),
        event("two", 2)
    ));
    admin.wait_for("audit", "deadHeld", 2);
    admin.wait_for("other", "delivered", 2);
    while admin.get("/api/v1/status")["intake"]["rejected"] != 1 {
        std::thread::yield_now();
    }
    let answer = admin.ask("GET", "/metrics", &[], "");
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4"));
    let text = admin.text("/metrics");
    promtool(&text);
    for (sample, expected) in [
        ("webhookd_accepted_events_total{target=\"audit\"}", 2.0),
        ("webhookd_delivered_events_total{target=\"other\"}", 2.0),
        (
            "webhookd_attempts_total{target=\"audit\",outcome=\"4xx\"}",
            2.0,
        ),
        (
            "webhookd_dead_letters_total{target=\"audit\",reason=\"refused\"}",
            2.0,
        ),
        ("webhookd_queue_dead_letters{target=\"audit\"}", 2.0),
        ("webhookd_pending_events{target=\"audit\"}", 0.0),
        (
            "webhookd_breaker_state{target=\"audit\",state=\"closed\"}",
            1.0,
        ),
        (
            "webhookd_attempt_duration_seconds_count{target=\"audit\"}",
            2.0,
        ),
        (
            "webhookd_attempt_duration_seconds_bucket{target=\"audit\",le=\"+Inf\"}",
            2.0,
        ),
        (
            "webhookd_attempt_duration_seconds_bucket{target=\"audit\",le=\"3600\"}",
            2.0,
        ),
        ("webhookd_intake_events_total", 2.0),
        ("webhookd_intake_rejected_total", 1.0),
        ("webhookd_config_last_reload_successful", 1.0),
        ("webhookd_ready", 1.0),
        ("webhooks_attempts", 4.0),
        ("webhooks_success", 2.0),
        ("webhooks_errors", 0.0),
        ("webhooks_user_errors", 2.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
    for sample in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
        "webhookd_queue_bytes",
        "webhookd_queue_max_bytes",
        "webhookd_queue_commit_duration_seconds_count",
        "webhookd_queue_commit_size_count",
    ] {
        assert!(value(&text, sample) > 0.0, "{sample}");
    }
    process.close_input();
    let _ended = process.wait();
}

#[test]
fn vars_are_sorted_lines_and_the_same_as_one_object() {
    let takes = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&two_targets(&takes.url(), &takes.url()));
    let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    process.write(event("one", 1) + "\n");
    admin.wait_for("audit", "delivered", 1);
    admin.wait_for("other", "delivered", 1);
    let text = admin.text("/vars");
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.is_sorted(), "{text}");
    assert!(text.contains("\nwebhooks_attempts 2\nwebhooks_errors 0\nwebhooks_success 2\n"));
    let object = admin.get("/vars.json");
    let object = object.as_object().expect("it is an object");
    assert_eq!(object.keys().map(String::as_str).collect::<Vec<_>>(), names);
    assert!(
        object
            .values()
            .all(|value| value.is_number() || value.is_string())
    );
    let pretty = admin.text("/vars.json?pretty");
    assert!(pretty.lines().count() > names.len(), "{pretty}");
    process.close_input();
    let _ended = process.wait().expect_code(0);
}
