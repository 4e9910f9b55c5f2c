//! Databases that cannot be used, and how the queue says so.

use testkit::Postgres;
use webhook_queue::{Queue, QueueError};
use webhook_queue_postgres::{PostgresQueue, Role, Settings, schema_sql};

use crate::support::{append, event, eventually, open, refused, settings};

const PASSWORD: &str = "pg-secret";

#[track_caller]
fn check(settings: Settings, expected: &[&str]) {
    let shown = format!("{settings:?}");
    let refused = refused(settings);
    for expected in expected {
        assert!(
            refused.contains(expected),
            "{expected:?} is not in {refused:?}"
        );
    }
    for text in [refused, shown] {
        assert!(
            !text.contains(PASSWORD) && !text.contains("wrong-pw"),
            "{text}"
        );
    }
}

fn at(url: String, postgres: &Postgres) -> Settings {
    Settings {
        connection: url,
        ..settings(postgres)
    }
}

#[test]
fn a_database_that_cannot_be_used_is_told_with_what_to_do_and_without_the_password() {
    let Some(mut postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let wrong = postgres.url_as("webhook", "wrong-pw", "webhook");
    check(
        at(wrong, &postgres),
        &[
            "password authentication failed for user \"webhook\"",
            "check the user and the password",
            "schema webhook",
        ],
    );
    let missing = postgres.url_as("webhook", PASSWORD, "nowhere");
    check(
        at(missing, &postgres),
        &["database \"nowhere\" does not exist", "createdb"],
    );
    check(
        at("postgres://h:x@[/y".to_owned(), &postgres),
        &["its URL is not valid", "postgres://USER:PASSWORD@HOST"],
    );
    postgres.query("CREATE ROLE reader LOGIN PASSWORD 'pg-secret'");
    let reader = at(postgres.url_as("reader", PASSWORD, "webhook"), &postgres);
    check(
        reader.clone(),
        &[
            "permission denied for database webhook",
            "webhookd queue schema",
        ],
    );
    // The script of an administrator is all that such a role needs.
    let script = schema_sql("webhook", 8, Some("reader"));
    postgres.query(&script);
    let queue = PostgresQueue::open(reader.clone()).expect("it opens");
    append(&queue, &[event(1, "k", &["a"])]);
    assert_eq!(
        queue.statistics().expect("statistics").targets[0].pending,
        1
    );
    queue.close().expect("it closes");

    postgres.query("UPDATE webhook.meta SET value = '77' WHERE key = 'version'");
    check(
        reader,
        &["version \"77\"", "this program knows only version 1"],
    );
    postgres.query("DROP SCHEMA webhook CASCADE");
    let operator = Settings {
        role: Role::Operator,
        ..settings(&postgres)
    };
    check(operator, &["it has no queue"]);
    postgres.stop(testkit::Stop::Fast);
    let away = PostgresQueue::open(settings(&postgres)).map(drop);
    assert!(
        matches!(away, Err(QueueError::Unavailable { .. })),
        "{away:?}"
    );
    check(settings(&postgres), &["cannot be reached", "refused"]);
}

#[test]
fn of_several_processes_that_open_a_new_database_one_creates_the_tables() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let queues: Vec<_> = std::thread::scope(|scope| {
        let openings: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&postgres))).collect();
        let opened = openings.into_iter().map(|it| it.join().expect("it opens"));
        opened.collect()
    });
    for (at, queue) in (0..).zip(&queues) {
        append(queue, &[event(at, "k", &["a"])]);
    }
    let found = postgres.query("SELECT count(*), count(DISTINCT targets) FROM webhook.events");
    assert_eq!(found, "4|1");
}

#[test]
fn a_standby_is_refused_and_a_full_disk_passes() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let queue = open(&postgres);
    append(&queue, &[event(0, "k", &["a"])]);
    // As the server answers when a file cannot be extended.
    postgres.query(
        "CREATE FUNCTION webhook.full() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON webhook.event_0 \
         EXECUTE FUNCTION webhook.full()",
    );
    let full = queue.commit(&[event(1, "k", &["a"])], &[]);
    assert!(matches!(full, Err(QueueError::NoSpace { .. })), "{full:?}");
    postgres.query("DROP TRIGGER full_disk ON webhook.event_0");
    append(&queue, &[event(1, "k", &["a"])]);
    // A standby, or a server that was made one.
    postgres.query("ALTER ROLE webhook SET default_transaction_read_only = on");
    postgres.terminate_connections();
    let refused = eventually(|| queue.commit(&[event(2, "k", &["a"])], &[]).err());
    assert!(refused.is_retryable(), "{refused:?}");
    postgres.query("ALTER ROLE webhook RESET default_transaction_read_only");
    postgres.terminate_connections();
    eventually(|| queue.commit(&[event(2, "k", &["a"])], &[]).ok());
    let found = postgres.query("SELECT count(*), count(DISTINCT id) FROM webhook.events");
    assert_eq!(found, "3|3");
    queue.close().expect("it closes");
}

#[test]
fn of_several_hosts_the_one_that_can_be_written_to_is_used() {
    let (Some(primary), Some(other)) = (Postgres::start(&[]), Postgres::start(&[])) else {
        return;
    };
    other.query("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()");
    let hosts = [&other, &primary].map(|it| it.port().to_string()).join(",");
    let connection = format!(
        "host=127.0.0.1,127.0.0.1 port={hosts} user=webhook password={PASSWORD} dbname=webhook"
    );
    let queue = PostgresQueue::open(at(connection, &primary)).expect("it opens");
    append(&queue, &[event(0, "k", &["a"])]);
    assert_eq!(primary.query("SELECT count(*) FROM webhook.events"), "1");
    queue.close().expect("it closes");
}
