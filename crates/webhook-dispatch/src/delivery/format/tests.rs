use super::*;
use expect_test::{Expect, expect};

const EVENT: &str = r#"{"task":{"assignedTask":{"taskId":"www-data-prod-hello-0-\u00fc","task":{"job":{"role":"www-data","environment":"prod","name":"hello world"}}},"status":"RUNNING","taskEvents":[{"timestamp":1451606400007,"status":"RUNNING"}]},"oldState":{"value":"STARTING"}}"#;

/// The request for an event: its headers, an empty line, and its body.
fn sent(format: Format, event: &str, headers: HeaderMap) -> String {
    let mut headers = headers;
    prepare(format, &mut headers);
    let mut headers = HeaderLines::from(&headers);
    let parts = EventParts {
        body: event.as_bytes(),
        ..EventParts::default()
    };
    let encoded = encode(format, parts, "evt_1", 1_000, &mut headers);
    let mut text = String::new();
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", std::str::from_utf8(value).unwrap()))
        .collect();
    lines.sort();
    text.extend(lines);
    text.push('\n');
    text.push_str(std::str::from_utf8(&encoded).unwrap());
    text
}

fn check(format: Format, event: &str, expected: Expect) {
    expected.assert_eq(&sent(format, event, HeaderMap::new()));
}

#[test]
fn aurora_is_the_event_byte_for_byte() {
    let event = " {\"task\":{},  \"x\": 1.50}\n";
    let text = sent(Format::Aurora, event, HeaderMap::new());
    assert_eq!(text, format!("content-type: application/json\n\n{event}"));
}

#[test]
fn kafka_rest_is_a_record_keyed_by_the_task() {
    check(
        Format::KafkaRestV2,
        r#"{"task":{"assignedTask":{"taskId":"a\"b"}},"n":1.50}"#,
        expect![[r#"
            accept: application/vnd.kafka.v2+json
            content-type: application/vnd.kafka.json.v2+json

            {"records":[{"key":"a\"b","value":{"task":{"assignedTask":{"taskId":"a\"b"}},"n":1.50}}]}"#]],
    );
    check(
        Format::KafkaRestV2,
        r#"{"task":{}}"#,
        expect![[r#"
            accept: application/vnd.kafka.v2+json
            content-type: application/vnd.kafka.json.v2+json

            {"records":[{"key":null,"value":{"task":{}}}]}"#]],
    );
}

#[test]
fn binary_cloudevents_have_their_attributes_in_headers_and_the_event_in_the_body() {
    let text = sent(Format::CloudEventsBinary, EVENT, HeaderMap::new());
    let (head, body) = text.split_once("\n\n").unwrap();
    assert_eq!(body, EVENT);
    expect![[r#"
        ce-id: evt_1
        ce-source: /aurora/jobs/www-data/prod/hello%2520world
        ce-specversion: 1.0
        ce-subject: www-data-prod-hello-0-%C3%BC
        ce-time: 2016-01-01T00:00:00.007Z
        ce-type: org.apache.aurora.task.state-change
        content-type: application/json"#]]
    .assert_eq(head);
}

#[test]
fn structured_cloudevents_hold_the_event_byte_for_byte() {
    let text = sent(Format::CloudEventsStructured, EVENT, HeaderMap::new());
    let (head, body) = text.split_once("\n\n").unwrap();
    assert_eq!(
        head,
        "content-type: application/cloudevents+json; charset=UTF-8"
    );
    let attributes = body.strip_suffix(&format!(r#","data":{EVENT}}}"#)).unwrap();
    expect![[r#"{"specversion":"1.0","id":"evt_1","source":"/aurora/jobs/www-data/prod/hello%20world","type":"org.apache.aurora.task.state-change","subject":"www-data-prod-hello-0-ü","time":"2016-01-01T00:00:00.007Z","datacontenttype":"application/json""#]]
        .assert_eq(attributes);
}

#[test]
fn an_event_without_a_task_id_or_a_time_has_no_subject_and_the_time_of_its_acceptance() {
    check(
        Format::CloudEventsStructured,
        r#"{"task":{"assignedTask":{"taskId":""}}}"#,
        expect![[r#"
            content-type: application/cloudevents+json; charset=UTF-8

            {"specversion":"1.0","id":"evt_1","source":"/aurora/jobs///","type":"org.apache.aurora.task.state-change","time":"1970-01-01T00:00:01Z","datacontenttype":"application/json","data":{"task":{"assignedTask":{"taskId":""}}}}"#]],
    );
}

#[test]
fn a_configured_content_type_is_kept_in_every_format() {
    for &format in Format::ALL {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/own"));
        let text = sent(format, EVENT, headers);
        assert!(text.contains("content-type: text/own\n"), "{text}");
        assert_eq!(text.matches("content-type").count(), 1, "{text}");
    }
}

#[test]
fn characters_unsafe_in_a_header_are_percent_encoded() {
    let mut headers = HeaderLines::new();
    let name = HeaderName::from_static("ce-subject");
    push_escaped(&mut headers, &name, "a b\"c%d\u{1}\n\u{7f}é€~!");
    let escaped = headers.get("ce-subject").unwrap();
    assert_eq!(escaped, b"a%20b%22c%25d%01%0A%7F%C3%A9%E2%82%AC~!");
}

#[test]
fn configured_attributes_are_replaced() {
    let mut headers = HeaderMap::new();
    headers.insert("ce-id", HeaderValue::from_static("configured"));
    let text = sent(Format::CloudEventsBinary, EVENT, headers);
    assert_eq!(text.matches("ce-id").count(), 1, "{text}");
    assert!(text.contains("ce-id: evt_1\n"), "{text}");
}

fn receipt(body: &str) -> Result<(), (Outcome, Verdict, String)> {
    let answer = Answer {
        status: 200,
        retry_after: None,
        body: body.as_bytes().to_vec(),
        complete: true,
    };
    check_response(Format::KafkaRestV2, &answer)
}

#[test]
fn a_record_with_an_offset_was_accepted() {
    let accepted = r#"{"offsets":[{"partition":1,"offset":100,"error_code":null,"error":null}],"key_schema_id":null}"#;
    assert_eq!(receipt(accepted), Ok(()));
    assert_eq!(
        receipt(r#"{"offsets":[{"partition":1,"offset":100}]}"#),
        Ok(())
    );
}

#[test]
fn a_2xx_whose_body_reports_a_failed_record_is_a_failure() {
    for body in [
        r#"{"offsets":[{"partition":null,"offset":null,"error_code":50003,"error":"timed out"}]}"#,
        r#"{"offsets":[{"offset":1},{"error_code":1}]}"#,
        r#"{"offsets":[{"error":"broken"}]}"#,
        r#"{"offsets":[{"message":"broken"}]}"#,
        r#"{"offsets":[]}"#,
        r"{}",
        "",
        "<html>",
        r#"{"offsets":[{"error_code":null"#,
    ] {
        let (outcome, verdict, detail) = receipt(body).unwrap_err();
        assert_eq!((outcome, verdict), (Outcome::RecordError, Verdict::Failed));
        assert!(!detail.is_empty());
    }
}

#[test]
fn the_reason_of_a_failed_record_is_told_in_either_dialect() {
    for name in ["error", "message"] {
        let body = format!(r#"{{"offsets":[{{"error_code":500,"{name}":"too large"}}]}}"#);
        let (_, _, detail) = receipt(&body).unwrap_err();
        assert_eq!(detail, "the record was rejected: error_code 500: too large");
    }
}

#[test]
fn a_204_needs_no_receipt() {
    let answer = Answer {
        status: 204,
        retry_after: None,
        body: Vec::new(),
        complete: true,
    };
    assert_eq!(check_response(Format::KafkaRestV2, &answer), Ok(()));
}

#[test]
fn the_body_of_an_answer_counts_for_kafka_alone() {
    let answer = Answer {
        status: 200,
        retry_after: None,
        body: Vec::new(),
        complete: true,
    };
    for &format in Format::ALL {
        let accepted = check_response(format, &answer).is_ok();
        assert_eq!(accepted, format != Format::KafkaRestV2);
    }
}
