//! A queue in a database.

use crate::{parse, problems};
use serde_json::{Value, json};
use std::time::Duration;
use webhook_config::{BuildError, Config, PostgresSettings, PostgresUrl, QueueSettings, SslMode};
use webhook_config::{Target, TargetUrl};

fn file(queue: &Value) -> String {
    json!({ "targetURL": "http://x/", "headers": {}, "timeoutMsec": 5000, "queue": queue })
        .to_string()
}

#[test]
fn a_database_takes_the_place_of_a_directory() {
    let queue = json!({ "postgres": {
        "url": "postgres://webhook:hunter2@db.example/events?sslmode=require",
        "schema": "w1", "slots": 16, "leaseMsec": 2000, "pollMsec": 20, "stateDir": "/var/lib/w",
    }, "maxBytes": 2_097_152 });
    let config = parse(&file(&queue)).unwrap().config;
    let queue = config.queue();
    let postgres = queue.postgres().unwrap();
    assert_eq!(
        (postgres.url().host(), postgres.url().port()),
        ("db.example", "5432")
    );
    assert_eq!(postgres.url().user(), Some("webhook"));
    assert_eq!(postgres.url().database(), Some("events"));
    assert_eq!(postgres.ssl_mode(), SslMode::Require);
    assert_eq!((postgres.schema().as_str(), postgres.slots()), ("w1", 16));
    assert_eq!(postgres.lease(), Duration::from_secs(2));
    assert_eq!(postgres.poll(), Duration::from_millis(20));
    assert_eq!(
        (queue.dir().to_str(), queue.max_bytes()),
        (Some("/var/lib/w"), 2_097_152)
    );
    let shown = serde_json::to_value(config.show()).unwrap();
    assert_eq!(shown["queue"].get("dir"), None);
    let url = "postgres://webhook:***@db.example/events?sslmode=require";
    assert_eq!(shown["queue"]["postgres"]["url"], url);

    let local = parse(&file(&json!({ "dir": "q", "postgres": null })))
        .unwrap()
        .config;
    assert_eq!(local.queue().postgres(), None);
}

#[test]
fn the_state_directory_is_beside_the_file_if_it_is_not_named() {
    let text = file(&json!({ "postgres": { "url": "host=db" } }));
    let dir = std::path::Path::new("/etc/webhookd");
    let loaded = Config::parse_in(dir, "webhook.json", text.as_bytes()).unwrap();
    assert_eq!(loaded.config.queue().dir(), dir.join("webhook-state"));
}

#[test]
fn what_is_wrong_with_a_database_is_named_at_its_place() {
    let url = "postgres://u:hunter2@db/events";
    for (queue, place, code, words) in [
        (
            json!({ "dir": "q", "postgres": { "url": url } }),
            r#""q""#,
            "conflicting-keys",
            "exclude each other",
        ),
        (
            json!({ "postgres": {} }),
            "{}}",
            "missing-key",
            "`url` is missing",
        ),
        (
            json!({ "postgres": { "url": null } }),
            "null",
            "missing-key",
            "`url` is null",
        ),
        (
            json!({ "postgres": url }),
            r#""postgres://"#,
            "wrong-type",
            "expected an object",
        ),
        (
            json!({ "postgres": { "url": "mysql://u:hunter2@db/" } }),
            r#""mysql"#,
            "invalid-url",
            "not the address",
        ),
        (
            json!({ "postgres": { "url": { "env": "HUNTER2_NOT_SET" } } }),
            r#""HUNTER"#,
            "unresolved-secret",
            "is not set",
        ),
        (
            json!({ "postgres": { "url": url, "schema": "pg_x" } }),
            r#""pg_x"#,
            "invalid-name",
            "schema",
        ),
        (
            json!({ "postgres": { "url": url, "schema": "a\"; DROP" } }),
            r#""a\"; "#,
            "invalid-name",
            "schema",
        ),
        (
            json!({ "postgres": { "url": url, "slots": 0 } }),
            "0,\"url",
            "out-of-range",
            "`slots`",
        ),
        (
            json!({ "postgres": { "url": url, "slots": 1025 } }),
            "1025",
            "out-of-range",
            "`slots`",
        ),
        (
            json!({ "postgres": { "url": url, "leaseMsec": 999 } }),
            "999",
            "out-of-range",
            "`leaseMsec`",
        ),
        (
            json!({ "postgres": { "url": url, "pollMsec": 1001 } }),
            "1001",
            "out-of-range",
            "`pollMsec`",
        ),
        (
            json!({ "postgres": { "url": url, "stateDir": "" } }),
            r#""""#,
            "out-of-range",
            "directory",
        ),
        (
            json!({ "postgres": { "url": url, "slot": 1 } }),
            r#""slot""#,
            "unknown-key",
            "`slot`",
        ),
        (
            json!({ "postgres": { "url": "host=db sslmode=disable", "tls": { "caFile": "tests/data/client.pem" } } }),
            r#"{"caFile"#,
            "ineffective",
            "sslmode=disable",
        ),
    ] {
        let text = file(&queue);
        let found = problems(&text);
        let problem = found.iter().next().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(problem.code().as_str(), code, "{text}: {found}");
        assert!(problem.message().contains(words), "{text}: {found}");
        assert_eq!(
            text.find(place).map(|at| at + 1),
            Some(problem.column()),
            "{text}: {found}"
        );
        assert_eq!(found.len(), 1, "{text}: {found}");
        assert!(!format!("{found} {found:?}").contains("hunter2"), "{found}");
    }
}

#[test]
fn all_mistakes_of_a_queue_are_reported_together() {
    let queue = json!({ "postgres": { "url": "x", "schema": "X", "slots": 0 }, "maxBytes": 1 });
    assert_eq!(problems(&file(&queue)).len(), 4);
}

#[test]
fn a_builder_refuses_numbers_that_a_file_may_not_have() {
    let database = || PostgresSettings::new(PostgresUrl::parse("host=db").unwrap());
    let build = |settings: PostgresSettings| {
        let target = Target::builder(TargetUrl::parse("http://x/").unwrap())
            .build()
            .unwrap();
        let queue = QueueSettings::new("state").with_postgres(settings);
        Config::builder().target(target).queue(queue).build()
    };
    assert!(build(database().with_slots(1024)).is_ok());
    let second = Duration::from_secs(1);
    for (settings, key) in [
        (database().with_slots(0), "queue.postgres.slots"),
        (
            database().with_lease(second / 2),
            "queue.postgres.leaseMsec",
        ),
        (database().with_poll(2 * second), "queue.postgres.pollMsec"),
    ] {
        let error = build(settings).unwrap_err();
        assert!(
            matches!(error, BuildError::OutOfRange { key: it, .. } if it == key),
            "{error}"
        );
    }
}
