//! What the reader accepts, keeps and refuses.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use expect_test::{Expect, expect};
use std::fs;
use std::path::{Path, PathBuf};
use webhook_model::{EventHeader, Layout, MAX_DEPTH, ReadErrorKind, Release, ScheduleStatus};
use webhook_model::{Resource, StatusName, TaskStateChange};

fn read(json: &str) -> TaskStateChange {
    TaskStateChange::read(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn rewritten(json: &str) -> String {
    String::from_utf8(read(json).to_json().unwrap()).unwrap()
}

fn check_error(json: &str, expected: Expect) {
    let error = TaskStateChange::read(json.as_bytes()).unwrap_err();
    expected.assert_eq(&error.to_string());
}

fn in_config(member: &str) -> String {
    format!(
        r#"{{"task":{{"cachedHashCode":0,"assignedTask":{{"cachedHashCode":0,"task":{{"cachedHashCode":0,{member}}}}}}}}}"#
    )
}

#[test]
fn no_field_is_required() {
    for json in [
        "{}",
        r#"{"oldState":{}}"#,
        r#"{"task":{"cachedHashCode":0}}"#,
        r#"{"task":{"cachedHashCode":0,"assignedTask":{"cachedHashCode":0}},"oldState":{}}"#,
    ] {
        assert_eq!(rewritten(json), json);
    }
    assert!(read("{}").task().is_none());
    assert!(!EventHeader::read(b"{}").unwrap().has_task);
}

#[test]
fn fields_of_different_releases_may_be_mixed() {
    let json = in_config(
        r#""isService":true,"numCpus":0.5,"slaPolicy":{"cachedHashCode":0,"setField":"COUNT_SLA_POLICY","value":{"cachedHashCode":0,"count":1,"durationSecs":2}}"#,
    );
    assert_eq!(rewritten(&json), json);
    for &release in Release::ALL {
        assert!(!read(&json).fits(release), "{release}");
    }
}

#[test]
fn null_means_absent() {
    let json = r#"{"task":{"assignedTask":null,"status":null,"taskEvents":null},"oldState":null}"#;
    assert_eq!(rewritten(json), r#"{"task":{"cachedHashCode":0}}"#);
}

#[test]
fn every_form_of_the_old_state_is_read_and_written_back() {
    let cases = [
        (r#"{}"#, None),
        (r#"{"oldState":{}}"#, None),
        (r#"{"oldState":{"value":"PENDING"}}"#, Some("PENDING")),
        (r#"{"oldState":"PENDING"}"#, Some("PENDING")),
        (
            r#"{"oldState":{"value":"SOMETHING_NEW"}}"#,
            Some("SOMETHING_NEW"),
        ),
        (
            r#"{"oldState":{"reference":1,"value":"LOST","more":[]}}"#,
            Some("LOST"),
        ),
    ];
    for (json, state) in cases {
        assert_eq!(
            read(json).old_state().map(StatusName::name),
            state,
            "{json}"
        );
        assert_eq!(rewritten(json), json);
        let header = EventHeader::read(json.as_bytes()).unwrap();
        assert_eq!(
            header.old_state.as_ref().map(StatusName::name),
            state,
            "{json}"
        );
    }
    assert_eq!(read(r#"{"oldState":null}"#).old_state(), None);
    assert_eq!(
        EventHeader::read(br#"{"oldState":null}"#)
            .unwrap()
            .old_state,
        None
    );
}

#[test]
fn the_old_state_is_written_as_the_release_writes_it() {
    let change = read(r#"{"oldState":"PENDING"}"#);
    let as_of = |release| {
        let change = change.clone().with_layout(Layout::Of(release));
        String::from_utf8(change.to_json().unwrap()).unwrap()
    };
    assert_eq!(as_of(Release::V0_17), r#"{"oldState":{}}"#);
    assert_eq!(as_of(Release::V0_20), r#"{"oldState":{"value":"PENDING"}}"#);
}

#[test]
fn unknown_fields_keep_their_places() {
    let json = concat!(
        r#"{"before":[1,{"a":"\u003c"}],"task":{"cachedHashCode":0,"early":null,"#,
        r#""assignedTask":{"cachedHashCode":0,"taskId":"t","pool":{"x":1e5},"slaveId":"s"},"#,
        r#""status":"HIBERNATING","late":"\"}","taskEvents":[{"cachedHashCode":0,"timestamp":1,"#,
        r#""status":"HIBERNATING","zone":7}]},"oldState":{"value":"SNOOZING"},"after":-0.0}"#
    );
    assert_eq!(rewritten(json), json);
    let change = read(json);
    let hibernating = StatusName::Other("HIBERNATING".into());
    assert_eq!(change.new_state(), Some(&hibernating));
    let unknown: Vec<(&str, &str)> = change.task().unwrap().unknown_fields().collect();
    assert_eq!(unknown, [("early", "null"), ("late", r#""\"}""#)]);
}

#[test]
fn a_union_s_unknown_tag_is_kept_with_its_value_in_any_order_of_members() {
    let resources = concat!(
        r#""resources":[{"cachedHashCode":5,"setField":"TPU","value":{"kind":["v5"],"n":2}},"#,
        r#"{"cachedHashCode":0,"setField":"RAM_MB","value":16,"note":"x"}]"#
    );
    let json = in_config(resources);
    assert_eq!(rewritten(&json), json);
    let swapped =
        in_config(r#""resources":[{"value":{"n":2},"cachedHashCode":5,"setField":"TPU"}]"#);
    let change = read(&swapped);
    let config = change
        .task()
        .unwrap()
        .assigned_task()
        .unwrap()
        .task()
        .unwrap();
    let [union] = &**config.resources() else {
        panic!("{config:?}")
    };
    let Resource::Unknown(variant) = &**union else {
        panic!("{union:?}")
    };
    assert_eq!((variant.tag(), variant.json()), ("TPU", r#"{"n":2}"#));
}

#[test]
fn an_unknown_value_is_kept_without_its_blanks_and_with_those_of_its_strings() {
    let json = "{\n  \"new\": [ 1,\n \"a \\\" b\" ],\n \"oldState\": {}\n}\n";
    assert_eq!(rewritten(json), r#"{"new":[1,"a \" b"],"oldState":{}}"#);
}

#[test]
fn an_error_names_the_member_and_the_byte() {
    check_error(
        &in_config(
            r#""resources":[{"setField":"RAM_MB","value":1},{"setField":"DISK_MB","value":1},{"setField":7}]"#,
        ),
        expect![
            "task.assignedTask.task.resources[2].setField: expected a string, found a number, at line 1 column 181 (byte 180)"
        ],
    );
    check_error(
        "{\n \"é\": 1,\n \"é\": {\"x\": tru}}",
        expect!["é: expected a JSON value, found 't', at line 3 column 13 (byte 25)"],
    );
    check_error(
        r#"{"a\n\u001b[2J\"": tru}"#,
        expect![[
            r#"a\n\u{1b}[2J\": expected a JSON value, found 't', at line 1 column 20 (byte 19)"#
        ]],
    );
    check_error(
        r#"{"task":{"taskEvents":[{},{"timestamp":"now"}]}}"#,
        expect![
            "task.taskEvents[1].timestamp: expected a whole number of 64 bits, found a string, at line 1 column 40 (byte 39)"
        ],
    );
    check_error(
        r#"{"task":{"assignedTask":{"instanceId":4294967296}}}"#,
        expect![
            "task.assignedTask.instanceId: expected a whole number of 32 bits, found 4294967296, at line 1 column 39 (byte 38)"
        ],
    );
}

#[test]
fn a_string_cut_off_by_a_line_end_is_reported_there() {
    for json in [
        "{\"task\":{\"status\":\"LOST\n",
        "{\"task\":{\"other\":\"LOST\n",
    ] {
        let error = EventHeader::read(json.as_bytes()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("control character 0x0a in a string"),
            "{text}"
        );
        assert_eq!(error.offset(), json.len() - 1);
    }
}

#[test]
fn a_payload_that_contradicts_itself_is_refused() {
    check_error(
        &in_config(r#""resources":[{"setField":"RAM_MB","value":"http"}]"#),
        expect![
            "task.assignedTask.task.resources[0].value: RAM_MB by its setField, but expected a whole number of 64 bits, found a string, at line 1 column 133 (byte 132)"
        ],
    );
    check_error(
        &in_config(r#""resources":[{"cachedHashCode":0,"value":16}]"#),
        expect![
            "task.assignedTask.task.resources[0].setField: missing, so the type of this Resource is unknown, at line 1 column 105 (byte 104)"
        ],
    );
    check_error(
        &in_config(r#""container":{"cachedHashCode":0,"setField":"MESOS"}"#),
        expect![
            "task.assignedTask.task.container.value: missing, though setField is MESOS, at line 1 column 104 (byte 103)"
        ],
    );
    check_error(
        &in_config(r#""requestedPorts":["http","tcp","http"]"#),
        expect![
            "task.assignedTask.task.requestedPorts[2]: equal to element 0; a set holds no element twice, at line 1 column 129 (byte 128)"
        ],
    );
    check_error(
        r#"{"task":{"status":"LOST","status":"LOST"}}"#,
        expect!["task.status: a second member of this name, at line 1 column 35 (byte 34)"],
    );
    check_error(
        r#"{"task":{"assignedTask":{"assignedPorts":{"a":1,"a":1}}}}"#,
        expect![
            "task.assignedTask.assignedPorts: entry 1 has the key of an earlier one, at line 1 column 55 (byte 54)"
        ],
    );
}

#[test]
fn an_error_inside_a_value_does_not_contradict_its_tag() {
    let json = in_config(r#""container":{"setField":"MESOS","value":{"volumes":3}}"#);
    let error = TaskStateChange::read(json.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ReadErrorKind::Type);
    assert_eq!(
        error.path(),
        "task.assignedTask.task.container.value.volumes"
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |arrays: usize| {
        format!(r#"{{"new":{}{}}}"#, "[".repeat(arrays), "]".repeat(arrays)).into_bytes()
    };
    let bound = MAX_DEPTH as usize;
    assert!(TaskStateChange::read(&nested(bound - 1)).is_ok());
    assert!(EventHeader::read(&nested(bound - 1)).is_ok());
    for depth in [bound, 1_000_000] {
        for error in [
            TaskStateChange::read(&nested(depth)).unwrap_err(),
            EventHeader::read(&nested(depth)).unwrap_err(),
        ] {
            assert_eq!(
                (error.kind(), error.offset()),
                (ReadErrorKind::TooDeep, 6 + bound)
            );
        }
    }
}

fn fixtures(directory: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let mut files: Vec<PathBuf> = fs::read_dir(root.join(directory))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert!(!files.is_empty());
    files.sort();
    files
}

#[test]
fn no_invalid_fixture_is_a_payload_and_a_malformed_one_has_no_header_either() {
    for path in fixtures("invalid") {
        let bytes = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let error = TaskStateChange::read(&bytes).expect_err(&name);
        let malformed = matches!(
            error.kind(),
            ReadErrorKind::Syntax | ReadErrorKind::Encoding | ReadErrorKind::TooDeep
        );
        assert_eq!(malformed, name.starts_with("malformed-"), "{name}: {error}");
        if malformed {
            assert_eq!(EventHeader::read(&bytes).expect_err(&name), error, "{name}");
        }
    }
}

#[test]
fn the_payload_fixtures_are_written_as_read_and_have_the_fixed_table_s_hashes() {
    for path in fixtures("payloads") {
        for line in fs::read_to_string(&path).unwrap().lines() {
            let change = read(line);
            assert_eq!(String::from_utf8(change.to_json().unwrap()).unwrap(), line);
            let fits = |jvm: &webhook_model::Jvm| change.verify_hashes(jvm).wrong.is_empty();
            let fixed = webhook_model::IdentityHashes::fixed;
            assert!(
                Release::ALL.iter().any(|&release| {
                    change.fits(release) && fits(&webhook_model::Jvm::new(release, fixed()))
                }),
                "{line}"
            );
        }
    }
}

#[test]
fn the_header_agrees_with_the_payload() {
    let sample = include_bytes!("data/sample-exact.json");
    let header = EventHeader::read(sample).unwrap();
    assert_eq!(header.role.as_deref(), Some("vagrant"));
    assert_eq!(header.environment.as_deref(), Some("test"));
    assert_eq!(header.job_name.as_deref(), Some("http_example"));
    assert_eq!(header.instance_id, Some(8));
    assert_eq!(header.new_state, Some(ScheduleStatus::Pending.into()));
    assert_eq!(header.last_event_at, Some(1_464_992_060_258));
    assert_eq!(header, TaskStateChange::read(sample).unwrap().header());
}

#[test]
fn elements_that_differ_only_in_newer_fields_merge_in_an_older_layout() {
    let json = in_config(
        r#""mesosFetcherUris":[{"cachedHashCode":1,"value":"a","outputFile":"x"},{"cachedHashCode":2,"value":"a","outputFile":"y"}]"#,
    );
    let older = read(&json).with_layout(Layout::Of(Release::V0_21));
    let written = String::from_utf8(older.to_json().unwrap()).unwrap();
    assert!(
        written.contains(
            r#""mesosFetcherUris":[{"cachedHashCode":1,"value":"a","extract":false,"cache":false}]"#
        ),
        "{written}"
    );
}
