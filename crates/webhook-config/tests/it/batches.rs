//! Batches: requests with several events.

use crate::{errors, parse, problems};
use std::num::NonZeroUsize;
use std::time::Duration;
use webhook_config::{BatchPolicy, BuildError, Delivery, Format, Target, TargetUrl};

/// A file of one target with more keys.
fn file(keys: &str) -> String {
    format!(r#"{{"targetURL": "http://x/", "headers": {{}}, "timeoutMsec": 500, {keys}}}"#)
}

fn policy(events: usize, bytes: usize, wait_msec: u64) -> BatchPolicy {
    let size = |number| NonZeroUsize::new(number).unwrap();
    BatchPolicy::new(size(events), size(bytes), Duration::from_millis(wait_msec))
}

#[test]
fn every_bound_of_a_batch_has_a_default() {
    for (batch, expected) in [
        ("{}", policy(100, 1 << 20, 5)),
        (r#"{"maxEvents": 7}"#, policy(7, 1 << 20, 5)),
        (
            r#"{"maxBytes": 1024, "maxWaitMsec": 0}"#,
            policy(100, 1024, 0),
        ),
        (
            r#"{"maxEvents": 1000, "maxBytes": 4194304, "maxWaitMsec": 60000}"#,
            policy(1000, 4 << 20, 60_000),
        ),
    ] {
        let loaded = parse(&file(&format!(r#""format": "ndjson", "batch": {batch}"#))).unwrap();
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        let config = loaded.config;
        assert_eq!(config.targets()[0].batch(), Some(&expected));
        let shown = serde_json::to_string(&config.show()).unwrap();
        assert_eq!(parse(&shown).unwrap().config, config);
    }
    for batch in ["", r#", "batch": null"#] {
        let config = parse(&file(&format!(r#""format": "ndjson"{batch}"#)));
        assert_eq!(config.unwrap().config.targets()[0].batch(), None);
    }
}

#[test]
fn what_is_wrong_with_a_batch_is_named_at_its_place() {
    for (batch, words) in [
        (r#"{"maxEvents": 0}"#, "`maxEvents` is out of range"),
        (r#"{"maxEvents": 1001}"#, "from 1 to 1000"),
        (r#"{"maxBytes": 1023}"#, "from 1024 to 4194304"),
        (r#"{"maxBytes": 4194305}"#, "`maxBytes` is out of range"),
        (r#"{"maxWaitMsec": 60001}"#, "from 0 to 60000"),
        (r#"{"maxEvent": 1}"#, "did you mean `maxEvents`?"),
        ("100", "an object"),
    ] {
        let found = problems(&file(&format!(r#""format": "ndjson", "batch": {batch}"#)));
        assert!(found.has_errors());
        assert!(found.render(false).contains(words), "{found}");
    }
}

#[test]
fn only_formats_with_room_for_several_events_have_batches() {
    for &format in Format::ALL {
        let name = format.name();
        let template = match format {
            Format::Template => r#", "template": {}"#,
            _ => "",
        };
        let text = file(&format!(r#""format": "{name}", "batch": {{}}{template}"#));
        let found = problems(&text).render(false);
        assert_eq!(found.is_empty(), format.can_batch(), "{found}");
        if !format.can_batch() {
            assert_eq!(errors(&text), ["conflicting-keys"]);
            let message = format!("`batch` is given, and a request of the format \"{name}\"");
            assert!(found.contains(&message), "{found}");
            let able = r#""kafka-rest-v2", "ndjson", "json-array", "cloudevents-batch""#;
            assert!(found.contains(able), "{found}");
        }
    }
    let found = problems(&file(r#""batch": {}"#)).to_string();
    assert!(found.contains("the format \"aurora\""), "{found}");
}

#[test]
fn a_batch_takes_a_quarter_of_the_window_at_most_and_its_receipt_is_read_whole() {
    let with = |keys: &str| file(&format!(r#""format": "json-array", {keys}"#));
    assert!(parse(&with(r#""window": 40, "batch": {"maxEvents": 10}"#)).is_ok());
    for (keys, words) in [
        (
            r#""window": 43, "batch": {"maxEvents": 11}"#,
            [
                "`batch.maxEvents` is 11, and `window` is 43",
                "`maxEvents` to 10 or less, or `window` to 44 or more",
            ],
        ),
        (
            r#""window": 256, "batch": {}"#,
            [
                "`batch.maxEvents` is 100, and `window` is 256",
                "`maxEvents` to 64 or less",
            ],
        ),
        (
            r#""window": 3, "batch": {"maxEvents": 1}"#,
            ["`window` is 3", "set `window` to 4 or more"],
        ),
    ] {
        let found = problems(&with(keys)).render(false);
        for words in words {
            assert!(found.contains(words), "{found}");
        }
        assert_eq!(errors(&with(keys)), ["out-of-range"]);
    }
    let responses = |batch: &str| {
        let config = parse(&with(&format!(r#""batch": {batch}"#)))
            .unwrap()
            .config;
        config.targets()[0].max_response_bytes()
    };
    assert_eq!(responses("{}"), 65_536);
    assert_eq!(responses(r#"{"maxEvents": 1000}"#), 512_000);
    let text = with(r#""delivery": "best-effort", "batch": {}"#);
    let config = parse(&text).unwrap().config;
    assert_eq!(config.targets()[0].window().get(), 4096);
}

#[test]
fn a_builder_refuses_the_same() {
    let target = || Target::builder(TargetUrl::parse("http://x/").unwrap());
    let build = |batch| target().format(Format::Ndjson).batch(Some(batch)).build();
    assert!(build(policy(1000, 4 << 20, 60_000)).is_ok());
    for bad in [
        policy(1001, 1024, 0),
        policy(1, 1023, 0),
        policy(1, 1024, 60_001),
    ] {
        assert!(matches!(build(bad), Err(BuildError::OutOfRange { .. })));
    }
    let batch = Some(BatchPolicy::default());
    let error = target().batch(batch).build().unwrap_err();
    assert_eq!(error, BuildError::NoBatchFormat { format: "aurora" });
    let small = target()
        .format(Format::KafkaRestV2)
        .delivery(Delivery::BestEffort)
        .window(NonZeroUsize::new(256).unwrap());
    assert_eq!(
        small.batch(batch).build().unwrap_err().to_string(),
        "batch.maxEvents is 100, and may be a quarter of window (256) at most"
    );
}
