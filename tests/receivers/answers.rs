//! The answers of each receiver to requests made by hand.

use crate::programs::{Language, Program};
use crate::{SECRET, in_each_language};
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::{Client, post, post_bytes};
use webhook_receiver::{DEFAULT_MAX_BODY_BYTES, Secret};

in_each_language! {
    each_failure_has_the_status_on_which_webhookd_does_the_right_thing
    an_event_is_stored_once_in_whatever_request_it_comes
}

/// The header lines of a request, signed now.
fn signed(id: &str, body: &[u8]) -> Vec<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs().to_string();
    let signature = Secret::parse(SECRET).unwrap().sign(id, &now, body);
    vec![
        format!("webhook-id: {id}"),
        format!("webhook-timestamp: {now}"),
        format!("webhook-signature: {signature}"),
    ]
}

/// Posts a signed request with further header lines.
fn send(url: &str, id: &str, more: &[&str], body: &str) -> u16 {
    let lines = signed(id, body.as_bytes());
    let lines: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    post(url, &lines, body).status
}

fn each_failure_has_the_status_on_which_webhookd_does_the_right_thing(language: Language) {
    let Some(program) = Program::find(language) else {
        return;
    };
    let (_process, url) = program.start();
    assert_eq!(post(&url, &[], "{}").status, 401, "without a signature");
    let lines = signed("evt_1", b"{}");
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(
        post(&url, &lines, "[]").status,
        401,
        "another body than was signed"
    );
    assert_eq!(
        send(&url, "bat_1", &["webhook-event-ids: a,b"], "[1,2,3]"),
        400
    );
    assert_eq!(
        send(&url, "bat_1", &["webhook-event-ids: a,b"], "[1,2"),
        400
    );
    assert_eq!(
        send(&url, "evt_1", &["webhook-event-ids: a"], "{\"a\":1}"),
        400
    );
    let batch = "Content-Type: application/cloudevents-batch+json";
    assert_eq!(send(&url, "bat_1", &[batch], "{"), 400);

    let length = DEFAULT_MAX_BODY_BYTES + 1;
    let mut client = Client::connect(&url).unwrap();
    let request = post_bytes(&[], vec![b' '; length]);
    let head = request.len() - length;
    let sent = if program.refuses_by_length() {
        head
    } else {
        request.len()
    };
    client.send(&request[..sent]).unwrap();
    assert_eq!(client.answer().unwrap().status, 413);

    assert_eq!(program.stored(), []);
    assert_eq!(send(&url, "evt_1", &[], "{}"), 204, "it goes on");
    assert_eq!(program.stored(), [("evt_1".to_owned(), "{}".to_owned())]);
}

fn an_event_is_stored_once_in_whatever_request_it_comes(language: Language) {
    let Some(program) = Program::find(language) else {
        return;
    };
    let ndjson = "Content-Type: application/x-ndjson";
    let (process, url) = program.start();
    assert_eq!(send(&url, "evt_1", &[], r#"{"n":1}"#), 204);
    let ids = ["webhook-event-ids: evt_1,evt_2", "webhook-event-ids: evt_3"];
    let all = "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n";
    assert_eq!(send(&url, "bat_1", &[ndjson, ids[0], ids[1]], all), 204);
    assert_eq!(
        send(
            &url,
            "evt_2",
            &[ndjson, "webhook-event-ids: evt_2"],
            "{\"n\":2}\n"
        ),
        204,
        "a batch of one"
    );
    assert_eq!(
        send(&url, "evt_3", &["webhook-event-ids: evt_3"], "[{\"n\":3}]"),
        204,
        "an array of one"
    );
    assert_eq!(
        send(&url, "evt_4", &[], r#"[{"n":4},5]"#),
        204,
        "an event that is an array"
    );
    drop(process);
    let (_process, url) = program.start();
    assert_eq!(send(&url, "evt_3", &[], r#"{"n":3}"#), 204);
    let stored = program.stored();
    let ids: Vec<&str> = stored.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["evt_1", "evt_2", "evt_3", "evt_4"]);
    let texts: Vec<&str> = stored.iter().map(|(_, text)| text.as_str()).collect();
    let expected = [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"[{"n":4},5]"#];
    assert_eq!(texts, expected);
}
