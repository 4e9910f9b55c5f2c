//! The exact text of diagnostics.

use crate::{errors, problems};
use expect_test::{Expect, expect};

const SIX: &str = r#"{
  "targetURL": "localhost:5000/",
  "headers": { "Authorization": "Bearer hunter2", "Content Type": "application/json" },
  "timeoutMs": 5000,
  "timeoutMsec": "soon",
  "statuses": ["LOST", "failed"],
  "concurrency": 0
}
"#;

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&problems(text).render(false));
}

#[test]
fn six_mistakes_are_six_diagnostics_in_order() {
    let problems = problems(SIX);
    let places: Vec<_> = problems
        .iter()
        .map(|it| (it.code().as_str(), it.line(), it.column()))
        .collect();
    assert_eq!(
        places,
        [
            ("invalid-url", 2, 16),
            ("invalid-header-name", 3, 51),
            ("unknown-key", 4, 3),
            ("wrong-type", 5, 18),
            ("unknown-status", 6, 24),
            ("out-of-range", 7, 18),
        ]
    );
    check(
        SIX,
        expect![[r#"
            error[invalid-url]: the URL is not absolute: it does not start with http:// or https://
             --> webhook.json:2:16
              |
            2 |   "targetURL": "localhost:5000/",
              |                ^^^^^^^^^^^^^^^^^
              |
              = help: such as http://localhost:5000/

            error[invalid-header-name]: `Content Type` cannot be the name of a header
             --> webhook.json:3:51
              |
            3 |   "headers": { "Authorization": "***", "Content Type": "***" },
              |                                        ^^^^^^^^^^^^^^
              |
              = help: a header's name consists of letters, digits and !#$%&'*+-.^_`|~

            error[unknown-key]: unknown key `timeoutMs`
             --> webhook.json:4:3
              |
            4 |   "timeoutMs": ***,
              |   ^^^^^^^^^^^
              |
              = help: did you mean `timeoutMsec`?

            error[wrong-type]: expected a whole number, found a string that is not a number
             --> webhook.json:5:18
              |
            5 |   "timeoutMsec": "soon",
              |                  ^^^^^^
              |
              = help: such as 5000

            error[unknown-status]: unknown status `failed`
             --> webhook.json:6:24
              |
            6 |   "statuses": ["LOST", "failed"],
              |                        ^^^^^^^^
              |
              = help: did you mean `FAILED`?

            error[out-of-range]: `concurrency` is out of range
             --> webhook.json:7:18
              |
            7 |   "concurrency": 0
              |                  ^
              |
              = help: from 1 to 4096

        "#]],
    );
}

#[test]
fn a_syntax_error_does_not_hide_the_problems_before_it() {
    let text = "{\n  \"targetUrl\": \"http://x/\",\n  \"headers\": {\"Authorization\": \"Bearer hunter2\"}\n  \"timeoutMsec\": 5\n}";
    assert_eq!(errors(text), ["unknown-key", "syntax"]);
    check(
        text,
        expect![[r#"
            error[unknown-key]: unknown key `targetUrl`
             --> webhook.json:2:3
              |
            2 |   "targetUrl": "***",
              |   ^^^^^^^^^^^
              |
              = help: did you mean `targetURL`?

            error[syntax]: expected `,` or `}` in the object, found `"`
             --> webhook.json:4:3
              |
            4 |   "timeoutMsec": ***
              |   ^
              |
              = help: put a comma before it

        "#]],
    );
}

#[test]
fn text_after_the_brace_is_a_warning() {
    let text = r#"{"targetURL": "http://x/", "headers": {}, "timeoutMsec": 500} garbage"#;
    check(
        text,
        expect![[r#"
        warning[trailing-text]: text after the closing brace is ignored
         --> webhook.json:1:63
          |
        1 | {"targetURL": "http://x/", "headers": {}, "timeoutMsec": 500} ***
          |                                                               ^^^
          |
          = help: remove it

    "#]],
    );
}

#[test]
fn json_output_has_the_promised_members() {
    let json = serde_json::to_string(&problems("{\"timeoutMsec\": 5, \"headers\": {}}")).unwrap();
    expect![[r#"[{"code":"missing-key","severity":"error","line":1,"column":1,"message":"the key `targetURL` is missing","help":"add `targetURL`: a URL such as \"http://localhost:5000/\""},{"code":"short-timeout","severity":"warning","line":1,"column":17,"message":"a connect time-out of 5 ms only suits receivers in the same network","help":"such as 5000; `responseTimeoutMsec` bounds the response"}]"#]].assert_eq(&json);
}

#[test]
fn each_mistake_has_its_code() {
    let target = |more: &str| {
        format!(r#"{{"targetURL": "https://x/", "headers": {{}}, "timeoutMsec": 500, {more}}}"#)
    };
    for (more, code) in [
        (r#""name": "a b""#, "invalid-name"),
        (r#""jobs": ["a/b"]"#, "invalid-job-pattern"),
        (r#""format": "auroar""#, "unknown-format"),
        (r#""delivery": "Reliable""#, "unknown-delivery"),
        (
            r#""headers": {"authorization": "x"}, "oauth2": {"tokenURL": "https://y/", "clientId": "a", "clientSecret": "b"}"#,
            "conflicting-keys",
        ),
        (
            r#""oauth2": {"tokenURL": "https://y/", "clientId": "", "clientSecret": "b"}"#,
            "invalid-oauth2",
        ),
        (
            r#""oauth2": {"tokenURL": "https://y/", "clientId": "a", "clientSecret": "b", "scopes": ["a b"]}"#,
            "invalid-oauth2",
        ),
        (
            r#""oauth2": {"tokenURL": "y", "clientId": "a", "clientSecret": "b"}"#,
            "invalid-url",
        ),
        (
            r#""oauth2": {"tokenURL": "https://y/", "clientId": "a"}"#,
            "missing-key",
        ),
        (r#""method": "GET""#, "unknown-method"),
        (r#""method": "put""#, "unknown-method"),
        (r#""queue": {"whenFull": "drop"}"#, "unknown-when-full"),
        (r#""queue": {"maxBytes": 5}"#, "out-of-range"),
        (r#""queue": {"dir": ""}"#, "out-of-range"),
        (
            r#""retry": {"initialMsec": 500, "maxMsec": 400}"#,
            "invalid-retry",
        ),
        (r#""retry": {"multiplier": 0.5}"#, "out-of-range"),
        (r#""retry": {"maxAttempts": 0}"#, "out-of-range"),
        (r#""breaker": {"maxMsec": 0}"#, "out-of-range"),
        (r#""breaker": {"maxRefusals": 1001}"#, "out-of-range"),
        (
            r#""signing": {"secrets": ["whsec_AAAA"]}"#,
            "invalid-signing-secret",
        ),
        (r#""signing": {"secrets": []}"#, "missing-key"),
        (r#""signing": {}"#, "missing-key"),
        (
            r#""signing": {"secrets": [{"env": "NO_SUCH_VARIABLE_HERE"}]}"#,
            "unresolved-secret",
        ),
        (
            r#""signing": {"secrets": [{"file": "/no/such/file"}]}"#,
            "unresolved-secret",
        ),
        (
            r#""signing": {"secrets": [{"file": "a", "env": "b"}]}"#,
            "conflicting-keys",
        ),
        (r#""tls": {"caFile": "Cargo.toml"}"#, "invalid-pem"),
        (
            r#""tls": {"clientCertFile": "tests/data/client.pem"}"#,
            "incomplete-keys",
        ),
        (r#""proxy": "https://proxy""#, "invalid-url"),
        (r#""maxEventBytes": 1"#, "out-of-range"),
        (r#""window": 1.5"#, "wrong-type"),
        (r#""initialEvents": "no""#, "wrong-type"),
        (r#""targets": []"#, "conflicting-keys"),
    ] {
        assert!(
            errors(&target(more)).contains(&code),
            "{more}: {:?}",
            errors(&target(more))
        );
    }
    let twice = r#"{"targetURL": "http://x/", "headers": {}, "timeoutMsec": 500}"#;
    assert_eq!(
        errors(&format!(r#"{{"targets": [{twice}, {twice}]}}"#)),
        ["duplicate-name"]
    );
    assert_eq!(errors(r#"{"targets": []}"#), ["no-targets"]);
    assert_eq!(errors(""), ["empty-file"]);
    assert_eq!(errors(" \n"), ["empty-file"]);
    assert_eq!(errors("null"), ["wrong-type"]);
}
