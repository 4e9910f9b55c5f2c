//! What was delivered is kept with `retain`, and is sent again to a receiver that has lost it.

use crate::durable::reliable;
use crate::postgres::{output, text, until};
use crate::workers::{Cluster, JSON, wait_for_shares};
use serde_json::{Value, json};
use testkit::{
    Admin, Folder, Launch, Process, Receiver, Reply, Request, Signal, event, post, task_of,
};

/// A target that keeps a mebibyte.
fn retaining(receiver: &Receiver) -> Value {
    let mut target = reliable(&receiver.url());
    target["name"] = json!("audit");
    target["retain"] = json!({ "maxBytes": 1 << 20 });
    target
}

fn config(target: &Value) -> Value {
    json!({ "targets": [target], "queue": { "dir": "queue" } })
}

fn listening(folder: &Folder, config: &Value) -> (Process, Admin) {
    let config = folder.config(config);
    let process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .spawn();
    let admin = Admin::of(&process);
    (process, admin)
}

fn stop(process: Process) {
    process.signal(Signal::TERM);
    process.wait().expect_code(0);
}

/// Posts so many events of five tasks, in turns to these.
fn send(urls: &[&str], count: usize) {
    for number in 0..count {
        let task = format!("task-{}", number % 5);
        let url = urls[number % 5 % urls.len()];
        post(url, &[JSON], event(&task, number)).expect_status(200);
    }
}

/// Deliveries that are kept, as they are listed.
pub(crate) fn kept(queue: &[&str]) -> Vec<Value> {
    let list = ["dead-letters", "list", "--delivered", "--format", "json"];
    let lines = output(&[&list[..], queue].concat());
    let parse = |line: &str| serde_json::from_str(line).expect("it is JSON");
    lines.lines().map(parse).collect()
}

fn time(letter: &Value) -> String {
    let at = letter["diedAt"].as_i64().expect("it has a time");
    webhook_dispatch::rfc3339(at).expect("it is a time")
}

fn member(letter: &Value, name: &str) -> String {
    letter[name].as_str().expect("it is text").to_owned()
}

/// What a receiver got of each task, as numbers and ids, in order.
fn by_task(requests: &[Request]) -> Vec<(String, String)> {
    let of = |request: &Request| (task_of(&request.body), request.header("webhook-id"));
    let mut found: Vec<_> = requests.iter().map(of).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Replays the kept deliveries of the middle of this list, and checks that these arrive, those of a
/// task in their order.
fn replay_the_middle(receiver: &Receiver, letters: &[Value], queue: &[&str]) {
    let before = receiver.requests().len();
    let (since, until) = (&letters[30]["diedAt"], &letters[70]["diedAt"]);
    let is_wanted = |letter: &&Value| {
        let at = letter["diedAt"].as_u64();
        at >= since.as_u64() && at < until.as_u64()
    };
    let mut expected: Vec<_> = letters
        .iter()
        .filter(is_wanted)
        .map(|it| (member(it, "task"), member(it, "id")))
        .collect();
    assert!(!expected.is_empty(), "the times differ");
    let (since, until) = (time(&letters[30]), time(&letters[70]));
    let replay = ["dead-letters", "replay", "--delivered", "--target", "audit"];
    let times = ["--since", &since, "--until", &until];
    let told = output(&[&replay[..], &times, queue].concat());
    assert_eq!(told, format!("{} owed again\n", expected.len()));
    let requests = receiver.wait_for_requests(before + expected.len());
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(by_task(&requests[before..]), expected);
}

#[test]
fn what_a_receiver_has_lost_is_sent_again_in_order_and_under_its_ids() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let (process, admin) = listening(&folder, &config(&retaining(&receiver)));
    send(&[&process.listens()], 100);
    receiver.wait_for_requests(100);
    admin.wait_for("audit", "kept", 100);
    let queue = folder.path().join("queue");
    let selector = ["--queue", text(&queue)];
    let letters = kept(&selector);
    assert_eq!(letters.len(), 100);
    assert!(
        letters
            .iter()
            .all(|it| it["delivered"] == true && it["attempts"] == 1)
    );
    // They are no dead letters, and there is no other target.
    let dead = ["dead-letters", "list", "--format", "json"];
    assert_eq!(output(&[&dead[..], &selector].concat()), "");
    let targets = admin.get("/api/v1/queue")["targets"].take();
    assert_eq!(targets.as_array().map(Vec::len), Some(1), "{targets}");
    assert_eq!(
        (&targets[0]["kept"], &targets[0]["deadLetters"]),
        (&json!(100), &json!(0))
    );
    let metrics = admin.text("/metrics");
    assert!(
        metrics.contains("webhookd_kept_events{target=\"audit\"} 100\n"),
        "{metrics}"
    );
    let groups = admin.get("/api/v1/dead-letters/groups?delivered=true")["groups"].take();
    assert_eq!(
        (&groups[0]["reason"], &groups[0]["count"]),
        (&json!("delivered"), &json!(100))
    );

    replay_the_middle(&receiver, &letters, &selector);
    // What is delivered again is kept again.
    admin.wait_for("audit", "kept", 100);
    let id = member(&letters[40], "id");
    let full = admin.get(&format!("/api/v1/dead-letters/{id}?delivered=true"));
    assert_eq!(full["deadLetters"][0]["entry"], letters[40]["entry"]);
    let show = ["dead-letters", "show", "--delivered", &id];
    assert!(output(&[&show[..], &selector].concat()).contains("\ndelivered: "));
    let nothing = Launch::new().args(["dead-letters", "replay", "--delivered"]);
    nothing.args(selector).run("").expect_code(2);
    stop(process);

    // So it is while webhookd is stopped.
    assert_eq!(kept(&selector).len(), 100);
    let verified = output(&["queue", "verify", selector[0], selector[1]]);
    let counted = "0 entries owed, 0 dead letters, 100 deliveries kept,";
    assert!(verified.contains(counted), "{verified}");
    let drop = ["dead-letters", "drop", "--delivered", "--task", "task-3"];
    assert_eq!(output(&[&drop[..], &selector].concat()), "20 dropped\n");
    let replay = ["dead-letters", "replay", "--delivered", "--all"];
    assert_eq!(
        output(&[&replay[..], &selector].concat()),
        "80 owed again\n"
    );
    let before = receiver.requests().len();
    let (process, admin) = listening(&folder, &config(&retaining(&receiver)));
    receiver.wait_for_requests(before + 80);
    admin.wait_for("audit", "kept", 80);
    stop(process);
}

#[test]
fn a_reload_begins_and_ends_keeping() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut target = retaining(&receiver);
    target["retain"] = Value::Null;
    let (process, admin) = listening(&folder, &config(&target));
    let url = process.listens();
    let reload = |target: &Value| {
        folder.config(&config(target));
        admin.post("/api/v1/reload", "").expect_status(200);
    };
    send(&[&url], 5);
    receiver.wait_for_requests(5);
    admin.wait_for("audit", "delivered", 5);
    reload(&retaining(&receiver));
    send(&[&url], 5);
    admin.wait_for("audit", "kept", 5);
    reload(&target);
    admin.wait_for("audit", "kept", 0);
    reload(&retaining(&receiver));
    send(&[&url], 7);
    admin.wait_for("audit", "kept", 7);
    target["name"] = json!("other");
    reload(&target);
    // What was kept of a target goes with it, once its worker has ended.
    let path = "/api/v1/queue/targets/audit";
    let drop = || admin.ask("DELETE", path, &[], "").status;
    until("it is dropped", drop, |status| *status != 409);
    let targets = admin.get("/api/v1/queue")["targets"].take();
    let mut names = targets.as_array().into_iter().flatten();
    assert!(names.all(|it| it["name"] != "audit"), "{targets}");
    assert_eq!(admin.get("/api/v1/queue")["events"], 0);
    stop(process);
}

#[test]
fn a_kill_loses_no_kept_delivery_and_sends_none_again() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let (process, admin) = listening(&folder, &config(&retaining(&receiver)));
    send(&[&process.listens()], 50);
    admin.wait_for("audit", "kept", 50);
    process.signal(Signal::KILL);
    let _killed = process.wait();
    let (process, admin) = listening(&folder, &config(&retaining(&receiver)));
    admin.wait_for("audit", "kept", 50);
    send(&[&process.listens()], 1);
    admin.wait_for("audit", "kept", 51);
    assert_eq!(receiver.requests().len(), 51);
    stop(process);
}

#[test]
fn the_worker_that_has_the_slots_sends_what_another_process_replays() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let receiver = Receiver::always(Reply::status(200));
    let database = cluster.postgres.url();
    let queue = json!({ "postgres": { "url": &database } });
    let config = json!({ "targets": [retaining(&receiver)], "queue": queue });
    cluster.folder.config(&config);
    let (first, second) = (cluster.worker(), cluster.worker());
    wait_for_shares(&[&first, &second]);
    send(&[&first.url, &second.url], 100);
    receiver.wait_for_requests(100);
    for worker in [&first, &second] {
        worker.admin.wait_for("audit", "kept", 100);
    }
    let selector = ["--queue", &database];
    let letters = kept(&selector);
    assert_eq!(letters.len(), 100);
    replay_the_middle(&receiver, &letters, &selector);
    for worker in [&first, &second] {
        worker.admin.wait_for("audit", "kept", 100);
        let targets = worker.admin.get("/api/v1/queue")["targets"].take();
        assert_eq!(targets.as_array().map(Vec::len), Some(1), "{targets}");
    }
    let folder = cluster.folder.path();
    first.stop();
    second.stop();

    // They move to a directory and back.
    let directory = folder.join("queue");
    let copy = |from: &str, to: &str| {
        let copied = output(&[
            "queue", "copy", "--format", "json", "--from", from, "--to", to,
        ]);
        let copied: Value = serde_json::from_str(&copied).expect("it is JSON");
        assert_eq!(copied["targets"]["audit"]["kept"], 100, "{copied}");
    };
    copy(&database, text(&directory));
    let in_directory = kept(&["--queue", text(&directory)]);
    let plain = |letters: &[Value]| -> Vec<_> {
        let of = letters.iter();
        of.map(|it| (member(it, "id"), it["attempts"].clone()))
            .collect()
    };
    // Those that were delivered again are as they are now.
    assert_eq!(plain(&in_directory), plain(&kept(&selector)));
    cluster.postgres.query("DROP SCHEMA webhook CASCADE");
    copy(text(&directory), &database);
    assert_eq!(plain(&kept(&selector)), plain(&in_directory));
}
