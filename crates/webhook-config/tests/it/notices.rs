//! The target of webhookd's own events.

use crate::{errors, parse, problems};
use serde_json::Value;
use webhook_config::{Config, InputFilter, InputName};

/// A file of the targets `audit` and `ops`, with more keys for the file and for `ops`.
fn file(of_file: &str, of_ops: &str) -> String {
    let target = r#""targetURL": "http://x/", "headers": {}, "timeoutMsec": 500"#;
    format!(
        r#"{{"targets": [{{"name": "audit", {target}}}, {{"name": "ops", {target}{of_ops}}}]{of_file}}}"#
    )
}

fn config(of_file: &str, of_ops: &str) -> Config {
    let loaded = parse(&file(of_file, of_ops)).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.config
}

const NOTICES: &str = r#", "notices": {"target": "ops"}"#;

#[test]
fn the_target_of_notices_gets_them_besides_the_events_of_its_inputs() {
    for (inputs, expected) in [
        ("", InputFilter::only(["default", "notices"])),
        (r#", "inputs": []"#, InputFilter::only(["notices"])),
        (
            r#", "inputs": ["default"]"#,
            InputFilter::only(["default", "notices"]),
        ),
        (r#", "inputs": ["notices"]"#, InputFilter::only(["notices"])),
    ] {
        let config = config(NOTICES, inputs);
        assert_eq!(config.notices().unwrap().as_str(), "ops");
        assert_eq!(*config.targets()[0].inputs(), InputFilter::All);
        assert!(!config.targets()[0].inputs().accepts(InputName::NOTICES));
        assert_eq!(*config.targets()[1].inputs(), expected);
        let names: Vec<_> = config.inputs().map(|(name, _)| name).collect();
        assert_eq!(names, ["", "notices"]);
        let shown = serde_json::to_value(config.show()).unwrap();
        assert_eq!(shown["notices"]["target"], "ops");
        assert_eq!(shown["inputs"], Value::Object(serde_json::Map::new()));
        assert_eq!(parse(&shown.to_string()).unwrap().config, config);
    }
    let without = config("", "");
    assert!(without.notices().is_none() && without.input("notices").is_none());
}

#[test]
fn another_target_gets_notices_if_its_inputs_name_them() {
    let text = file(
        r#", "notices": {"target": "audit"}"#,
        r#", "inputs": ["notices"]"#,
    );
    let config = parse(&text).unwrap().config;
    assert_eq!(
        *config.targets()[1].inputs(),
        InputFilter::only(["notices"])
    );
    assert_eq!(
        errors(&file("", r#", "inputs": ["notices"]"#)),
        ["unknown-input"]
    );
}

#[test]
fn notices_need_a_reliable_target() {
    let check = |of_file: &str, of_ops: &str, code: &str, message: &str, help: &str| {
        let problems = problems(&file(of_file, of_ops));
        let problem = problems.iter().next().unwrap();
        assert_eq!(problem.code().as_str(), code);
        assert_eq!(problem.message(), message);
        assert_eq!(problem.help().unwrap_or_default(), help);
    };
    check(
        r#", "notices": {"target": "opps"}"#,
        "",
        "unknown-target",
        "unknown target `opps`",
        "did you mean `ops`?",
    );
    check(
        r#", "notices": {"target": "pager"}"#,
        "",
        "unknown-target",
        "unknown target `pager`",
        "the name of a target; there are `audit`, `ops`",
    );
    check(
        NOTICES,
        r#", "delivery": "best-effort""#,
        "conflicting-keys",
        "the target `ops` is best-effort",
        "notices need a target whose `delivery` is \"reliable\"",
    );
    check(
        r#", "notices": {}"#,
        "",
        "missing-key",
        "the key `target` is missing",
        "add `target`: the name of a target",
    );
    assert_eq!(errors(&file(r#", "notices": "ops""#, "")), ["wrong-type"]);
}

#[test]
fn no_input_or_source_may_be_called_notices() {
    let named = r#", "inputs": {"notices": {"schema": "nomad"}}"#;
    assert_eq!(errors(&file(named, "")), ["invalid-name"]);
    let source = r#", "sources": [{"input": "notices", "stream": {"url": "http://x/"}}]"#;
    let both = format!("{NOTICES}{source}");
    assert_eq!(errors(&file(&both, "")), ["invalid-name"]);
}
