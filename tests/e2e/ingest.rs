//! Events over HTTP: what is answered, and that an answer 2xx is kept.

use serde_json::{Value, json};
use webhook_tests::{Folder, Launch, Receiver, Reply, Signal, Webhookd, event, post};

/// A config of one reliable target.
fn reliable(url: &str) -> Value {
    json!({
        "headers": {},
        "targetURL": url,
        "timeoutMsec": 30_000,
        "responseTimeoutMsec": 30_000,
    })
}

fn listening(folder: &Folder, config: &Value) -> Launch {
    let config = folder.config(config);
    Launch::with_config(&config).args(["--listen", "127.0.0.1:0"])
}

/// Ends it in order, and returns what it said.
fn end(process: Webhookd) -> webhook_tests::Ended {
    process.signal(Signal::TERM);
    process.wait()
}

#[test]
fn an_event_is_answered_with_its_id_and_arrives_under_it() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &reliable(&receiver.url())).spawn();
    let url = process.listens();
    let answer = post(&url, &["Content-Type: application/json"], event("one", 1));
    assert_eq!(answer.status, 200, "{answer:?}");
    let arrived = &receiver.wait_for_requests(1)[0];
    assert_eq!(arrived.body, event("one", 1).as_bytes());
    let id = arrived.header("webhook-id");
    assert_eq!(
        answer.json(),
        json!({ "id": id, "targets": 1, "reliable": 1 })
    );
    assert_eq!(answer.header("webhook-id"), Some(&*id));
    let ended = end(process).expect_code(0);
    assert_eq!(ended.summary().count("/events"), 1);
    assert_eq!(ended.summary().count("/delivered"), 1);
}
