//! Alert rules and dashboard: taken by Prometheus's own tool, and about figures that there are.

use crate::durable::reliable;
use crate::packaging::{said, tool};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use testkit::{EventStream, Folder, Launch, Port, Receiver, Reply, event, repository};

fn monitoring(name: &str) -> String {
    std::fs::read_to_string(repository("docs/monitoring").join(name)).expect("it can be read")
}

#[test]
fn promtool_takes_the_rules_and_their_tests_pass() {
    for (command, name) in [("check", "alerts.yml"), ("test", "alerts.test.yml")] {
        let path = repository("docs/monitoring").join(name);
        let Some(output) = tool(
            "promtool",
            [command.as_ref(), "rules".as_ref(), path.as_os_str()],
        ) else {
            return;
        };
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn each_alert_is_tested_and_explained() {
    let manual = std::fs::read_to_string(repository("docs/operations.md")).expect("it is there");
    let (rules, tests) = (monitoring("alerts.yml"), monitoring("alerts.test.yml"));
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(
            manual.contains(&format!("\n### {alert}\n")),
            "{alert} is not in the manual"
        );
        let url = format!("runbook_url: operations.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&url), "{alert} does not lead there");
        let (_, rest) = rules
            .split_once(&format!("- alert: {alert}\n"))
            .expect("it is there");
        assert!(rest.contains(&url), "{alert}");
        assert!(
            tests.contains(&format!("alertname: {alert}\n")),
            "{alert} is not tested"
        );
    }
}

/// Names of webhookd's figures in a text, without what a histogram's end in.
fn figures(text: &str) -> BTreeSet<String> {
    text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_')
        .filter(|word| word.starts_with("webhookd_"))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn each_figure_that_is_watched_is_in_the_metrics_and_each_metric_is_documented() {
    let mut watched = figures(&monitoring("alerts.yml"));
    let dashboard: Value =
        serde_json::from_str(&monitoring("dashboard.json")).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    for panel in panels {
        for target in panel["targets"]
            .as_array()
            .expect("each panel shows something")
        {
            let shown = figures(target["expr"].as_str().expect("it is an expression"));
            watched.extend(shown);
        }
    }
    for variable in dashboard["templating"]["list"]
        .as_array()
        .expect("it has variables")
    {
        watched.extend(figures(&variable["query"].to_string()));
    }
    assert!(watched.len() > 20, "{watched:?}");

    let Some(of_a_worker) = crate::workers::metrics_of_a_worker() else {
        return;
    };
    let metrics = scrape_of_a_webhookd_with_a_removed_target() + &of_a_worker;
    let known: BTreeSet<String> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    let unknown: Vec<&String> = watched.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?} are not among {known:?}");

    let manual = std::fs::read_to_string(repository("docs/admin.md")).expect("it is there");
    let known = figures(&Vec::from_iter(known).join(" "));
    let documented = figures(&manual);
    let missing: Vec<&String> = known.difference(&documented).collect();
    assert!(missing.is_empty(), "{missing:?} are not in docs/admin.md");
}

/// Some figures are there only when there is something to tell.
fn scrape_of_a_webhookd_with_a_removed_target() -> String {
    let closed = Port::take();
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let queue = json!({ "dir": "queue" });
    let mut old = reliable(&closed.url());
    old["name"] = json!("old");
    let config = folder.config(&json!({ "targets": [old], "queue": queue }));
    let _owed = Launch::with_config(&config)
        .args(["--grace", "0s"])
        .run(event("a", 1))
        .expect_code(3);
    let stream = EventStream::start(|request| {
        request.begin();
        request.hold();
    });
    let config = folder.config(&json!({
        "targets": [reliable(&receiver.url())],
        "queue": queue,
        "sources": [{ "stream": { "url": stream.url() } }],
    }));
    let mut daemon = Launch::with_config(&config)
        .args(["--admin", "127.0.0.1:0", "--events", "-"])
        .spawn();
    daemon.write(event("a", 2) + "\n");
    receiver.wait_for_done(1);
    scrape(&crate::remote_repair::admin_of(&daemon))
}

fn scrape(admin: &str) -> String {
    let mut stream = TcpStream::connect(admin).expect("it listens");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}
