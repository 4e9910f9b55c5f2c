//! Inputs, and the filters of targets over any scheduler's events.

use crate::{errors, parse, problems};
use expect_test::{Expect, expect};
use webhook_config::{
    BuildError, Config, InputFilter, InputName, JobFilter, StatusFilter, Target, TargetUrl,
};
use webhook_event::Schema;

/// A file of one target with more keys for the file and for the target.
fn file(of_file: &str, of_target: &str) -> String {
    format!(
        r#"{{"targets": [{{"targetURL": "http://x/", "headers": {{}}, "timeoutMsec": 500{of_target}}}]{of_file}}}"#
    )
}

fn config(of_file: &str, of_target: &str) -> Config {
    let text = file(of_file, of_target);
    let loaded = parse(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.config
}

/// The names and schemas of a configuration's inputs.
fn inputs(config: &Config) -> Vec<(&str, &str)> {
    let inputs = config.inputs();
    inputs.map(|(name, schema)| (name, schema.name())).collect()
}

fn check(of_file: &str, of_target: &str, expected: Expect) {
    let problems = problems(&file(of_file, of_target));
    let lines: Vec<_> = problems
        .iter()
        .map(|it| {
            let help = it.help().unwrap_or_default();
            let (code, column) = (it.code(), it.column());
            format!("{code} at {column}: {} ({help})\n", it.message())
        })
        .collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn the_default_input_is_auroras_if_none_is_given() {
    assert_eq!(inputs(&config("", "")), [("", "aurora")]);
    let config = config(r#", "inputs": {"nomad": {"schema": "nomad"}}"#, "");
    assert_eq!(inputs(&config), [("", "aurora"), ("nomad", "nomad")]);
    assert!(config.input("").unwrap().has_aurora_fields());
    assert!(config.input("nomad").unwrap().only_changes());
    assert!(config.input("slurm").is_none());
}

#[test]
fn the_top_level_of_one_target_has_inputs_too() {
    let text = r#"{"targetURL": "http://x/", "headers": {}, "timeoutMsec": 500, "statuses": ["FAILED"],
        "events": {"schema": "slurm", "omit": ["/script"]}, "inputs": {"b": {"schema": "ray"}}}"#;
    let loaded = parse(text).unwrap();
    assert_eq!(inputs(&loaded.config), [("", "slurm"), ("b", "ray")]);
    let list = r#"{"targetURL": "http://x/", "headers": {}, "timeoutMsec": 500, "inputs": ["b"]}"#;
    assert_eq!(errors(list), ["wrong-type"]);
}

#[test]
fn a_key_replaces_the_presets_and_null_stands_for_none() {
    let events = r#", "events": {"schema": "slurm", "state": null, "id": ["/jobid"], "unknown": null, "omit": ["/script"]}"#;
    let config = config(events, "");
    let settings = config.input("").unwrap().settings();
    assert!(settings["state"].is_null());
    assert_eq!(settings["id"][0], "/jobid");
    assert_eq!(settings["key"], "/jobid");
    assert_eq!(settings["unknown"], "accept");
    assert_eq!(settings["omit"][0], "/script");
}

#[test]
fn a_target_takes_some_inputs() {
    let named = r#", "inputs": {"nomad": {"schema": "nomad"}, "old": {}}"#;
    let taken = config(named, r#", "inputs": ["nomad", "default", "old"]"#);
    let filter = taken.targets()[0].inputs();
    assert_eq!(*filter, InputFilter::only(["nomad", "", "old"]));
    assert!(filter.accepts("") && filter.accepts("old"));
    check(
        named,
        r#", "inputs": ["nomda", "x"]"#,
        expect![[r#"
            unknown-input at 87: unknown input `nomda` (did you mean `nomad`?)
            unknown-input at 96: unknown input `x` (add it to `inputs`; there are `default`, `nomad`, `old`)
        "#]],
    );
    check(
        named,
        r#", "inputs": []"#,
        expect![[r#"
        no-inputs at 86: an empty list of inputs: nothing is ever sent (remove `inputs` to take all)
        ineffective at 103: no target takes the input `nomad` (add it to the `inputs` of a target)
        ineffective at 133: no target takes the input `old` (add it to the `inputs` of a target)
    "#]],
    );
}

#[test]
fn statuses_and_jobs_are_free_unless_all_inputs_of_a_target_are_auroras() {
    let filters = r#", "statuses": ["COMPLETED", 4], "jobs": ["batch/*", "a/b/c/d"]"#;
    let slurm = r#", "inputs": {"slurm": {"schema": "slurm"}}"#;
    let config = config(slurm, filters);
    let target = &config.targets()[0];
    assert_eq!(*target.statuses(), StatusFilter::only(["COMPLETED", "4"]));
    let patterns = ["batch/*", "a/b/c/d"].map(|it| it.parse().unwrap());
    assert_eq!(*target.jobs(), JobFilter::Matching(patterns.to_vec()));
    let refused = [
        "unknown-status",
        "unknown-status",
        "invalid-job-pattern",
        "invalid-job-pattern",
    ];
    assert_eq!(errors(&file("", filters)), refused);
    let aurora_alone = filters.to_owned() + r#", "inputs": ["default"]"#;
    assert_eq!(errors(&file(slurm, &aurora_alone)), refused);
    assert_eq!(errors(&file(r#", "inputs": {"a": {}}"#, filters)), refused);
    // Another place of the state means other states.
    let other = r#", "events": {"state": "/x"}"#;
    assert!(errors(&file(other, filters)).is_empty());
    check(
        slurm,
        r#", "statuses": [null, ["A"]], "jobs": ["", "a b"]"#,
        expect![[r#"
            wrong-type at 89: expected a status (write each status as a string)
            sloppy-type at 95: expected a status, found a list (write the statuses in one list, as ["LOST", "FAILED"])
            wrong-type at 95: expected a status (write each status as a string)
            invalid-job-pattern at 112: `` is not a job pattern (a pattern has 1 to 1024 bytes and no control characters, such as batch/*)
        "#]],
    );
}

#[test]
fn conditions_are_read_and_each_that_is_wrong_is_told() {
    let config = config(
        "",
        r#", "where": [{"at": "/Type", "in": ["A"], "not": {"prefix": "B"}}]"#,
    );
    assert_eq!(
        config.targets()[0].conditions()[0].at().to_string(),
        "/Type"
    );
    check(
        "",
        r#", "where": [{"at": "Type", "in": []}, {"at": "/a", "equal": 1}, {"at": "/a"}, {"at": "/a", "in": [1], "in": "b"}, 5]"#,
        expect![[r#"
            invalid-setting at 93: `Type` is not a JSON Pointer (a JSON Pointer is empty or starts with `/`)
            unknown-key at 125: unknown key `equal` (did you mean `equals`?)
            invalid-setting at 138: a condition without a test (add in, equals, prefix, exists, atLeast, atMost or not)
            duplicate-key at 176: `in` is given more than once; the last one counts (remove the others)
            invalid-setting at 182: expected an array, found a string ()
            wrong-type at 188: expected a condition such as {"at": "/Type", "in": ["A"]}, found a number ()
        "#]],
    );
}

#[test]
fn every_wrong_setting_of_an_input_is_told_at_its_place() {
    check(
        r#", "events": {"schema": "slrum", "satte": "/s", "key": [{"at": "/a", "default": []}], "time": {"frist": ["/t"]}, "onlyChanges": 1, "unknown": "acept", "omit": "/x"}"#,
        "",
        expect![[r#"
            invalid-setting at 99: unknown schema `slrum` (did you mean `slurm`?)
            unknown-key at 108: unknown key `satte` (did you mean `state`?)
            invalid-setting at 155: expected a text, found an array ()
            unknown-key at 170: unknown key `frist` (did you mean `first`?)
            invalid-setting at 203: expected true or false, found a number ()
            invalid-setting at 217: unknown value `acept` (did you mean `accept`?)
            invalid-setting at 234: expected an array, found a string ()
        "#]],
    );
    check(
        r#", "events": {"schema": "pointers", "state": 7}, "inputs": {"default": {}, "a b": {}, "n": {"onlyChanges": true, "state": null}, "n": {"onlyChanges": true, "state": null}}"#,
        "",
        expect![[r#"
            invalid-setting at 88: `key` is missing (add it, such as "key": "/id")
            invalid-setting at 120: expected a JSON Pointer, found a number (such as "/job/id", or an object such as {"first": ["/a", "/b"]})
            invalid-name at 135: `default` is not a name for an input (write it as `events`, beside `inputs`)
            invalid-name at 150: `a b` is not a name for an input (a name is 1 to 64 of the characters A-Z a-z 0-9 _ -)
            duplicate-key at 204: `n` is given more than once; the last one counts (remove the others)
            ineffective at 225: `onlyChanges` has no effect: events have no state (set `state`, or remove `onlyChanges`)
        "#]],
    );
}

#[test]
fn an_input_that_no_target_takes_is_a_warning() {
    check(
        r#", "events": {"schema": "slurm"}, "inputs": {"a": {}, "b": {}}"#,
        r#", "inputs": ["a"]"#,
        expect![[r#"
            ineffective at 105: no target takes the input `default` (add it to the `inputs` of a target)
            ineffective at 146: no target takes the input `b` (add it to the `inputs` of a target)
        "#]],
    );
}

#[test]
fn a_filter_on_a_field_that_no_input_has_is_a_warning() {
    let filters = r#", "statuses": ["A"], "jobs": ["*"], "initialEvents": false"#;
    let taking = |inputs: &str| format!(r#"{filters}, "inputs": [{inputs}]"#);
    let json = r#", "inputs": {"j": {"schema": "json", "onlyChanges": true}}"#;
    // Aurora's events have all of them.
    config(json, filters);
    check(
        json,
        &taking(r#""j""#),
        expect![[r#"
        never-matches at 103: no event of these inputs has `job`: nothing is ever sent (remove `jobs`, or set `job` of the input)
    "#]],
    );
    let slurm = r#", "events": {"schema": "slurm", "state": null}"#;
    check(
        slurm,
        filters,
        expect![[r#"
        never-matches at 14: no event of these inputs has `oldState`: nothing is ever sent (remove `initialEvents`, or set `oldState` of the input)
        never-matches at 88: no event of these inputs has `state`: nothing is ever sent (remove `statuses`, or set `state` of the input)
    "#]],
    );
}

#[test]
fn the_number_of_inputs_is_bounded() {
    let named = |count: usize| {
        let inputs: Vec<_> = (0..count).map(|n| format!(r#""i{n}": {{}}"#)).collect();
        file(&format!(r#", "inputs": {{{}}}"#, inputs.join(",")), "")
    };
    assert!(errors(&named(64)).is_empty());
    assert_eq!(errors(&named(65)), ["out-of-range"]);
}

#[test]
fn a_misplaced_secret_is_not_shown() {
    const SECRET: &str = "XyZ0aB1cD2eF3gH4iJ5kL6mN";
    for events in [
        format!(r#"{{"schema": "{SECRET}"}}"#),
        format!(r#"{{"key": "{SECRET}"}}"#),
        format!(r#"{{"key": {{"{SECRET}": 1}}}}"#),
        format!(r#"{{"{SECRET}": "{SECRET}"}}"#),
    ] {
        let problems = problems(&file(&format!(r#", "events": {events}"#), ""));
        let all = format!("{problems}{}", problems.render(false));
        assert!(problems.has_errors() && !all.contains(SECRET), "{all}");
    }
}

#[test]
fn a_builder_refuses_inputs_that_a_file_could_not_have() {
    let name = |name: &str| InputName::new(name).unwrap();
    let builder = |taken: &[&str]| {
        let url = TargetUrl::parse("http://x/").unwrap();
        let target = Target::builder(url).inputs(InputFilter::only(taken));
        Config::builder().target(target.build().unwrap())
    };
    let error = builder(&["a"]).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the target default takes the input "a", which does not exist"#
    );
    let config = builder(&["a", "default"]).input(name("a"), Schema::default());
    assert!(config.clone().build().is_ok());
    let twice = config.clone().input(name("a"), Schema::default());
    assert_eq!(twice.build(), Err(BuildError::DuplicateInput(name("a"))));
    let many = (0..64).fold(config, |config, number| {
        config.input(name(&format!("i{number}")), Schema::default())
    });
    let error = many.build().unwrap_err();
    assert_eq!(error.to_string(), "inputs must be from 0 to 64");
}
