//! Compares how this crate and Aurora read the same files.

use crate::parse;
use serde_json::Value;
use webhook_config::{LoadError, Loaded};

/// A file, and what Aurora did with it.
struct Case {
    name: String,
    text: String,
    facts: Value,
}

fn cases() -> Vec<Case> {
    include_str!("../data/config-cases.ndjson")
        .lines()
        .map(|line| {
            let facts: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| facts[key].as_str().unwrap().to_owned();
            Case {
                name: text("case"),
                text: text("config"),
                facts,
            }
        })
        .collect()
}

/// Why this crate refuses a file with which Aurora made a request.
fn exception(case: &Case) -> Option<&'static str> {
    let header = |name: &str| {
        let headers = case.facts["headers"].as_array().into_iter().flatten();
        headers.into_iter().any(|header| {
            header[0]
                .as_str()
                .is_some_and(|it| it.eq_ignore_ascii_case(name))
        })
    };
    let url = case.facts["request_url"].as_str().unwrap_or_default();
    if case.facts["timeoutMsec"]
        .as_i64()
        .is_some_and(|msec| msec < 1)
    {
        Some("a time-out under 1 meant none, or 100 ms, by accident")
    } else if ["Host", "Content-Length", "Transfer-Encoding", "Connection"]
        .into_iter()
        .any(header)
    {
        Some("a header that the HTTP client itself must set")
    } else if url.starts_with("http://localhost:0/") || url.starts_with("http://localhost:99999/") {
        Some("a port outside the range")
    } else {
        None
    }
}

/// Whether Aurora could deliver with this file.
fn delivered(case: &Case) -> bool {
    case.facts["accepted"] == true
        && case.facts["startup"] == "ok"
        && case.facts["request_url"].is_string()
}

fn verdict(outcome: &Result<Loaded, LoadError>) -> (&'static str, String) {
    let (verdict, problems) = match outcome {
        Ok(loaded) if loaded.warnings.is_empty() => ("accepted", &loaded.warnings),
        Ok(loaded) => ("warned", &loaded.warnings),
        Err(error) => ("refused", error.diagnostics()),
    };
    let codes: Vec<_> = problems
        .iter()
        .map(|problem| problem.code().as_str())
        .collect();
    (verdict, codes.join(" "))
}

#[test]
fn every_file_is_judged_by_the_rule() {
    let mut wrong = Vec::new();
    for case in cases() {
        let outcome = parse(&case.text);
        let (verdict, codes) = verdict(&outcome);
        let exception = exception(&case);
        let aurora = match exception {
            Some(reason) => format!("delivered, but {reason}"),
            None if delivered(&case) => "delivered".to_owned(),
            None => "could not deliver".to_owned(),
        };
        println!("{verdict:9} {:30} Aurora {aurora}: {codes}", case.name);
        if outcome.is_ok() != (delivered(&case) && exception.is_none()) {
            wrong.push(case.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_request_is_the_one_that_aurora_made() {
    let mut compared = 0;
    for case in cases()
        .into_iter()
        .filter(|case| delivered(case) && exception(case).is_none())
    {
        let config = parse(&case.text).unwrap().config;
        let shown = serde_json::to_value(config.show()).unwrap();
        let target = &shown["targets"][0];
        let name = &case.name;
        // A user name and password were not sent, and are not shown.
        let url = case.facts["request_url"]
            .as_str()
            .unwrap()
            .replace("user:pass@", "");
        assert_eq!(target["targetURL"], url.as_str(), "{name}");
        assert_eq!(target["timeoutMsec"], case.facts["timeoutMsec"], "{name}");
        assert_eq!(target["statuses"], case.facts["statuses"], "{name}");
        let headers = case.facts["headers"].as_array().unwrap();
        let list = config.targets()[0].header_list();
        assert_eq!(list.len(), headers.len(), "{name}");
        for (header, expected) in list.iter().zip(headers) {
            assert_eq!(
                header.written_name(),
                expected[0].as_str().unwrap(),
                "{name}"
            );
            assert_eq!(
                target["headers"][header.written_name()],
                expected[1],
                "{name}"
            );
        }
        compared += 1;
    }
    assert!(compared > 40, "only {compared} files were compared");
}

/// Compares the verdict and the codes of all problems.
fn check(text: &str, expected: &str) {
    let (verdict, codes) = verdict(&parse(text));
    assert_eq!(format!("{verdict} {codes}").trim(), expected, "{text}");
}

#[test]
fn aurora_read_four_members_and_no_more() {
    let four = r#""headers": {}, "targetURL": "http://x/", "timeoutMsec": 500"#;
    check(
        &format!(r#"{{{four}, "timeoutMsec": 600}}"#),
        "warned duplicate-key",
    );
    check(
        &format!(r#"{{{four}, "timeoutMsec": 600, "statuses": null}}"#),
        "refused duplicate-key",
    );
    let loaded = parse(&format!(r#"{{{four}, "timeoutMsec": 600}}"#)).unwrap();
    assert_eq!(
        loaded.config.targets()[0].connect_timeout().as_millis(),
        600
    );
}

#[test]
fn a_null_before_a_repeated_key_with_a_value_is_ignored() {
    let rest = r#""headers": {"A": null, "A": "b"}, "targetURL": "http://x/""#;
    check(
        &format!(r#"{{"timeoutMsec": 500, {rest}}}"#),
        "warned duplicate-key",
    );
    let text =
        r#"{"timeoutMsec": "", "timeoutMsec": 500, "headers": {}, "targetURL": "http://x/"}"#;
    check(text, "warned duplicate-key");
}

#[test]
fn a_list_in_the_statuses_ended_auroras_file() {
    let before =
        r#"{"headers": {}, "targetURL": "http://x/", "timeoutMsec": 500, "statuses": [["*"]]}"#;
    check(before, "warned sloppy-type ineffective");
    let after =
        r#"{"statuses": [["*"]], "headers": {}, "targetURL": "http://x/", "timeoutMsec": 500}"#;
    check(
        after,
        "refused sloppy-type wrong-type wrong-type wrong-type ineffective",
    );
}

#[test]
fn a_port_outside_the_range_is_refused() {
    for port in ["0", "00", "65536", "99999", "2147483647"] {
        let text =
            format!(r#"{{"headers": {{}}, "targetURL": "http://x:{port}/", "timeoutMsec": 500}}"#);
        check(&text, "refused invalid-url");
    }
}

#[test]
fn a_value_is_sent_as_aurora_sent_it() {
    for (value, sent, expected) in [
        ("caf\u{e9}", &b"caf\xe9"[..], "accepted"),
        ("\u{2603}", b"?", "warned changed-header-value"),
        (r"a\r\n b", b"a b", "warned changed-header-value"),
        (r"a\u0000b", b"a b", "warned changed-header-value"),
    ] {
        let text = format!(
            r#"{{"headers": {{"A": "{value}"}}, "targetURL": "http://x/", "timeoutMsec": 500}}"#
        );
        check(&text, expected);
        let config = parse(&text).unwrap().config;
        assert_eq!(
            config.targets()[0].headers()["a"].as_bytes(),
            sent,
            "{value}"
        );
    }
}
