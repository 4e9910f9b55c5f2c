//! Files that are too large or too deep, and paths that are not files.

use crate::{errors, parse};
use proptest::prelude::*;
use webhook_config::Config;

/// The one error of loading a path.
fn load_error(path: &std::path::Path) -> (String, String) {
    let error = Config::load(path).unwrap_err();
    let problems: Vec<_> = error.diagnostics().iter().collect();
    assert_eq!(problems.len(), 1, "{error}");
    (
        problems[0].code().to_string(),
        problems[0].message().to_owned(),
    )
}

#[test]
fn a_path_that_is_not_a_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (code, message) = load_error(dir.path());
    assert_eq!(
        (code.as_str(), message.contains("directory")),
        ("unreadable-file", true),
        "{message}"
    );
    let (code, _) = load_error(&dir.path().join("missing"));
    assert_eq!(code, "unreadable-file");
}

#[cfg(unix)]
#[test]
fn a_fifo_is_refused_without_waiting_for_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let (code, message) = load_error(&path);
    assert_eq!(
        (code.as_str(), message.contains("FIFO")),
        ("unreadable-file", true),
        "{message}"
    );
}

#[test]
fn a_large_file_is_refused_and_one_of_a_mebibyte_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webhook.json");
    let good = r#"{"headers": {}, "targetURL": "http://x/", "timeoutMsec": 500}"#;
    std::fs::write(&path, good.to_owned() + &" ".repeat((1 << 20) - good.len())).unwrap();
    assert!(Config::load(&path).is_ok());
    std::fs::write(
        &path,
        good.to_owned() + &" ".repeat((1 << 20) + 1 - good.len()),
    )
    .unwrap();
    assert_eq!(load_error(&path).0, "file-too-large");
}

#[test]
fn other_encodings_are_refused() {
    let code = |bytes: &[u8]| {
        let error = Config::parse("f", bytes).unwrap_err();
        error
            .diagnostics()
            .iter()
            .next()
            .unwrap()
            .code()
            .to_string()
    };
    assert_eq!(code(b"\xef\xbb\xbf{}"), "byte-order-mark");
    assert_eq!(code(b"\xff\xfe{\0}\0"), "byte-order-mark");
    assert_eq!(code(b"{\0}\0"), "byte-order-mark");
    assert_eq!(code(b"\0\0\0{\0\0\0}"), "byte-order-mark");
    let error = Config::parse("f", b"{\n \"\xc3\xa9\xff\": 1}").unwrap_err();
    let problem = error.diagnostics().iter().next().unwrap();
    assert_eq!(
        (problem.code().as_str(), problem.line(), problem.column()),
        ("invalid-utf8", 2, 4)
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!(r#"{{"x": {}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(!errors(&nested(63)).contains(&"too-deep"));
    assert!(errors(&nested(64)).contains(&"too-deep"));
    assert!(errors(&nested(400_000)).contains(&"too-deep"));
}

#[test]
fn the_first_thousand_problems_are_listed() {
    let keys: Vec<_> = (0..80_000).map(|n| format!(r#""k{n}":0"#)).collect();
    let problems = crate::problems(&format!("{{{}}}", keys.join(",")));
    assert_eq!(problems.len(), 1001);
    assert_eq!(
        problems.iter().last().unwrap().code().as_str(),
        "too-many-problems"
    );
    assert!(problems.has_errors());
    assert!(problems.render(false).len() < 200_000);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = Config::parse("f", &bytes) {
            prop_assert!(error.diagnostics().has_errors());
            prop_assert!(!error.diagnostics().render(true).is_empty());
        }
    }

    #[test]
    fn a_valid_file_with_a_mutation_never_panics(
        good in prop::sample::select(vec![
            include_str!("../data/several.json"),
            include_str!("../data/inputs.json"),
        ]),
        at in 0usize..1000, cut in 0usize..20, insert in "[\\[\\]{}\",:\\\\u0-9a\u{e9}\n]{0,3}",
    ) {
        let mut text: Vec<char> = good.chars().collect();
        let start = at.min(text.len());
        text.splice(start..(start + cut).min(good.chars().count()), insert.chars());
        let text: String = text.into_iter().collect();
        let problems = crate::problems(&text);
        prop_assert_eq!(parse(&text).is_err(), problems.has_errors());
        prop_assert_eq!(problems.render(false).is_empty(), problems.is_empty());
        for problem in problems.iter() {
            prop_assert!(problem.line() <= text.lines().count() + 1);
        }
    }
}

#[test]
fn the_default_window_depends_on_the_delivery() {
    for (keys, window) in [
        ("", 4096),
        (r#","delivery":"best-effort""#, 256),
        (r#","delivery":"best-effort","window":7"#, 7),
        (r#","window":7"#, 7),
    ] {
        let text = format!(
            r#"{{"targetURL":"http://localhost/","timeoutMsec":5000,"headers":{{}}{keys}}}"#
        );
        let config = parse(&text).unwrap().config;
        assert_eq!(config.targets()[0].window().get(), window, "{text}");
    }
}
