use super::*;
use expect_test::{Expect, expect};
use serde_json::json;
use webhook_config::{TargetBuilder, TargetUrl};
use webhook_event::{CloudEventTemplate, Template};
use webhook_queue::EventId;

const EVENT: &str = r#"{"task":{"assignedTask":{"taskId":"www-data-prod-hello-0-\u00fc","task":{"job":{"role":"www-data","environment":"prod","name":"hello world"}}},"status":"RUNNING","taskEvents":[{"timestamp":1451606400007,"status":"RUNNING"}]},"oldState":{"value":"STARTING"}}"#;

fn target(format: Format) -> TargetBuilder {
    let builder = Target::builder(TargetUrl::parse("http://localhost/").unwrap());
    match format {
        Format::Template => {
            builder.template(Template::from_json(&json!({ "is": "{state}" })).unwrap())
        }
        format => builder.format(format),
    }
}

/// An event of a request.
fn numbered(number: u128, parts: EventParts<'_>) -> RequestEvent<'_> {
    RequestEvent {
        trace: None,
        parts,
        id: EventId(number.to_be_bytes()),
        accepted_at: 1_000,
    }
}

/// The request for an event: its headers, an empty line, and its body.
fn requested(target: &Target, parts: EventParts<'_>) -> String {
    requested_together(target, &[numbered(1, parts)])
}

/// The request for some events.
fn requested_together(target: &Target, events: &[RequestEvent<'_>]) -> String {
    let mut headers = target.headers().clone();
    prepare(target.format(), &mut headers);
    let mut headers = HeaderLines::from(&headers);
    let encoded = encode(target, events, &mut headers).unwrap();
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

/// The request for an event of Aurora's.
fn sent(format: Format, event: &str, headers: HeaderMap) -> String {
    let mut target = target(format);
    for (name, value) in &headers {
        target = target.header(name.as_str(), value.to_str().unwrap());
    }
    let parts = EventParts {
        body: event.as_bytes(),
        ..EventParts::default()
    };
    requested(&target.build().unwrap(), parts)
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
        ce-id: evt_00000000000000000000000000000001
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
    expect![[r#"{"specversion":"1.0","id":"evt_00000000000000000000000000000001","source":"/aurora/jobs/www-data/prod/hello%20world","type":"org.apache.aurora.task.state-change","subject":"www-data-prod-hello-0-ü","time":"2016-01-01T00:00:00.007Z","datacontenttype":"application/json""#]]
        .assert_eq(attributes);
}

#[test]
fn an_event_without_a_task_id_or_a_time_has_no_subject_and_the_time_of_its_acceptance() {
    check(
        Format::CloudEventsStructured,
        r#"{"task":{"assignedTask":{"taskId":""}}}"#,
        expect![[r#"
            content-type: application/cloudevents+json; charset=UTF-8

            {"specversion":"1.0","id":"evt_00000000000000000000000000000001","source":"/aurora/jobs///","type":"org.apache.aurora.task.state-change","time":"1970-01-01T00:00:01Z","datacontenttype":"application/json","data":{"task":{"assignedTask":{"taskId":""}}}}"#]],
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
fn configured_attributes_are_replaced() {
    let mut headers = HeaderMap::new();
    headers.insert("ce-id", HeaderValue::from_static("configured"));
    let text = sent(Format::CloudEventsBinary, EVENT, headers);
    assert_eq!(text.matches("ce-id").count(), 1, "{text}");
    assert!(text.contains("ce-id: evt_0000"), "{text}");
}

const SLURM: &str = r#"{"jobid":17,"partition":"long run","state":"FAILED","n":1.50}"#;

/// An event of a named input, with what was read of it.
fn slurm(attributes: &'static str) -> EventParts<'static> {
    EventParts {
        body: SLURM.as_bytes(),
        key: b"17",
        attributes: attributes.as_bytes(),
    }
}

const ATTRIBUTES: &str =
    r#"{"input":"slurm","state":"FAILED","job":["long run","al/ice"],"time":1451606400007}"#;

#[test]
fn an_event_of_another_scheduler_has_its_own_attributes() {
    let target = target(Format::CloudEventsStructured).build().unwrap();
    expect![[r#"
        content-type: application/cloudevents+json; charset=UTF-8

        {"specversion":"1.0","id":"evt_00000000000000000000000000000001","source":"/slurm/jobs/long%20run/al%2Fice","type":"webhookd.task.state-change","subject":"17","time":"2016-01-01T00:00:00.007Z","datacontenttype":"application/json","data":{"jobid":17,"partition":"long run","state":"FAILED","n":1.50}}"#]].assert_eq(&requested(&target, slurm(ATTRIBUTES)));
    // Of the default input, without a job and a time.
    expect![[r#"
        content-type: application/cloudevents+json; charset=UTF-8

        {"specversion":"1.0","id":"evt_00000000000000000000000000000001","source":"/jobs","type":"webhookd.task.state-change","subject":"17","time":"1970-01-01T00:00:01Z","datacontenttype":"application/json","data":{"jobid":17,"partition":"long run","state":"FAILED","n":1.50}}"#]].assert_eq(&requested(&target, slurm(r#"{"state":"FAILED"}"#)));
}

#[test]
fn source_and_type_are_made_by_templates() {
    let templates = json!({ "source": "/hpc/{/partition}/{job}", "type": "com.example.{state}" });
    for (format, event) in [
        (Format::CloudEventsBinary, slurm(ATTRIBUTES)),
        (
            Format::CloudEventsStructured,
            EventParts {
                body: EVENT.as_bytes(),
                ..EventParts::default()
            },
        ),
    ] {
        let target = target(format)
            .cloud_events(CloudEventTemplate::from_json(&templates).unwrap())
            .build()
            .unwrap();
        let text = requested(&target, event);
        let expected = match format {
            Format::CloudEventsBinary => [
                "ce-source: /hpc/long%2520run/long%2520run/al%252Fice\n",
                "ce-type: com.example.FAILED\n",
            ],
            _ => [
                r#""source":"/hpc//www-data/prod/hello%20world","#,
                r#""type":"com.example.RUNNING","#,
            ],
        };
        for expected in expected {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }
}

#[test]
fn a_cloud_event_keeps_its_own_attributes() {
    let body = r#"{"specversion":"1.0","id":"a b","source":"/s","type":"t","time":null,"extension1":7,"datacontenttype":"application/json; charset=utf-8","data": {"n": 1.50}}"#;
    let event = EventParts {
        body: body.as_bytes(),
        key: b"k",
        attributes: br#"{"input":"ce"}"#,
    };
    let structured = target(Format::CloudEventsStructured).build().unwrap();
    assert!(requested(&structured, event).ends_with(&format!("\n\n{body}")));
    let binary = target(Format::CloudEventsBinary);
    expect![[r#"
        ce-extension1: 7
        ce-id: a%20b
        ce-source: /s
        ce-specversion: 1.0
        ce-type: t
        content-type: application/json; charset=utf-8

        {"n": 1.50}"#]]
    .assert_eq(&requested(&binary.clone().build().unwrap(), event));
    let configured = binary.header("Content-Type", "text/own").build().unwrap();
    assert!(requested(&configured, event).contains("content-type: text/own\n"));
    // An event of Aurora's is no CloudEvent, whatever members it has.
    let aurora = EventParts {
        attributes: b"",
        ..event
    };
    assert!(requested(&structured, aurora).contains(CLOUD_EVENT_TYPE));
}

#[test]
fn the_data_of_a_cloud_event_is_the_body_in_binary_mode() {
    let target = target(Format::CloudEventsBinary).build().unwrap();
    for (data, expected) in [
        (
            r#""datacontenttype":"text/plain","data":"a \"b\"""#,
            "content-type: text/plain\n\na \"b\"",
        ),
        (
            r#""data":"text""#,
            "content-type: application/json\n\n\"text\"",
        ),
        (
            r#""datacontenttype":"a/b+json","data":"text""#,
            "content-type: a/b+json\n\n\"text\"",
        ),
        (
            r#""datacontenttype":"image/x","data_base64":"AUI=""#,
            "content-type: image/x\n\n\u{1}B",
        ),
        (
            r#""datacontenttype":"text/xml","data":{"a":1}"#,
            "content-type: text/xml\n\n{\"a\":1}",
        ),
        (r#""subject":"s""#, "content-type: application/json\n\n"),
    ] {
        let body = format!(r#"{{"specversion":"1.0","id":"i","source":"/s","type":"t",{data}}}"#);
        let event = EventParts {
            body: body.as_bytes(),
            key: b"",
            attributes: b"{}",
        };
        let text = requested(&target, event);
        assert!(text.ends_with(expected), "{text}");
    }
}

#[test]
fn a_template_makes_the_body() {
    let template = json!({
        "text": "{key} {state} {oldState} {job} {id} {time} {input}", "whole": { "$at": "" },
    });
    let template = Template::from_json(&template).unwrap();
    let target = target(Format::Aurora).template(template);
    let built = target.clone().build().unwrap();
    expect![[r#"
        content-type: application/json

        {"text":"17 FAILED  long run/al/ice evt_00000000000000000000000000000001 2016-01-01T00:00:00.007Z slurm","whole":{"jobid":17,"partition":"long run","state":"FAILED","n":1.50}}"#]].assert_eq(&requested(&built, slurm(ATTRIBUTES)));
    let aurora = EventParts { body: br#"{"task":{"assignedTask":{"taskId":"t","task":{"job":{"role":"r","environment":"e","name":"n"}}},"status":"LOST"},"oldState":{"value":"RUNNING"}}"#, ..EventParts::default() };
    let text = requested(&built, aurora);
    assert!(
        text.contains(r#""text":"t LOST RUNNING r/e/n evt_00000000000000000000000000000001  ""#),
        "{text}"
    );
}

#[test]
fn a_body_over_the_bound_cannot_be_sent() {
    let template = Template::from_json(&json!(["{/a}"])).unwrap();
    let target = target(Format::Aurora)
        .template(template)
        .max_body_bytes(1024)
        .build()
        .unwrap();
    let event = format!(r#"{{"task":{{}},"a":"{}"}}"#, "x".repeat(1024));
    let parts = EventParts {
        body: event.as_bytes(),
        ..EventParts::default()
    };
    let error = encode(&target, &[numbered(1, parts)], &mut HeaderLines::new()).unwrap_err();
    assert_eq!(error, "the body is longer than 1024 bytes");
}

#[test]
fn a_record_is_keyed_by_the_events_key() {
    let target = target(Format::KafkaRestV2).build().unwrap();
    let text = requested(&target, slurm(ATTRIBUTES));
    assert!(
        text.contains(r#"{"records":[{"key":"17","value":{"jobid":17,"#),
        "{text}"
    );
    let keyless = EventParts {
        key: b"",
        ..slurm(ATTRIBUTES)
    };
    assert!(requested(&target, keyless).contains(r#"{"records":[{"key":null,"#));
}

const HOSTILE: &str = "{\"task\":{},\r\n \"x\": \"a\\nb\"}\n";

#[test]
fn a_line_of_ndjson_has_one_event_whatever_white_space_it_has() {
    let parts = |body: &'static str| EventParts {
        body: body.as_bytes(),
        ..EventParts::default()
    };
    let target = target(Format::Ndjson).build().unwrap();
    let several = [
        numbered(1, parts(HOSTILE)),
        numbered(2, parts("{\"n\": 1.50}")),
    ];
    expect![[r#"
        content-type: application/x-ndjson

        {"task":{},   "x": "a\nb"} 
        {"n": 1.50}
    "#]]
    .assert_eq(&requested_together(&target, &several));
    assert!(requested(&target, parts("{}")).ends_with("\n\n{}\n"));
}

#[test]
fn a_json_array_holds_the_events_byte_for_byte() {
    let parts = |body: &'static str| EventParts {
        body: body.as_bytes(),
        ..EventParts::default()
    };
    let target = target(Format::JsonArray).build().unwrap();
    let several = [
        numbered(1, parts(HOSTILE)),
        numbered(2, parts("{\"n\": 1.50}")),
    ];
    let text = requested_together(&target, &several);
    let expected = format!("content-type: application/json\n\n[{HOSTILE},{{\"n\": 1.50}}]");
    assert_eq!(text, expected);
    assert!(requested(&target, parts("{}")).ends_with("\n\n[{}]"));
}

#[test]
fn a_batch_of_cloudevents_is_an_array_of_structured_ones() {
    let own = r#"{"specversion":"1.0","id":"own","source":"/s","type":"t","data": {"n": 1.50}}"#;
    let own = EventParts {
        body: own.as_bytes(),
        key: b"k",
        attributes: br#"{"input":"ce"}"#,
    };
    let aurora = EventParts {
        body: EVENT.as_bytes(),
        ..EventParts::default()
    };
    let of = |format| target(format).build().unwrap();
    let (batched, structured) = (
        of(Format::CloudEventsBatch),
        of(Format::CloudEventsStructured),
    );
    let events = [
        numbered(1, aurora),
        numbered(2, own),
        numbered(3, slurm(ATTRIBUTES)),
    ];
    let bodies: Vec<String> = events
        .iter()
        .map(|event| {
            let text = requested_together(&structured, std::slice::from_ref(event));
            text.split_once("\n\n").unwrap().1.to_owned()
        })
        .collect();
    assert!(bodies[2].contains(r#""id":"evt_00000000000000000000000000000003""#));
    assert_eq!(
        requested_together(&batched, &events),
        format!(
            "content-type: application/cloudevents-batch+json; charset=UTF-8\n\n[{}]",
            bodies.join(",")
        )
    );
    let one = requested(&batched, aurora);
    assert!(one.ends_with(&format!("\n\n[{}]", bodies[0])), "{one}");
}

#[test]
fn a_request_to_kafka_has_a_record_for_each_event() {
    let target = target(Format::KafkaRestV2).build().unwrap();
    let aurora = EventParts {
        body: br#"{"task":{"assignedTask":{"taskId":"a"}}}"#,
        ..EventParts::default()
    };
    let events = [numbered(1, aurora), numbered(2, slurm(ATTRIBUTES))];
    let text = requested_together(&target, &events);
    expect![[r#"{"records":[{"key":"a","value":{"task":{"assignedTask":{"taskId":"a"}}}},{"key":"17","value":{"jobid":17,"partition":"long run","state":"FAILED","n":1.50}}]}"#]]
        .assert_eq(text.split_once("\n\n").unwrap().1);
}

#[test]
fn a_format_without_room_for_several_events_refuses_them() {
    let parts = EventParts {
        body: EVENT.as_bytes(),
        ..EventParts::default()
    };
    for &format in Format::ALL {
        let target = target(format).build().unwrap();
        let several = [numbered(1, parts), numbered(2, parts)];
        let encoded = encode(&target, &several, &mut HeaderLines::new());
        assert_eq!(encoded.is_ok(), format.can_batch(), "{encoded:?}");
    }
}
