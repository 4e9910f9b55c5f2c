//! What follows a failure: another attempt, a wait, a dead letter, a stop.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use testkit::{Admin, Ended, Folder, Launch, Receiver, Reply, Request, Server, event, task_of};

/// Delivers these lines with this config.
fn deliver(config: &Value, lines: &[String]) -> Ended {
    let folder = Folder::new();
    let path = folder.config(config);
    Launch::with_config(&path).run(lines.join("\n"))
}

fn attempts(requests: &[Request]) -> Vec<String> {
    requests
        .iter()
        .map(|request| request.header("webhook-attempt"))
        .collect()
}

fn ids(requests: &[Request]) -> Vec<String> {
    requests
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect()
}

#[test]
fn an_attempt_that_failed_is_made_again_under_the_same_id_and_the_next_number() {
    let receiver = Receiver::start(|request| match request.number {
        0 => Reply::status(500),
        1 => Reply::close(),
        2 => Reply::status(404),
        3 => Reply::reset(),
        4 => Reply::status(302).header("Location", "/"),
        5 => Reply::raw("garbage\r\n\r\n"),
        _ => Reply::status(200),
    });
    let ended = deliver(&reliable(&receiver.url()), &[event("one", 1)]).expect_code(0);
    let requests = receiver.requests();
    assert_eq!(attempts(&requests), ["1", "2", "3", "4", "5", "6", "7"]);
    let ids = ids(&requests);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(
        requests
            .iter()
            .all(|request| request.body == event("one", 1).as_bytes())
    );
    assert_eq!(ended.summary().count("/delivered"), 1);
    assert_eq!(ended.summary().count("/failed"), 0);
}

/// As servers do whose keep-alive time ends as a request comes.
#[test]
fn a_kept_connection_that_closes_instead_of_answering_costs_a_counted_attempt_and_no_back_off() {
    let (sent, received) = channel();
    let sent = Mutex::new(sent);
    let receiver = Server::start(move |connection| {
        for answers in [true, false] {
            let Some(request) = connection.request() else {
                return;
            };
            let attempt = request.headers("webhook-attempt").next().map(str::to_owned);
            let numbered = (task_of(request.body), attempt.expect("it is numbered"));
            sent.lock()
                .expect("no panic")
                .send(numbered)
                .expect("the test goes on");
            if answers {
                connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let mut config = reliable(&receiver.url());
    config["concurrency"] = 1.into();
    // A back-off would take longer than the test.
    config["retry"] = json!({ "initialMsec": 36_000_000, "maxMsec": 36_000_000 });
    let ended = deliver(&config, &["a", "b", "c"].map(|task| event(task, 0))).expect_code(0);
    let attempts: Vec<_> = received.try_iter().collect();
    let expected = [("a", "1"), ("b", "1"), ("b", "2"), ("c", "1"), ("c", "2")];
    let expected = expected.map(|(task, attempt)| (task.to_owned(), attempt.to_owned()));
    assert_eq!(attempts, expected);
    assert_eq!(ended.summary().outcomes(), "2xx 3, io 2");
}

#[test]
fn attempts_are_counted_on_after_a_restart() {
    let folder = Folder::new();
    let failing = Receiver::always(Reply::status(500));
    let config = folder.config(&reliable(&failing.url()));
    let _ended = Launch::with_config(&config)
        .args(["--grace", "500ms"])
        .run(event("one", 1))
        .expect_code(3);
    let before = failing.requests();
    let receiver = Receiver::always(Reply::status(200));
    let config = folder.config(&reliable(&receiver.url()));
    let _ended = Launch::with_config(&config).run("").expect_code(0);
    let after = receiver.requests();
    let [number] = &attempts(&after)[..] else {
        panic!("one attempt, not {:?}", attempts(&after));
    };
    assert!(before.len() > 1, "it was tried again before the restart");
    // One that the end of the first run cut short is counted, too, whether it had come or not.
    let number: usize = number.parse().expect("the number of an attempt");
    let cut_short = number - before.len() - 1;
    assert!(
        cut_short <= 1,
        "attempt {number} after {} requests",
        before.len()
    );
    let numbers: Vec<_> = (1..=before.len()).map(|count| count.to_string()).collect();
    assert_eq!(attempts(&before), numbers, "no number is used twice");
    assert_eq!(ids(&after)[0], ids(&before)[0]);
}

#[test]
fn a_task_in_retry_holds_its_own_events_and_no_others() {
    let receiver = Receiver::start(|request| match task_of(&request.body).as_str() {
        "stuck" => Reply::status(500),
        _ => Reply::status(200),
    });
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let mut lines = vec![event("stuck", 1), event("stuck", 2)];
    lines.extend((0..50).map(|number| event("free", number)));
    let ended = Launch::with_config(&config)
        .args(["--grace", "500ms"])
        .run(lines.join("\n"))
        .expect_code(3);
    assert_eq!(ended.summary().count("/delivered"), 50);
    assert_eq!(ended.summary().count("/owed"), 2);
    let bodies = receiver.bodies();
    assert!(
        !bodies.contains(&event("stuck", 2).into_bytes()),
        "an event is sent only once the one before it is settled"
    );
}

#[test]
fn a_retry_after_is_waited_for() {
    // `Mutex`, since the receiver may be asked from several threads.
    let refused_at: Mutex<Option<Instant>> = Mutex::new(None);
    let (tell, told) = std::sync::mpsc::channel();
    let receiver = Receiver::start(move |request| {
        let mut refused_at = refused_at.lock().expect("no holder panics");
        match *refused_at {
            None => {
                *refused_at = Some(Instant::now());
                Reply::status(503).header("Retry-After", "1")
            }
            Some(at) => {
                tell.send((request.header("webhook-attempt"), at.elapsed()))
                    .expect("it listens");
                Reply::status(200)
            }
        }
    });
    let mut config = reliable(&receiver.url());
    config["retry"] = json!({ "initialMsec": 1, "maxMsec": 60_000 });
    let _ended = deliver(&config, &[event("one", 1)]).expect_code(0);
    let (attempt, waited) = told.recv().expect("it was tried again");
    assert_eq!(attempt, "2");
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
}

#[test]
fn a_retry_after_holds_the_whole_target() {
    let refused_at: Mutex<Option<Instant>> = Mutex::new(None);
    let (tell, told) = std::sync::mpsc::channel();
    let receiver = Receiver::start(move |request| {
        let mut refused_at = refused_at.lock().expect("no holder panics");
        match *refused_at {
            None => {
                *refused_at = Some(Instant::now());
                Reply::status(429).header("Retry-After", "1")
            }
            Some(at) => {
                tell.send((task_of(&request.body), at.elapsed()))
                    .expect("it listens");
                Reply::status(200)
            }
        }
    });
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["retry"] = json!({ "initialMsec": 1, "maxMsec": 60_000 });
    let config = folder.config(&config);
    let mut process = Launch::with_config(&config).spawn();
    process.write(event("one", 1) + "\n");
    // The answer is out, and said so, before the other task's event is there.
    process.wait_for_error("429");
    process.write(event("two", 1) + "\n");
    process.close_input();
    let _ended = process.wait().expect_code(0);
    let waits: Vec<_> = told.try_iter().collect();
    assert_eq!(waits.len(), 2, "{waits:?}");
    for (task, waited) in waits {
        assert!(waited >= Duration::from_secs(1), "{task}: {waited:?}");
    }
}

#[test]
fn an_event_that_is_refused_for_good_is_a_dead_letter_and_holds_nothing() {
    for status in [400, 413, 422] {
        let receiver = Receiver::start(move |request| {
            let poisoned = request.body == event("one", 2).as_bytes();
            Reply::status(if poisoned { status } else { 200 })
        });
        let lines = [1, 2, 3].map(|number| event("one", number));
        let ended = deliver(&reliable(&receiver.url()), &lines).expect_code(1);
        let bodies = receiver.bodies();
        let sent: Vec<_> = lines.iter().map(|line| line.clone().into_bytes()).collect();
        assert_eq!(bodies, sent, "{status}: once each, in order");
        let summary = ended.summary();
        assert_eq!(summary.count("/delivered"), 2);
        assert_eq!(summary.count("/failed"), 1);
        assert_eq!(summary.count("/targets/0/deadLetters"), 1);
        assert_eq!(summary.count("/owed"), 0);
        assert!(
            ended.stderr.contains(&status.to_string()),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn an_event_has_no_more_attempts_than_allowed() {
    let receiver = Receiver::always(Reply::status(500));
    let mut config = reliable(&receiver.url());
    config["retry"] = json!({ "initialMsec": 1, "maxMsec": 2, "maxAttempts": 3 });
    let ended = deliver(&config, &[event("one", 1), event("one", 2)]).expect_code(1);
    assert_eq!(ended.summary().count("/targets/0/deadLetters"), 2);
    assert_eq!(ended.summary().count("/owed"), 0);
    assert_eq!(
        attempts(&receiver.requests()),
        ["1", "2", "3", "1", "2", "3"]
    );
}

#[test]
fn a_receiver_that_is_gone_is_left_alone_and_owed_its_events() {
    let receiver = Receiver::always(Reply::status(410));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let mut process = Launch::with_config(&config)
        .args(["--grace", "500ms"])
        .spawn();
    process.write(event("one", 1) + "\n");
    receiver.wait_for_done(1);
    process.wait_for_error("410");
    let lines: String = (0..20)
        .map(|number| event(&format!("task-{number}"), number) + "\n")
        .collect();
    process.write(lines);
    process.close_input();
    let ended = process.wait().expect_code(3);
    assert_eq!(receiver.requests().len(), 1, "it said that it is gone");
    assert_eq!(ended.summary().count("/owed"), 21);
    assert_eq!(ended.summary().count("/failed"), 0);

    // Another start is another try.
    let alive = Receiver::always(Reply::status(200));
    let config = folder.config(&reliable(&alive.url()));
    let _ended = Launch::with_config(&config).run("").expect_code(0);
    assert_eq!(alive.requests().len(), 21);
}

#[test]
fn a_dead_receiver_costs_an_attempt_for_each_back_off_not_for_each_task() {
    let receiver = Receiver::always(Reply::status(503));
    let mut config = reliable(&receiver.url());
    config["concurrency"] = 1.into();
    config["retry"] = json!({ "initialMsec": 3_600_000, "maxMsec": 3_600_000 });
    let folder = Folder::new();
    let config = folder.config(&config);
    let lines: Vec<_> = (0..200)
        .map(|number| event(&format!("task-{number}"), 1))
        .collect();
    let ended = Launch::with_config(&config)
        .args(["--grace", "500ms"])
        .run(lines.join("\n"))
        .expect_code(3);
    assert_eq!(ended.summary().count("/owed"), 200);
    let tried = receiver.requests().len();
    assert!(
        (10..=12).contains(&tried),
        "{tried} attempts, and 200 tasks"
    );
}

/// A receiver of Kafka REST that answers each produce request with these bodies in turn, and then
/// with the last for ever.
fn kafka(answers: &'static [&'static str]) -> Receiver {
    Receiver::start(move |request| {
        let answer = answers.get(request.number).or(answers.last());
        Reply::status(200)
            .header("Content-Type", "application/vnd.kafka.v2+json")
            .body(*answer.expect("there is one"))
    })
}

#[test]
fn a_kafka_record_that_failed_within_an_answer_of_200_is_sent_again() {
    const TAKEN: &str = r#"{"key_schema_id":null,"value_schema_id":null,"offsets":[{"partition":0,"offset":7,"error_code":null,"error":null}]}"#;
    let receiver = kafka(&[
        r#"{"offsets":[{"partition":null,"offset":null,"error_code":2,"error":"not the leader"}]}"#,
        r#"{"offsets":[]}"#,
        "<html>a proxy's page</html>",
        "",
        TAKEN,
    ]);
    let mut config = reliable(&receiver.url());
    config["format"] = "kafka-rest-v2".into();
    config["headers"] = json!({});
    let ended = deliver(&config, &[event("one 1", 1)]).expect_code(0);
    let requests = receiver.requests();
    assert_eq!(attempts(&requests), ["1", "2", "3", "4", "5"]);
    let summary = ended.summary();
    assert_eq!(summary.count("/delivered"), 1);
    assert_eq!(summary.count("/targets/0/outcomes/2xx"), 1);
    assert!(ended.stderr.contains("not the leader"), "{}", ended.stderr);
    for request in &requests {
        assert_eq!(
            request.header("Content-Type"),
            "application/vnd.kafka.json.v2+json"
        );
        assert_eq!(request.header("Accept"), "application/vnd.kafka.v2+json");
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let records = body["records"].as_array().expect("records");
        assert_eq!(records.len(), 1);
        assert_eq!(records[0]["key"], "one 1");
        let event: Value = serde_json::from_str(&event("one 1", 1)).expect("JSON");
        assert_eq!(records[0]["value"], event);
    }
}

#[test]
fn a_kafka_record_that_keeps_failing_is_not_delivered() {
    let receiver = kafka(&[r#"{"offsets":[{"error_code":1,"error":"no"}]}"#]);
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["format"] = "kafka-rest-v2".into();
    let config = folder.config(&config);
    let ended = Launch::with_config(&config)
        .args(["--grace", "500ms"])
        .run(event("one", 1))
        .expect_code(3);
    assert_eq!(ended.summary().count("/delivered"), 0);
    assert_eq!(ended.summary().count("/owed"), 1);
    assert_eq!(ended.summary().count("/targets/0/outcomes/2xx"), 0);
}

/// A receiver that answers this status to seven of ten tasks, and 200 to the others.
fn poisoned(status: u16) -> Receiver {
    Receiver::start(
        move |request| match task_of(&request.body).contains("bad") {
            true => Reply::status(status),
            false => Reply::status(200),
        },
    )
}

#[test]
fn failing_tasks_do_not_delay_the_others() {
    for status in [404, 500] {
        let receiver = poisoned(status);
        let folder = Folder::new();
        let mut config = reliable(&receiver.url());
        // The default back-off: a breaker that counts these failures would wait for minutes.
        config["retry"] = json!({});
        let mut process = Launch::with_config(&folder.config(&config))
            .args(["--grace", "0s", "--admin", "0"])
            .spawn();
        let admin = Admin::of(&process);
        for round in 0..20 {
            let tasks = (0..10).map(|number| {
                let kind = if number < 7 { "bad" } else { "good" };
                event(&format!("{kind}-{round}-{number}"), 1) + "\n"
            });
            process.write(tasks.collect::<String>());
            admin.wait_for("default", "delivered", (round + 1) * 3);
        }
        process.close_input();
        process.wait().expect_code(3);
    }
}

#[test]
fn a_hold_by_retry_after_is_shown_with_its_end_and_reason() {
    let receiver = Receiver::start(|_| Reply::status(503).header("Retry-After", "1800.5"));
    let folder = Folder::new();
    let mut process = Launch::with_config(&folder.config(&reliable(&receiver.url())))
        .args(["--grace", "0s", "--admin", "0"])
        .spawn();
    let admin = Admin::of(&process);
    process.write(event("one", 1) + "\n");
    admin.wait_for("default", "waitingTasks", 1);
    let targets = admin.get("/api/v1/targets");
    let target = &targets["targets"][0];
    assert_eq!(target["state"], "held");
    assert_eq!(target["hold"]["reason"], "retry-after");
    assert!(target["hold"]["until"].is_string(), "{target}");
    let detail = "answered 503 with Retry-After: 1800.5";
    assert_eq!(target["hold"]["detail"], detail);
    let metrics = admin.text("/metrics");
    assert!(metrics.contains("webhookd_target_held{target=\"default\",reason=\"retry-after\"} 1"));
    process.close_input();
    process.wait().expect_code(3);
}
