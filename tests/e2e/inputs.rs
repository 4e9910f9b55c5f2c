//! Named inputs: events of other schedulers than Aurora, over HTTP and from files, as they send them.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::{
    Admin, Ended, Folder, Launch, Process, Receiver, Reply, Signal, event, fixture, post, post_to,
};

fn target(url: &str) -> Value {
    json!({
        "name": "one",
        "headers": {},
        "targetURL": url,
        "timeoutMsec": 30_000,
        "responseTimeoutMsec": 30_000,
        "retry": { "initialMsec": 10, "maxMsec": 100 },
    })
}

/// A configuration with the presets as inputs, by their names, and one of pointers.
pub(crate) fn config(url: &str) -> Value {
    let presets = [
        "slurm",
        "nomad",
        "kubernetes",
        "airflow",
        "ray",
        "cloudevents",
    ];
    let mut inputs = serde_json::Map::new();
    for name in presets {
        inputs.insert(name.to_owned(), json!({ "schema": name }));
    }
    let batch = json!({ "schema": "pointers", "key": "/id", "each": "/events" });
    inputs.insert("batch".to_owned(), batch);
    json!({ "targets": [target(url)], "inputs": inputs, "maxEventBytes": 16 << 10,
        "queue": { "dir": "queue" } })
}

pub(crate) fn listening(folder: &Folder, config: &Value) -> Process {
    let config = folder.config(config);
    Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .spawn()
}

pub(crate) fn end(process: Process) -> Ended {
    process.signal(Signal::TERM);
    process.wait()
}

pub(crate) fn samples(name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read(fixture(&format!("schedulers/{name}"))).expect("it is committed");
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines.map(<[u8]>::to_vec).collect()
}

/// The lines of a file of rejects.
pub(crate) fn rejects(folder: &Path, input: &str) -> Vec<Value> {
    let path = folder.join("queue").join(format!("rejects-{input}.ndjson"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}

#[test]
fn a_document_with_an_event_that_is_not_understood_is_refused_as_a_whole() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &config(&receiver.url()));
    let url = process.listens();
    let long = format!("{{\"id\":3,\"text\":\"{}\"}}", "x".repeat(16 << 10));
    for (last, status, why) in [
        (
            "{\"job\":1}",
            422,
            "element 2 of the document: key: no value at",
        ),
        (
            "{\"id\":[]}",
            422,
            "element 2 of the document: key: expected a string",
        ),
        (
            &long,
            413,
            "element 2 of the document: it is longer than maxEventBytes",
        ),
    ] {
        let body = format!("{{\"events\":[{{\"id\":1}},{{\"id\":2}},{last}]}}");
        let told = post_to(&url, "/events/batch", &[], body)
            .expect_status(status)
            .json();
        let error = told["error"].as_str().expect("an error");
        assert!(error.starts_with(why), "{error}");
        assert_eq!(
            (&told["element"], &told["retry"]),
            (&json!(2), &json!(false))
        );
    }
    for (body, status) in [
        ("{", 400),
        ("{\"events\":[{]}", 400),
        ("{}", 422),
        ("", 400),
    ] {
        post_to(&url, "/events/batch", &[], body).expect_status(status);
    }
    // A form's type, none, or any other: the body says what it is.
    for kind in [
        &[][..],
        &["Content-Type: application/x-www-form-urlencoded"],
    ] {
        let body = "{\"events\":[ {\"id\" : 1.50} ,{\"id\":2}]}";
        let told = post_to(&url, "/events/batch", kind, body)
            .expect_status(200)
            .json();
        assert_eq!(told, json!({ "accepted": 2 }));
    }
    let mut bodies = receiver.wait_for_requests(4);
    bodies.retain(|request| request.body == b"{\"id\" : 1.50}");
    assert_eq!(bodies.len(), 2);
    let _ended = end(process).expect_code(0);
    assert_eq!(receiver.requests().len(), 4);
}

#[test]
fn lines_of_an_input_are_documents() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &config(&receiver.url()));
    let lines = "{\"events\":[{\"id\":1},{\"id\":2}]}\n{\"events\":[]}\n{\"events\":[3]}\n{\"events\":{\"id\":4}}\n";
    let headers = ["Content-Type: application/x-ndjson", "Idempotency-Key: k"];
    for round in 0..2 {
        let answer = post_to(&process.listens(), "/events/batch", &headers, lines);
        let told = answer.expect_status(207).json();
        let numbers = told["lines"].as_array().expect("lines").iter();
        let numbers: Vec<_> = numbers.map(|line| line["line"].as_u64()).collect();
        assert_eq!(numbers, [1, 1, 3, 4].map(Some), "{told}");
        assert_eq!(told["lines"][2]["status"], json!(422));
        for line in [0, 1, 3] {
            let repeated = (round == 1).then_some(true);
            assert_eq!(
                told["lines"][line]["duplicate"].as_bool(),
                repeated,
                "{told}"
            );
        }
    }
    receiver.wait_for_requests(3);
    let _ended = end(process).expect_code(0);
    assert_eq!(receiver.requests().len(), 3);
}

#[test]
fn an_unknown_path_is_told_the_inputs_and_the_default_input_is_auroras() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &config(&receiver.url()));
    let url = process.listens();
    for path in [
        "/events/slrum",
        "/events/",
        "/slurm/_doc",
        "/events//slurm",
        "/events/default",
    ] {
        let told = post_to(&url, path, &[], "{}").expect_status(404).json();
        let error = told["error"].as_str().expect("an error");
        assert!(
            error.contains("other inputs: /events/airflow, /events/batch"),
            "{path}: {error}"
        );
    }
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    post(&url, &form, event("one", 1)).expect_status(415);
    post_to(&url, "/events", &[], "[]").expect_status(422);
    let told = post_to(&url, "/events", &[], event("one", 1))
        .expect_status(200)
        .json();
    assert_eq!(
        (&told["targets"], told.as_object().map(|it| it.len())),
        (&json!(1), Some(3))
    );
    receiver.wait_for_requests(1);
    let ended = end(process).expect_code(0);
    assert!(
        ended.stderr.contains("rejected over HTTP: 422"),
        "{}",
        ended.stderr
    );
}

#[test]
fn the_settings_of_documents_hold_for_auroras_events_too() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = config(&receiver.url());
    config["events"] = json!({ "each": "/events", "unknown": "accept", "invalidUtf8": "replace",
        "omit": ["/pad"] });
    let process = listening(&folder, &config);
    let url = process.listens();
    let (first, second) = (event("a", 1), event("b", 2));
    let pad = "x".repeat(20_000);
    let padded = first.replacen('{', &format!("{{\"pad\":\"{pad}\","), 1);
    let document = format!(r#"{{"events":[{padded},{second}]}}"#);
    let answer = post(&url, &[], document.as_bytes()).expect_status(200);
    assert_eq!(answer.json(), json!({ "accepted": 2 }));
    let mut replaced = br#"{"events":{"task":{"assignedTask":{"taskId":"c"},"x":""#.to_vec();
    replaced.extend_from_slice(b"\xff\"}}}");
    let answer = post(&url, &[], &replaced).expect_status(200);
    assert_eq!(answer.json(), json!({ "accepted": 1 }));
    for unknown in [&b""[..], b"{"] {
        let answer = post(&url, &["Content-Type: a/b"], unknown).expect_status(200);
        assert_eq!(answer.json()["unknown"], json!(true));
    }
    // It is too long once it is UTF-8.
    let line = [&b"{\"x\":\""[..], &[0xe9; 10_000], b"\"}"].concat();
    let latin1 = ["Content-Type: application/x-ndjson; charset=ISO-8859-1"];
    let answer = post(&url, &latin1, &line).expect_status(200);
    assert_eq!(answer.json()["lines"][0]["unknown"], json!(true));
    receiver.wait_for_requests(3);
    let arrived: BTreeSet<_> = receiver.bodies().into_iter().collect();
    let replaced = "{\"task\":{\"assignedTask\":{\"taskId\":\"c\"},\"x\":\"\u{fffd}\"}}";
    let expected = [&*first, &*second, replaced].map(|body| body.as_bytes().to_vec());
    assert_eq!(arrived, expected.into());
    let _ended = end(process).expect_code(0);
}

#[test]
fn what_no_queue_of_this_size_can_hold_is_kept_as_a_reject() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = config(&receiver.url());
    config["maxEventBytes"] = json!(4 << 20);
    config["queue"]["maxBytes"] = json!(1 << 20);
    let process = listening(&folder, &config);
    let url = process.listens();
    let record = format!(
        r#"{{"jobid":1,"state":"FAILED","pad":"{}"}}"#,
        "x".repeat(2 << 20)
    );
    for kind in ["application/json", "application/x-ndjson"] {
        let headers = [&*format!("Content-Type: {kind}")];
        let answer = post_to(&url, "/events/slurm", &headers, &record).expect_status(200);
        let told = answer.json().to_string();
        assert!(told.contains(r#""unknown":true"#), "{told}");
    }
    let kept = rejects(folder.path(), "slurm");
    assert_eq!(kept.len(), 2);
    let reason = kept[0]["reason"].as_str().expect("it has one");
    assert!(reason.contains("does not fit a queue"), "{reason}");
    // The exit status tells of it: the queue refused them.
    let _ended = end(process).expect_code(1);
}

#[test]
fn cloud_events_come_in_each_mode_whatever_the_type_of_their_data() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &config(&receiver.url()));
    let url = process.listens();
    let path = "/events/cloudevents";
    let attributes = ["ce-specversion: 1.0", "ce-source: /s", "ce-type: t"];
    for (id, kind, body) in [
        ("json", "application/json", r#"{"a":1}"#),
        ("lines", "application/x-ndjson", "1\n2\n"),
        ("none", "application/cloudevents-schema", ""),
    ] {
        let (id, kind) = (format!("ce-id: {id}"), format!("Content-Type: {kind}"));
        let headers = [&attributes[..], &[&*id, &*kind]].concat();
        let answer = post_to(&url, path, &headers, body);
        match kind.contains("cloudevents") {
            true => answer.expect_status(415),
            false => answer.expect_status(200),
        };
    }
    let event =
        |id: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t"}}"#);
    let structured = ["Content-Type: application/cloudevents+json"];
    post_to(&url, path, &structured, event("structured")).expect_status(200);
    let batch = ["Content-Type: application/cloudevents-batch+json"];
    let body = format!("[{},{}]", event("first"), event("structured"));
    let answer = post_to(&url, path, &batch, body).expect_status(200);
    assert_eq!(answer.json(), json!({ "accepted": 2, "duplicates": 1 }));
    receiver.wait_for_requests(4);
    let arrived = receiver.bodies().into_iter().map(|body| {
        let event: Value = serde_json::from_slice(&body).expect("it is JSON");
        let data = ["data", "data_base64"].map(|name| event[name].clone());
        (event["id"].to_string(), data)
    });
    let arrived: BTreeMap<_, _> = arrived.collect();
    assert_eq!(arrived["\"json\""], [json!({ "a": 1 }), Value::Null]);
    assert_eq!(arrived["\"lines\""], [Value::Null, json!("MQoyCg==")]);
    assert_eq!(arrived["\"first\""], [Value::Null, Value::Null]);
    let _ended = end(process).expect_code(0);
}

#[test]
fn a_changed_input_is_heeded_after_a_reload() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let before = config(&receiver.url());
    let process = listening(&folder, &before);
    let (url, admin) = (process.listens(), Admin::of(&process));
    post_to(&url, "/events/more", &[], "{\"job\":1}").expect_status(404);
    let mut after = before.clone();
    after["inputs"]["more"] = json!({ "schema": "pointers", "key": "/job" });
    after["inputs"]["batch"]["unknown"] = json!("accept");
    folder.config(&after);
    admin.post("/api/v1/reload", "").expect_status(200);
    post_to(&url, "/events/more", &[], "{\"job\":1}").expect_status(200);
    post_to(&url, "/events/batch", &[], "{}").expect_status(200);
    folder.config(&before);
    admin.post("/api/v1/reload", "").expect_status(200);
    post_to(&url, "/events/more", &[], "{\"job\":2}").expect_status(404);
    receiver.wait_for_requests(1);
    let _ended = end(process).expect_code(0);
}

#[test]
fn files_of_several_inputs_are_read_at_the_same_time() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let file = folder.config(&config(&receiver.url()));
    let nomad = fixture("schedulers/nomad.ndjson");
    let odd = folder.write("odd=events.ndjson", event("one", 1) + "\n");
    let argument = |prefix: &str, path: &Path| format!("{prefix}{}", path.display());
    let acks = folder.path().join("acks.ndjson");
    let launch = |file: &Path| {
        Launch::with_config(file)
            .args(["--events", &argument("nomad=", &nomad)])
            .args(["--events", &argument("", &odd)])
            .args(["--acks", &argument("", &acks)])
    };
    let ended = launch(&file).run("").expect_code(0);
    let (states, delivered) = nomad_states(&receiver.bodies());
    assert!(!states.is_empty());
    assert_eq!(receiver.bodies().len(), delivered + 1);
    assert!(receiver.bodies().contains(&event("one", 1).into_bytes()));
    assert_eq!(ended.summary().count("/rejected"), 0);
    let acks = std::fs::read_to_string(&acks).expect("it is written");
    let acks: Vec<Value> = acks
        .lines()
        .map(|it| serde_json::from_str(it).expect("JSON"))
        .collect();
    let of = |path: &Path| {
        acks.iter()
            .filter(move |ack| ack["source"] == json!(path))
            .count()
    };
    let lines = samples("nomad.ndjson").len();
    assert_eq!((of(&nomad), of(&odd)), (lines, 1), "{acks:?}");
    // What was read is recognised by the ids in it.
    let _ended = launch(&file).run("").expect_code(0);
    assert_eq!(nomad_states(&receiver.bodies()).1, delivered);
}

/// The states of each allocation, and how many events they are.
fn nomad_states(bodies: &[Vec<u8>]) -> (BTreeMap<String, Vec<String>>, usize) {
    let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for body in bodies {
        let event: Value = serde_json::from_slice(body).expect("it is JSON");
        let Some(allocation) = event.pointer("/Payload/Allocation") else {
            continue;
        };
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let of = states.entry(text(&event["Key"])).or_default();
        of.push(text(&allocation["ClientStatus"]));
    }
    let count = states.values().map(Vec::len).sum();
    (states, count)
}

#[test]
fn a_followed_file_of_an_input_keeps_what_is_not_understood() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = config(&receiver.url());
    config["inputs"]["batch"]["unknown"] = json!("accept");
    let file = folder.config(&config);
    let long = "y".repeat(20 << 10);
    let text = format!(
        "{{\"events\":[{{\"id\":1}},7]}}\nno JSON\n{long}\n{{\"events\":[{{\"id\":2}}]}}\n"
    );
    let events = folder.write("events.ndjson", text);
    let launch = || {
        Launch::with_config(&file)
            .args(["--follow", "--admin", "0", "--events"])
            .arg(format!("batch={}", events.display()))
            .spawn()
    };
    for round in 0..2 {
        let process = launch();
        let admin = Admin::of(&process);
        if round == 0 {
            receiver.wait_for_requests(2);
            let sample = "webhookd_events_unknown_total{input=\"batch\"} 3\n";
            let kept = || admin.text("/metrics").contains(sample);
            assert!(process.wait_for(testkit::DEADLINE, kept));
            // An input that is read may not go away.
            let mut without = config.clone();
            without["inputs"]
                .as_object_mut()
                .expect("inputs")
                .remove("batch");
            folder.config(&without);
            let told = admin.post("/api/v1/reload", "").expect_status(422);
            let told = String::from_utf8_lossy(&told.body).into_owned();
            assert!(told.contains("input batch"), "{told}");
            folder.config(&config);
        } else {
            admin.text("/metrics");
        }
        let _ended = end(process).expect_code(0);
    }
    assert_eq!(receiver.requests().len(), 2, "the position was kept");
    let kept = rejects(folder.path(), "batch");
    let bodies: Vec<_> = kept
        .iter()
        .map(|line| line["body"].as_str().expect("text").len())
        .collect();
    assert_eq!(bodies, [1, 7, 16 << 10]);
    assert!(
        kept[0]["source"]
            .as_str()
            .expect("text")
            .ends_with("line 1"),
        "{}",
        kept[0]
    );
}

#[test]
fn a_document_that_finds_no_room_is_refused_and_accepted_as_a_whole_later() {
    let takes = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&takes);
    let receiver = Receiver::start(move |_| match answers.load(Ordering::SeqCst) {
        true => Reply::status(200),
        false => Reply::status(503),
    });
    let folder = Folder::new();
    let mut config = config(&receiver.url());
    config["targets"][0]["maxOwedBytes"] = json!(1 << 20);
    config["queue"] = json!({ "dir": "queue", "maxBytes": 1 << 20, "whenFull": "block" });
    let id = json!({ "schema": "pointers", "key": "/id", "id": "/id", "each": "" });
    config["inputs"]["batch"] = id;
    let file = folder.config(&config);
    let process = Launch::with_config(&file)
        .args(["--listen", "127.0.0.1:0", "--sync-timeout", "1s"])
        .spawn();
    let url = process.listens();
    let document = |number: usize| {
        let event = |index| json!({ "id": number * 10 + index, "text": "x".repeat(10_000) });
        json!((0..10).map(event).collect::<Vec<_>>()).to_string()
    };
    let mut documents = 0;
    let told = loop {
        let answer = post_to(&url, "/events/batch", &[], document(documents));
        documents += 1;
        if answer.status != 200 {
            break answer;
        }
        assert!(documents < 100, "the queue has no bound");
    };
    assert!(told.header("retry-after").is_some(), "{told:?}");
    let told = told.expect_status(503).json();
    assert_eq!(told["retry"], json!(true), "{told}");
    assert!(told["element"].is_u64(), "{told}");
    takes.store(true, Ordering::SeqCst);
    let accepted = || {
        let answer = post_to(&url, "/events/batch", &[], document(documents - 1));
        answer.status == 200 && answer.json()["accepted"] == json!(10)
    };
    assert!(process.wait_for(testkit::DEADLINE, accepted));
    let bodies = || -> BTreeSet<Vec<u8>> {
        let requests = receiver.requests().into_iter();
        requests.map(|request| request.body).collect()
    };
    assert!(process.wait_for(testkit::DEADLINE, || bodies().len() == documents * 10));
    // Some were refused.
    let _ended = end(process).expect_code(1);
    let requests = receiver.requests();
    let ids: BTreeSet<_> = requests.iter().map(|it| it.header("webhook-id")).collect();
    assert_eq!(ids.len(), documents * 10, "each event has one id");
}

#[test]
fn a_reject_that_cannot_be_kept_is_refused_for_now() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &config(&receiver.url()));
    let url = process.listens();
    let path = folder.path().join("queue").join("rejects-slurm.ndjson");
    std::fs::create_dir(&path).expect("the queue has a directory");
    let told = post_to(&url, "/events/slurm", &[], "{")
        .expect_status(503)
        .json();
    let error = told["error"].as_str().expect("an error");
    assert!(error.contains("rejects-slurm.ndjson"), "{error}");
    assert_eq!(told["retry"], json!(true));
    std::fs::remove_dir(&path).expect("it is empty");
    post_to(&url, "/events/slurm", &[], "{").expect_status(200);
    assert_eq!(rejects(folder.path(), "slurm").len(), 1);
    let _ended = end(process).expect_code(0);
}
