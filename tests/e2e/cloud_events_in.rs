//! CloudEvents that come in over HTTP: binary, structured and in batches.

use serde_json::{Value, json};
use testkit::{Answer, Client, Folder, Launch, Process, Receiver, Reply, Signal, fixture, post_to};

fn listening(folder: &Folder, url: &str, settings: &Value) -> Process {
    let config = json!({
        "targets": [{ "name": "one", "targetURL": url, "headers": {}, "timeoutMsec": 30_000 }],
        "inputs": { "ce": settings },
    });
    Launch::with_config(&folder.config(&config))
        .args(["--listen", "127.0.0.1:0"])
        .spawn()
}

fn end(process: Process) {
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
}

fn send(process: &Process, headers: &[&str], body: impl AsRef<[u8]>) -> Answer {
    post_to(&process.listens(), "/events/ce", headers, body)
}

fn structured(id: &str, more: &Value) -> Value {
    let mut event = json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "t.done" });
    let members = more.as_object().expect("an object").clone();
    event.as_object_mut().expect("an object").extend(members);
    event
}

const STRUCTURED: &str = "Content-Type: application/cloudevents+json; charset=UTF-8";
const BATCH: &str = "Content-Type: application/cloudevents-batch+json";

#[test]
fn knatives_requests_arrive_as_structured_events() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(
        &folder,
        &receiver.url(),
        &json!({ "schema": "cloudevents" }),
    );
    let text = std::fs::read_to_string(fixture("schedulers/knative.ndjson")).expect("committed");
    let requests: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    for round in 0..2 {
        for request in &requests {
            let headers = request["headers"].as_object().expect("headers").iter();
            let headers: Vec<String> = headers
                .map(|(name, value)| format!("{name}: {}", value.as_str().expect("text")))
                .collect();
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let answer = send(&process, &headers, request["body"].to_string());
            let told = answer.expect_status(200).json();
            assert_eq!(
                told["duplicate"].as_bool(),
                (round == 1).then_some(true),
                "{told}"
            );
        }
    }
    let arrived = receiver.wait_for_requests(requests.len());
    for (request, arrived) in requests.iter().zip(arrived) {
        let event: Value = serde_json::from_slice(&arrived.body).expect("it is JSON");
        assert_eq!(event["data"], request["body"]);
        assert_eq!(event["datacontenttype"], "application/json");
        for name in [
            "Id",
            "Source",
            "Specversion",
            "Subject",
            "Time",
            "Type",
            "Kind",
            "Namespace",
        ] {
            let header = &request["headers"][format!("Ce-{name}")];
            assert_eq!(event[name.to_lowercase()], *header, "{name}");
        }
        assert!(event.get("userAgent").is_none());
    }
    end(process);
    assert_eq!(receiver.requests().len(), requests.len());
}

#[test]
fn structured_events_and_batches_arrive_byte_for_byte() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(
        &folder,
        &receiver.url(),
        &json!({ "schema": "cloudevents" }),
    );
    let one = structured("1", &json!({ "subject": "a", "myext": 3, "data": [1, 2] }));
    let text = format!(" {one:#}\n");
    let told = send(&process, &[STRUCTURED], &text)
        .expect_status(200)
        .json();
    assert_eq!(told["targets"], json!(1));
    assert_eq!(receiver.wait_for_requests(1)[0].body, text.as_bytes());
    // The same as JSON, as some send it: it is known by its source and id.
    let told = send(
        &process,
        &["Content-Type: application/json"],
        one.to_string(),
    );
    assert_eq!(told.expect_status(200).json()["duplicate"], json!(true));
    let batch = [
        structured("2", &json!({ "data_base64": "AAE=" })),
        structured("3", &json!({})),
    ];
    let told = send(&process, &[BATCH], json!(batch).to_string())
        .expect_status(200)
        .json();
    assert_eq!(told, json!({ "accepted": 2 }));
    let bodies = receiver.wait_for_requests(3);
    for event in &batch {
        assert!(
            bodies
                .iter()
                .any(|it| it.body == event.to_string().into_bytes())
        );
    }
    let told = send(&process, &[BATCH], "[]").expect_status(200).json();
    assert_eq!(told, json!({ "accepted": 0 }));
    end(process);
}

#[test]
fn what_is_no_cloud_event_is_told_why() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(
        &folder,
        &receiver.url(),
        &json!({ "schema": "cloudevents" }),
    );
    let binary = ["ce-specversion: 1.0", "ce-id: 1", "ce-source: /s"];
    let with = |more: &'static str| [&binary[..], &[more]].concat();
    let mut without_id = structured("1", &json!({}));
    without_id.as_object_mut().expect("an object").remove("id");
    let mut old = structured("1", &json!({}));
    old["specversion"] = json!("0.3");
    let good = structured("1", &json!({}));
    let json_data = [
        &binary[..],
        &["ce-type: t", "Content-Type: application/json"],
    ]
    .concat();
    for (headers, body, status, why) in [
        (&binary[..], String::new(), 422, "ce-type is missing"),
        (&with("ce-type: %C0%A0"), String::new(), 400, "ce-type"),
        (&with("ce-my-ext: x"), String::new(), 400, "ce-my-ext"),
        (&json_data, "{".to_owned(), 400, "the data is not JSON"),
        (
            &[STRUCTURED],
            without_id.to_string(),
            422,
            "`id` is missing",
        ),
        (
            &[STRUCTURED],
            old.to_string(),
            422,
            "only 1.0 is understood",
        ),
        (&[STRUCTURED], "{".to_owned(), 422, "expected a JSON object"),
        (&[], "{}".to_owned(), 422, "`specversion` is missing"),
        (&[BATCH], format!("[{good},{old}]"), 422, "element 1"),
        (
            &["Content-Type: application/cloudevents+avro"],
            String::new(),
            415,
            "avro",
        ),
        (&["Content-Encoding: gzip"], String::new(), 415, "gzip"),
    ] {
        let told = send(&process, headers, body).expect_status(status).json();
        let error = told["error"].as_str().expect("an error");
        assert!(error.contains(why), "{error}");
    }
    // Nothing of a batch in which one element is not a CloudEvent.
    end(process);
    assert!(receiver.requests().is_empty());
}

#[test]
fn the_subject_orders_and_other_settings_replace_the_presets() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let settings =
        json!({ "schema": "cloudevents", "key": "/data/metadata/uid", "state": "/data/phase" });
    let process = listening(&folder, &receiver.url(), &settings);
    let headers = [
        "ce-specversion: 1.0",
        "ce-id: 1",
        "ce-source: /apis/tekton",
        "ce-type: dev.tekton.event.taskrun.failed.v1",
        "Content-Type: application/json",
    ];
    let body = r#"{"metadata":{"uid":"u-1"},"phase":"Failed"}"#;
    send(&process, &headers, body).expect_status(200);
    let told = send(&process, &headers[..4], r#"{"phase":"Failed"}"#)
        .expect_status(422)
        .json();
    let error = told["error"].as_str().expect("an error");
    assert!(error.contains("/data/metadata/uid"), "{error}");
    receiver.wait_for_requests(1);
    end(process);
}

#[test]
fn a_sender_that_asks_whether_it_may_send_is_told_so() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(
        &folder,
        &receiver.url(),
        &json!({ "schema": "cloudevents" }),
    );
    let mut client = Client::connect(&process.listens()).expect("it listens");
    let ask = |path: &str| {
        format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: x\r\nWebHook-Request-Origin: eventemitter.example.com\r\n\
             WebHook-Request-Rate: 120\r\n\r\n"
        )
    };
    client.send(ask("/events/ce")).expect("it reads");
    let answer = client.answer().expect("it answers").expect_status(200);
    assert_eq!(
        answer.header("webhook-allowed-origin"),
        Some("eventemitter.example.com")
    );
    assert_eq!(answer.header("webhook-allowed-rate"), Some("*"));
    assert!(
        answer
            .header("allow")
            .is_some_and(|methods| methods.contains("POST"))
    );
    // The default input takes no CloudEvents.
    client.send(ask("/events")).expect("it reads");
    client.answer().expect("it answers").expect_status(405);
    end(process);
}
