//! Databases that cannot be used.

use super::{Arrivals, Cluster};
use serde_json::json;
use std::time::Duration;
use testkit::{Launch, Postgres, event, post};

/// Starts a worker with this URL; its exit status and what it says.
fn start(cluster: &mut Cluster, url: &str) -> (Option<i32>, String) {
    let config = json!({
        "targets": [{ "targetURL": "http://127.0.0.1:9/", "headers": {}, "timeoutMsec": 1000 }],
        "queue": { "postgres": { "url": url } },
    });
    cluster.folder.config(&config);
    let launch = cluster.launch().args(["--queue-lock-timeout", "100ms"]);
    let ended = launch.run("");
    assert!(!ended.stderr.contains("pg-secret"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("wr0ng"), "{}", ended.stderr);
    (ended.code, ended.stderr)
}

#[test]
fn a_database_that_is_away_at_the_start_is_waited_for_and_ends_it_with_75() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.postgres.url();
    cluster.postgres.stop(testkit::Stop::Fast);
    let (code, log) = start(&mut cluster, &url);
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains("cannot be reached"), "{log}");
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    cluster.configure(&receiver.url(), Duration::from_secs(5));
    let launch = cluster.launch().args(["--queue-lock-timeout", "60s"]);
    let process = launch.spawn();
    process.wait_for_error("waiting for it");
    cluster.postgres.start_again();
    let url = process.listens();
    post(&url, &[super::JSON], event("one", 0)).expect_status(200);
    receiver.wait_for_requests(1);
}

/// The administrator's script creates the tables for a role that may not.
#[test]
fn a_role_that_may_not_create_tables_is_told_the_script_and_works_once_it_was_run() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let postgres: &Postgres = &cluster.postgres;
    postgres.query("CREATE ROLE plain LOGIN PASSWORD 'pg-secret'");
    let url = postgres.url_as("plain", "pg-secret", "webhook");
    let (code, log) = start(&mut cluster, &url);
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("webhookd queue schema"), "{log}");
    let script = Launch::new().args(["queue", "schema", "--grant", "plain"]);
    let script = script.run("").expect_code(0).stdout;
    let script = String::from_utf8(script).expect("it is text");
    cluster.postgres.query(&script);
    let arrivals = Arrivals::default();
    let receiver = arrivals.receiver();
    let config = json!({
        "targets": [crate::durable::reliable(&receiver.url())],
        "queue": { "postgres": { "url": url } },
    });
    cluster.folder.config(&config);
    let worker = cluster.worker();
    for number in 0..3 {
        post(&worker.url, &[super::JSON], event("one", number)).expect_status(200);
    }
    arrivals.expect(&[("one".to_owned(), 3)].into(), &[&worker]);
    worker.stop();
}
