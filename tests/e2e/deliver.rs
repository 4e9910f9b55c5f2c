//! What arrives is what was given: bytes, headers and order.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::{
    Folder, Launch, Port, Receiver, Reply, Request, best_effort, event, events, events_file,
    fixture, task_of,
};

/// Checks that these bodies arrived, each task's in the order given, and nothing else.
pub(crate) fn check_arrived(arrived: &[Vec<u8>], sent: &[Vec<u8>]) {
    let (arrived_tasks, sent_tasks) = (by_task(arrived), by_task(sent));
    for (task, sent) in &sent_tasks {
        let arrived = arrived_tasks.get(task).map_or(&[][..], Vec::as_slice);
        let same = arrived
            .iter()
            .zip(sent)
            .take_while(|(arrived, sent)| arrived == sent)
            .count();
        let text = |bodies: &[&[u8]]| {
            bodies
                .get(same)
                .map(|body| String::from_utf8_lossy(body).into_owned())
        };
        assert!(
            arrived == sent.as_slice(),
            "{task}: sent {}, of which {same} arrived as sent; then {:?} instead of {:?}",
            sent.len(),
            text(arrived),
            text(sent),
        );
    }
    assert_eq!(
        arrived.len(),
        sent.len(),
        "there arrived more than was sent"
    );
}

/// Bodies by task, each task's in their order.
pub(crate) fn by_task<B: AsRef<[u8]>>(bodies: &[B]) -> BTreeMap<String, Vec<&[u8]>> {
    let mut tasks: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
    for body in bodies {
        let body = body.as_ref();
        tasks.entry(task_of(body)).or_default().push(body);
    }
    tasks
}

pub(crate) fn now_ms() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is after 1970")
        .as_millis()
}

/// The sample file, pointed at a receiver.
pub(crate) fn sample(url: &str) -> String {
    let sample = std::fs::read_to_string(fixture("webhook.json")).expect("it is committed");
    assert!(sample.contains("\"http://localhost:5000/\""), "{sample}");
    sample.replace("http://localhost:5000/", url)
}

#[test]
fn the_fixture_stream_arrives_byte_for_byte_in_each_tasks_order() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.write("webhook.json", sample(&receiver.url()));
    let ended = Launch::with_config(&config)
        .run(events_file())
        .expect_code(0);
    check_arrived(&receiver.bodies(), &events());
    let summary = ended.summary();
    let count = events().len() as u64;
    assert_eq!(summary.count("/events"), count);
    assert_eq!(summary.count("/delivered"), count);
    for none in ["/failed", "/rejected", "/filtered", "/unfinished"] {
        assert_eq!(summary.count(none), 0, "{none}");
    }
    assert_eq!(summary.outcomes(), format!("2xx {count}"));
    assert_eq!(summary.counters(), [count, count, 0, 0]);
    assert_eq!(ended.stdout, b"", "standard output is kept free");
}

#[test]
fn each_request_carries_the_files_headers_a_timestamp_and_its_length() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.write("webhook.json", sample(&receiver.url()));
    let before = now_ms();
    let _ended = Launch::with_config(&config)
        .run(events_file())
        .expect_code(0);
    let after = now_ms();
    let requests = receiver.requests();
    assert!(!requests.is_empty());
    for request in &requests {
        assert_eq!(request.line(), "POST / HTTP/1.1");
        assert_eq!(
            request.header("Content-Type"),
            "application/vnd.kafka.json.v1+json"
        );
        assert_eq!(request.header("Producer-Type"), "reliable");
        assert_eq!(
            request.header("Content-Length"),
            request.body.len().to_string()
        );
        assert_eq!(
            format!("http://{}/", request.header("Host")),
            receiver.url()
        );
        assert!(request.headers("Transfer-Encoding").is_empty());
        let timestamp: u128 = request
            .header("Timestamp")
            .parse()
            .expect("epoch milliseconds");
        assert!(
            (before..=after).contains(&timestamp),
            "{before} {timestamp} {after}"
        );
    }
}

#[test]
fn connections_are_kept() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&best_effort(&receiver.url()));
    let lines: String = (0..200).map(|number| event("one", number) + "\n").collect();
    let _ended = Launch::with_config(&config).run(lines).expect_code(0);
    assert_eq!(receiver.requests().len(), 200);
    // A sender that has been idle may end, and with it its connection.
    assert!(
        receiver.connections() < 100,
        "{} connections",
        receiver.connections()
    );
}

#[test]
fn a_tasks_next_event_waits_for_the_answer_and_other_tasks_do_not() {
    let held = event("slow", 0);
    let first = held.clone().into_bytes();
    let receiver = Receiver::start(move |request: &Request| {
        if request.body == first {
            Reply::status(200).held()
        } else {
            Reply::status(200)
        }
    });
    let folder = Folder::new();
    let config = folder.config(&best_effort(&receiver.url()));
    let mut lines = held + "\n" + &event("slow", 1) + "\n";
    for number in 0..100 {
        lines.push_str(&(event(&format!("quick-{}", number % 20), number) + "\n"));
    }
    let mut process = Launch::with_config(&config).spawn();
    process.write(&lines);
    process.close_input();
    let early = receiver.wait_for_requests(101);
    let slow = early
        .iter()
        .filter(|request| task_of(&request.body) == "slow")
        .count();
    assert_eq!(
        slow, 1,
        "the second event of the task overtook the first one's answer"
    );
    receiver.release();
    let _ended = process.wait().expect_code(0);
    let sent: Vec<_> = lines.lines().map(|line| line.as_bytes().to_vec()).collect();
    check_arrived(&receiver.bodies(), &sent);
}

#[test]
fn a_body_is_not_rewritten() {
    // Valid, but nothing that our own writer would write.
    let line = r#"{"x": 1.50,  "task" :{"assignedTask":{"taskId":"t\u002d1 é\/"}, "x":1e2,"status":"RUNNING" },"task2":"\ud83d\ude00 😀","x":null}"#;
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&best_effort(&receiver.url()));
    let _ended = Launch::with_config(&config)
        .run(format!("{line}\n"))
        .expect_code(0);
    assert_eq!(receiver.bodies(), [line.as_bytes()]);
}

#[test]
fn states_that_the_target_did_not_ask_for_are_filtered_and_counted() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = best_effort(&receiver.url());
    config["statuses"] = serde_json::json!(["FAILED", "LOST"]);
    let config = folder.config(&config);
    let wanted = event("a", 1).replace("RUNNING", "FAILED");
    let lines = format!("{}\n{wanted}\n{}\n", event("a", 0), event("b", 2));
    let summary = Launch::with_config(&config)
        .run(lines)
        .expect_code(0)
        .summary();
    assert_eq!(receiver.bodies(), [wanted.as_bytes()]);
    assert_eq!(summary.count("/events"), 3);
    assert_eq!(summary.count("/delivered"), 1);
    assert_eq!(summary.count("/filtered"), 2);
}

#[test]
fn a_proxy_in_the_environment_is_not_used() {
    let receiver = Receiver::always(Reply::status(200));
    let proxy = Port::take();
    let folder = Folder::new();
    let config = folder.config(&best_effort(&receiver.url()));
    let mut launch = Launch::with_config(&config);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        launch = launch.env(name, &proxy.url());
    }
    let _ended = launch.run(event("a", 0)).expect_code(0);
    assert_eq!(receiver.requests().len(), 1);
}
