//! Nothing accepted is lost: kill -9, restarts, what is owed at the end, one queue for one
//! program.

use crate::deliver::by_task;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use testkit::{
    Folder, Launch, Port, Receiver, Reply, Request, Signal, best_effort, event, task_of,
};

/// A config of one reliable target that is tried again soon.
pub(crate) fn reliable(url: &str) -> Value {
    json!({
        "headers": { "Content-Type": "application/json" },
        "targetURL": url,
        "timeoutMsec": 30_000,
        "responseTimeoutMsec": 30_000,
        "retry": { "initialMsec": 10, "maxMsec": 100 },
    })
}

/// Acknowledgements in what was written: the id by line number.
///
/// A last line that was cut off by a kill is none.
pub(crate) fn acks(written: &[u8]) -> BTreeMap<u64, String> {
    let text = String::from_utf8_lossy(written);
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(|line| {
        let ack: Value = serde_json::from_str(line).expect("an acknowledgement is JSON");
        let number = ack["line"].as_u64().expect("it names its line");
        (
            number,
            ack["id"].as_str().expect("it names the event").to_owned(),
        )
    });
    let acks: Vec<_> = lines.collect();
    let count = acks.len();
    let acks: BTreeMap<_, _> = acks.into_iter().collect();
    assert_eq!(acks.len(), count, "a line is acknowledged once");
    acks
}

/// The bodies at their first arrival, in that order.
fn first_arrivals(requests: &[Request]) -> Vec<&[u8]> {
    let mut seen = HashSet::new();
    requests
        .iter()
        .map(|request| request.body.as_slice())
        .filter(|body| seen.insert(*body))
        .collect()
}

/// Events of several tasks in turns.
fn stream(tasks: usize, events: usize) -> Vec<String> {
    (0..events)
        .map(|number| event(&format!("task-{}", number % tasks), number))
        .collect()
}

fn owed_after_half_a_second(config: &Path) -> Launch {
    Launch::with_config(config).args(["--grace", "500ms"])
}

#[test]
fn a_kill_in_mid_stream_loses_nothing_acknowledged_and_keeps_each_tasks_order() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let events = stream(7, 3_000);
    let mut fed_from = 0;
    let mut ids: HashMap<String, String> = HashMap::new();
    // As a feeder would: after each kill it goes on behind the last acknowledged line.
    for kill_at in [40, 400, 900] {
        let input = folder.write("input.ndjson", events[fed_from..].join("\n") + "\n");
        let process = Launch::with_config(&config)
            .arg("--events")
            .arg(input)
            .args(["--acks", "-"])
            .spawn();
        receiver.wait_for_requests(kill_at);
        process.signal(Signal::KILL);
        let ended = process.wait();
        let acks = acks(&ended.stdout);
        let acknowledged = acks.len() as u64;
        assert!(
            acks.keys().copied().eq(1..=acknowledged),
            "the lines are acknowledged in their order, without a gap"
        );
        for (line, id) in acks {
            let index = fed_from + usize::try_from(line).expect("a line number") - 1;
            ids.insert(events[index].clone(), id);
        }
        fed_from += usize::try_from(acknowledged).expect("it is at most 3000");
    }
    let ended = Launch::with_config(&config)
        .run(events[fed_from..].join("\n") + "\n")
        .expect_code(0);
    assert_eq!(ended.summary().count("/owed"), 0);

    let requests = receiver.requests();
    assert_eq!(by_task(&first_arrivals(&requests)), by_task(&events));
    for (body, id) in ids {
        assert!(
            requests.iter().any(
                |request| request.body == body.as_bytes() && request.header("webhook-id") == id
            ),
            "{body} was acknowledged as {id} and has not arrived under this name"
        );
    }
}

#[test]
fn a_restart_goes_on_under_the_same_ids_in_each_tasks_order() {
    let hung = Receiver::always(Reply::silence());
    let folder = Folder::new();
    let config = folder.config(&reliable(&hung.url()));
    let events = stream(5, 60);
    let mut process = Launch::with_config(&config).args(["--acks", "-"]).spawn();
    process.write(events.join("\n") + "\n");
    process.wait_for_output("\"line\":60,");
    hung.wait_for_requests(5);
    process.signal(Signal::KILL);
    let acks = acks(&process.wait().stdout);
    let tried = hung.requests();
    drop(hung);

    let receiver = Receiver::always(Reply::status(200));
    let config = folder.config(&reliable(&receiver.url()));
    let ended = Launch::with_config(&config).run("").expect_code(0);
    assert_eq!(ended.summary().count("/delivered"), 60);
    let requests = receiver.requests();
    assert_eq!(by_task(&receiver.bodies()), by_task(&events));
    let id_of = |requests: &[Request], body: &str| -> Option<String> {
        let request = requests
            .iter()
            .find(|request| request.body == body.as_bytes());
        request.map(|request| request.header("webhook-id"))
    };
    for (index, body) in events.iter().enumerate() {
        let acknowledged = &acks[&(index as u64 + 1)];
        assert_eq!(
            id_of(&requests, body).as_ref(),
            Some(acknowledged),
            "{body}"
        );
        if let Some(before) = id_of(&tried, body) {
            assert_eq!(&before, acknowledged, "{body}");
        }
    }
    let different: HashSet<_> = acks.values().collect();
    assert_eq!(different.len(), 60, "each event has an id of its own");
}

#[test]
fn what_is_owed_at_the_end_is_told_and_delivered_by_the_next_run() {
    let port = Port::take();
    let folder = Folder::new();
    let config = folder.config(&reliable(&port.url()));
    let events = stream(3, 9);
    let ended = owed_after_half_a_second(&config)
        .run(events.join("\n"))
        .expect_code(3);
    assert_eq!(ended.summary().count("/owed"), 9);
    assert_eq!(ended.summary().count("/failed"), 0);
    assert!(
        ended
            .stderr
            .contains("9 deliveries are still owed, and safe in the queue"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("run webhookd again"),
        "{}",
        ended.stderr
    );

    let receiver = Receiver::always(Reply::status(200));
    let config = folder.config(&reliable(&receiver.url()));
    let ended = Launch::with_config(&config).run("").expect_code(0);
    assert_eq!(ended.summary().count("/events"), 0);
    assert_eq!(ended.summary().count("/delivered"), 9);
    assert_eq!(by_task(&receiver.bodies()), by_task(&events));

    let ended = Launch::with_config(&config).run("").expect_code(0);
    assert_eq!(
        ended.summary().count("/delivered"),
        0,
        "nothing is owed now"
    );
    assert_eq!(receiver.requests().len(), 9);
}

#[test]
fn new_events_of_a_task_come_after_those_that_it_is_owed() {
    let port = Port::take();
    let folder = Folder::new();
    let config = folder.config(&reliable(&port.url()));
    let events = stream(3, 12);
    let _ended = owed_after_half_a_second(&config)
        .run(events[..6].join("\n"))
        .expect_code(3);
    let receiver = Receiver::always(Reply::status(200));
    let config = folder.config(&reliable(&receiver.url()));
    let _ended = Launch::with_config(&config)
        .run(events[6..].join("\n"))
        .expect_code(0);
    assert_eq!(by_task(&receiver.bodies()), by_task(&events));
}

#[test]
fn the_queue_option_overrules_the_configuration() {
    let port = Port::take();
    let folder = Folder::new();
    let mut config = reliable(&port.url());
    config["queue"] = json!({ "dir": "from-the-file" });
    let path = folder.config(&config);
    let _ended = owed_after_half_a_second(&path)
        .arg("--queue")
        .arg(folder.path().join("given"))
        .run(event("one", 1))
        .expect_code(3);
    assert!(folder.path().join("given").is_dir());
    assert!(!folder.path().join("from-the-file").exists());
    let _ended = owed_after_half_a_second(&path).run("").expect_code(0);
    assert!(folder.path().join("from-the-file").is_dir());
}

#[test]
fn a_queue_that_another_webhookd_holds_is_refused() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let mut holder = Launch::with_config(&config).spawn();
    holder.write(event("one", 1) + "\n");
    receiver.wait_for_requests(1);

    let ended = Launch::with_config(&config)
        .args(["--queue-lock-timeout", "0s"])
        .run(event("one", 2))
        .expect_code(75);
    assert!(ended.stderr.contains("is in use"), "{}", ended.stderr);
    assert!(ended.stderr.contains("webhook-queue"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("close the program that holds it"),
        "{}",
        ended.stderr
    );

    holder.close_input();
    let _ended = holder.wait().expect_code(0);
    assert_eq!(receiver.bodies(), [event("one", 1).into_bytes()]);
}

#[test]
fn a_killed_webhookd_holds_its_queue_no_longer() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let mut process = Launch::with_config(&config).spawn();
    process.write(event("one", 1) + "\n");
    receiver.wait_for_requests(1);
    process.signal(Signal::KILL);
    assert_eq!(process.wait().code, None);
    let _ended = Launch::with_config(&config)
        .run(event("one", 2))
        .expect_code(0);
}

#[test]
fn events_are_acknowledged_while_the_receiver_is_down() {
    let port = Port::take();
    let folder = Folder::new();
    let config = folder.config(&reliable(&port.url()));
    let mut process = Launch::with_config(&config).args(["--acks", "-"]).spawn();
    process.write(event("one", 1) + "\n");
    process.wait_for_output("{\"line\":1,\"id\":\"evt_");
    process.signal(Signal::KILL);
    let ended = process.wait();
    let acks = acks(&ended.stdout);
    let id = &acks[&1];
    assert_eq!(id.len(), "evt_".len() + 32, "{id}");

    let receiver = Receiver::always(Reply::status(200));
    let config = folder.config(&reliable(&receiver.url()));
    let _ended = Launch::with_config(&config).run("").expect_code(0);
    assert_eq!(&receiver.requests()[0].header("webhook-id"), id);
}

#[test]
fn acknowledgements_name_lines_as_an_editor_counts_them() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["statuses"] = json!(["RUNNING"]);
    let config = folder.config(&config);
    let unwanted = event("one", 6).replace("RUNNING", "FINISHED");
    let lines = [
        event("one", 1),
        "no event".to_owned(),
        String::new(),
        event("one", 4),
        "{}".to_owned(),
        unwanted,
        event("two", 7),
    ];
    let ended = Launch::with_config(&config)
        .args(["--acks", "-"])
        .run(lines.join("\n") + "\n")
        .expect_code(1);
    let acks = acks(&ended.stdout);
    // An event without a target is safe; a line that is no event must be mended.
    assert_eq!(acks.keys().copied().collect::<Vec<_>>(), [1, 4, 6, 7]);
    assert_eq!(ended.summary().count("/filtered"), 1);
    assert_eq!(ended.summary().count("/rejected"), 2);
    for request in receiver.requests() {
        let line = lines
            .iter()
            .position(|line| line.as_bytes() == request.body)
            .expect("it was sent");
        assert_eq!(request.header("webhook-id"), acks[&(line as u64 + 1)]);
    }
}

#[test]
fn acknowledgements_are_added_to_a_file() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&reliable(&receiver.url()));
    let file = folder.write("acks", "before\n");
    let _ended = Launch::with_config(&config)
        .arg("--acks")
        .arg(&file)
        .run(event("one", 1))
        .expect_code(0);
    let written = std::fs::read_to_string(&file).expect("it is there");
    let added = written
        .strip_prefix("before\n")
        .expect("what was there stays");
    assert_eq!(acks(added.as_bytes()).len(), 1);
}

#[test]
fn best_effort_leaves_no_directory_and_acknowledges_nothing() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = best_effort(&receiver.url());
    config["queue"] = json!({ "dir": "queue" });
    let path = folder.config(&config);
    let ended = Launch::with_config(&path)
        .args(["--acks", "-"])
        .run(event("one", 1) + "\n" + &event("two", 2))
        .expect_code(0);
    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(acks(&ended.stdout).len(), 0, "nothing of it would survive");
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").file_name())
        .collect();
    assert_eq!(files, ["webhook.json"]);
}

#[test]
fn each_target_is_owed_its_own() {
    let receiver = Receiver::always(Reply::status(200));
    let port = Port::take();
    let folder = Folder::new();
    let config = |second: &str| {
        let mut targets = [reliable(&receiver.url()), reliable(second)];
        for (target, name) in targets.iter_mut().zip(["up", "down"]) {
            target["name"] = name.into();
        }
        json!({ "targets": targets })
    };
    let path = folder.config(&config(&port.url()));
    let events = stream(2, 6);
    let ended = owed_after_half_a_second(&path)
        .run(events.join("\n"))
        .expect_code(3);
    assert_eq!(ended.summary().count("/targets/0/owed"), 0);
    assert_eq!(ended.summary().count("/targets/1/owed"), 6);
    assert_eq!(receiver.requests().len(), 6);

    let second = Receiver::always(Reply::status(200));
    let path = folder.config(&config(&second.url()));
    let _ended = Launch::with_config(&path).run("").expect_code(0);
    assert_eq!(by_task(&second.bodies()), by_task(&events));
    assert_eq!(
        receiver.requests().len(),
        6,
        "the other one has had its own"
    );
    let ids = |receiver: &Receiver| -> HashMap<String, String> {
        let requests = receiver.requests();
        let ids = requests.iter().map(|request| {
            let body = String::from_utf8(request.body.clone()).expect("UTF-8");
            (body, request.header("webhook-id"))
        });
        ids.collect()
    };
    assert_eq!(
        ids(&receiver),
        ids(&second),
        "an event is one event everywhere"
    );
    assert!(
        receiver
            .bodies()
            .iter()
            .all(|body| task_of(body).starts_with("task-"))
    );
}
