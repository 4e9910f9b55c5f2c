//! A queue in a PostgreSQL database: its settings, its tables, and what is said of a database that
//! cannot be used.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::path::Path;
use testkit::{Ended, Folder, Launch, Postgres, Stop};

const TEMPORARY: i32 = 75;

/// A configuration of one target with the queue in the database of this URL.
pub(crate) fn shared(target_url: &str, database: &str) -> Value {
    let mut config = reliable(target_url);
    config["name"] = json!("audit");
    config["queue"] = json!({ "postgres": { "url": database } });
    config
}

fn command(args: &[&str]) -> Ended {
    Launch::new().args(args).run("")
}

/// Runs a webhookd with a database that cannot be used, to its end.
fn unusable(folder: &Folder, database: &str) -> Ended {
    let config = folder.config(&shared("http://127.0.0.1:9/", database));
    let launch = Launch::with_config(&config).args(["--queue-lock-timeout", "0s"]);
    launch.run("")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

#[test]
fn a_database_that_cannot_be_used_is_named_with_what_to_do() {
    let Some(mut postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let folder = Folder::new();
    let wrong = postgres.url_as("webhook", "hunter2", "webhook");
    let missing = postgres.url_as("webhook", "pg-secret", "elsewhere");
    for (database, words) in [
        (wrong.as_str(), "check the user and the password"),
        (&missing, "create it (createdb)"),
    ] {
        let ended = unusable(&folder, database).expect_code(2);
        let config = folder.path().join("webhook.json");
        let checked = command(&["check", "--connect", text(&config)]).expect_code(1);
        let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
        for said in [&ended.stderr, &checked] {
            assert!(said.contains(words), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
            assert!(!said.contains("pg-secret"), "{said}");
        }
    }
    postgres.stop(Stop::Fast);
    let ended = unusable(&folder, &postgres.url()).expect_code(TEMPORARY);
    assert!(
        ended.stderr.contains("cannot be reached"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("pg-secret"), "{}", ended.stderr);
}

#[test]
fn a_role_without_the_right_to_create_tables_uses_those_that_an_administrator_made() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    postgres.query("CREATE ROLE plain LOGIN PASSWORD 'hunter2'");
    postgres.query("REVOKE CREATE ON DATABASE webhook FROM PUBLIC");
    let folder = Folder::new();
    let database = postgres.url_as("plain", "hunter2", "webhook");
    let ended = unusable(&folder, &database).expect_code(2);
    assert!(
        ended.stderr.contains("webhookd queue schema"),
        "{}",
        ended.stderr
    );

    let config = folder.path().join("webhook.json");
    let schema = ["queue", "schema", "--grant", "plain", "--webhook-config"];
    let printed = command(&[&schema[..], &[text(&config)]].concat()).expect_code(0);
    let script = String::from_utf8(printed.stdout).expect("it is text");
    assert!(!script.contains("hunter2"), "{script}");
    postgres.query(&script);
    let granted = "SELECT has_table_privilege('plain', 'webhook.head', 'UPDATE')";
    assert_eq!(postgres.query(granted), "t");
}

#[test]
fn the_schema_and_the_slots_are_in_the_printed_sql() {
    let folder = Folder::new();
    let mut file = shared("http://127.0.0.1:9/", "postgres://db/webhook");
    file["queue"]["postgres"]["schema"] = json!("events");
    file["queue"]["postgres"]["slots"] = json!(7);
    let config = folder.config(&file);
    let by_config = command(&["queue", "schema", "--webhook-config", text(&config)]);
    let by_config = by_config.expect_code(0).stdout;
    let by_hand = command(&["queue", "schema", "--schema", "events", "--slots", "7"]);
    assert_eq!(by_hand.expect_code(0).stdout, by_config);
    for bad in [
        ["--schema", "pg_x"],
        ["--schema", "a\"b"],
        ["--slots", "0"],
        ["--slots", "1025"],
    ] {
        let _ended = command(&[&["queue", "schema"], &bad[..]].concat()).expect_code(2);
    }
    let local = folder.config(&reliable("http://127.0.0.1:9/"));
    let ended = command(&["queue", "schema", "--webhook-config", text(&local)]).expect_code(2);
    assert!(
        ended.stderr.contains("queue.postgres is missing"),
        "{}",
        ended.stderr
    );
}

#[test]
fn what_a_database_does_itself_and_what_excludes_it_is_said() {
    let folder = Folder::new();
    let config = folder.config(&shared(
        "http://127.0.0.1:9/",
        "postgres://u:hunter2@db/webhook",
    ));
    let path = text(&config);
    let url = "postgres://u:hunter2@127.0.0.1:9/webhook";
    for (args, words) in [
        (
            vec!["queue", "verify", "--webhook-config", path],
            "pg_amcheck",
        ),
        (vec!["queue", "verify", "--queue", url], "pg_amcheck"),
        (
            vec!["queue", "compact", "--webhook-config", path],
            "needs no compaction",
        ),
        (vec!["targets", "list", "--queue", url], "--admin ADDRESS"),
        (
            vec!["targets", "list", "--webhook-config", path],
            "webhook-state",
        ),
        (vec!["queue", "stats", "--queue", url], "cannot be reached"),
        (
            vec!["queue", "stats", "--queue", url, "--schema", "pg_x"],
            "--schema",
        ),
        (
            vec!["queue", "stats", "--queue", "dir", "--schema", "x"],
            "needs a database",
        ),
        (
            vec!["queue", "stats", "--queue", "postgres://u:hunter2/"],
            "is not valid",
        ),
        (
            vec!["run", "--webhook-config", path, "--queue", "dir"],
            "--state-dir",
        ),
    ] {
        let ended = command(&args).expect_code(2);
        assert!(ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
        assert!(
            !ended.stderr.contains("hunter2"),
            "{args:?}: {}",
            ended.stderr
        );
    }
    let checked = command(&["check", path]).expect_code(0);
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        checked.contains("the queue postgres://u:***@db/webhook (schema webhook)\n"),
        "{checked}"
    );
}
