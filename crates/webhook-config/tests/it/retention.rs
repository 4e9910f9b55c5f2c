//! What is kept of a target's deliveries.

use crate::{parse, problems};
use std::time::Duration;
use webhook_config::{BuildError, Config, QueueSettings, Retention, Target, TargetUrl};

/// A file of the targets `audit` and `pager`, with more keys for the file and for each of them.
fn file(of_file: &str, of_audit: &str, of_pager: &str) -> String {
    let target = r#""targetURL": "http://x/", "headers": {}, "timeoutMsec": 500"#;
    format!(
        r#"{{"targets": [{{"name": "audit", {target}{of_audit}}}, {{"name": "pager", {target}{of_pager}}}]{of_file}}}"#
    )
}

const QUEUE: &str = r#", "queue": {"maxBytes": 4194304}"#;

#[test]
fn deliveries_are_kept_for_a_day_unless_the_file_says_otherwise() {
    let audit = r#", "retain": {"maxBytes": 1000}"#;
    let pager = r#", "retain": {"maxBytes": 5000, "maxAgeMsec": 60000}"#;
    let loaded = parse(&file("", audit, pager)).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let config = loaded.config;
    let of = |at: usize| *config.targets()[at].retain().unwrap();
    assert_eq!(of(0), Retention::new(Duration::from_secs(86_400), 1000));
    assert_eq!(of(1), Retention::new(Duration::from_secs(60), 5000));
    let shown = serde_json::to_string(&config.show()).unwrap();
    assert_eq!(parse(&shown).unwrap().config, config);
    let none = parse(&file("", r#", "retain": null"#, "")).unwrap().config;
    assert!(none.targets().iter().all(|it| it.retain().is_none()));
}

#[test]
fn what_is_wrong_is_named_at_its_place() {
    for (of_audit, words) in [
        (r#", "retain": {}"#, "the key `maxBytes` is missing"),
        (
            r#", "retain": {"maxBytes": 0}"#,
            "`maxBytes` is out of range",
        ),
        (
            r#", "retain": {"maxBytes": 1, "maxAgeMsec": 0}"#,
            "`maxAgeMsec` is out of range",
        ),
    ] {
        let found = problems(&file("", of_audit, "")).to_string();
        assert!(found.contains(words), "{found}");
    }
    let audit = r#", "delivery": "best-effort", "retain": {"maxBytes": 1}"#;
    let loaded = parse(&file("", audit, "")).unwrap();
    let warnings = loaded.warnings.to_string();
    assert!(warnings.contains("`retain` has no effect"), "{warnings}");
    assert_eq!(loaded.config.targets()[0].retain(), None);
}

#[test]
fn half_of_the_queue_is_left_for_what_is_owed() {
    // Dead letters may take a quarter of four mebibytes, and so may what is kept.
    let keeping = |bytes: u64| format!(r#", "retain": {{"maxBytes": {bytes}}}"#);
    let half = keeping(524_288);
    assert!(parse(&file(QUEUE, &half, &half)).is_ok());
    let found = problems(&file(QUEUE, &half, &keeping(524_289))).to_string();
    for words in [
        "1048577 bytes in all",
        "1048576 are left",
        "webhook.json:1:",
    ] {
        assert!(found.contains(words), "{found}");
    }
    let dead = r#", "queue": {"maxBytes": 4194304, "deadLetters": {"maxBytes": 0}}"#;
    assert!(parse(&file(dead, &keeping(2_097_152), "")).is_ok());
    assert!(!problems(&file(dead, &keeping(2_097_153), "")).is_empty());

    let target = |bytes: u64| {
        Target::builder(TargetUrl::parse("http://x/").unwrap())
            .retain(Some(Retention::new(Duration::from_secs(1), bytes)))
            .build()
    };
    let build = |bytes: u64| {
        Config::builder()
            .target(target(bytes).unwrap())
            .queue(QueueSettings::new("q").with_max_bytes(4 << 20))
            .build()
    };
    assert!(build(1 << 20).is_ok());
    let error = build((1 << 20) + 1).unwrap_err();
    assert!(matches!(
        error,
        BuildError::Retained {
            most: 1_048_576,
            ..
        }
    ));
    assert!(target(0).is_err());
}
