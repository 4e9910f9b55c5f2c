//! What holds for any request, any body and any order of claims.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::collection::vec;
use proptest::prelude::*;
use std::time::{Duration, Instant, UNIX_EPOCH};
use webhook_receiver::{
    Begin, Format, RecentIds, RequestHeaders, Secret, Verifier, VerifyError, events,
};

fn headers<'a>(id: &'a str, timestamp: &'a str, signature: &'a str) -> RequestHeaders<'a> {
    RequestHeaders::from_pairs([
        ("Webhook-Id", id.as_bytes()),
        ("Webhook-Timestamp", timestamp.as_bytes()),
        ("Webhook-Signature", signature.as_bytes()),
    ])
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_any_changed_byte_does_not(
        key in vec(any::<u8>(), 24..=64),
        id in "[!-~]{1,40}",
        at in 0_u64..4_000_000_000,
        late in -300_i64..=300,
        body in vec(any::<u8>(), 0..200),
        index in any::<prop::sample::Index>(),
        flip in 1_u8..=255,
    ) {
        let secret = Secret::from_bytes(key).unwrap();
        let timestamp = at.to_string();
        let signature = secret.sign(&id, &timestamp, &body);
        let verifier = Verifier::new([secret]);
        let now = UNIX_EPOCH + Duration::from_secs(at.saturating_add_signed(late));
        let headers = headers(&id, &timestamp, &signature);
        let verified = verifier.verify(&headers, &body, now).unwrap();
        prop_assert_eq!((verified.id, verified.timestamp), (&*id, at));
        let mut altered = body.clone();
        match body.len() {
            0 => altered.push(flip),
            length => altered[index.index(length)] ^= flip,
        }
        prop_assert_eq!(verifier.verify(&headers, &altered, now), Err(VerifyError::NoMatch));
    }

    #[test]
    fn no_headers_and_no_body_make_it_panic(
        id in vec(any::<u8>(), 0..40),
        timestamp in "[0-9]{0,25}|.{0,10}",
        signature in "(v1,[A-Za-z0-9+/=]{0,50} ?){0,4}|.{0,30}",
        body in "[\\[\\]{}\",:\\\\\n a-z0-9]{0,60}",
    ) {
        let pairs = [
            ("webhook-id", &*id),
            ("webhook-timestamp", timestamp.as_bytes()),
            ("webhook-signature", signature.as_bytes()),
            ("webhook-event-ids", &*id),
        ];
        let headers = RequestHeaders::from_pairs(pairs);
        let verifier = Verifier::new([Secret::from_bytes(vec![7; 32]).unwrap()]);
        let error = verifier.verify(&headers, body.as_bytes(), UNIX_EPOCH).unwrap_err();
        prop_assert_eq!(error.status(), 401);
        for format in [
            Format::Event, Format::Ndjson, Format::JsonArray, Format::CloudEvent,
            Format::CloudEventBatch, Format::detect(&headers),
        ] {
            match events(format, &headers, body.as_bytes()) {
                Ok(events) => prop_assert!(!events.is_empty()),
                Err(error) => prop_assert!([400, 401].contains(&error.status())),
            }
        }
    }

    #[test]
    fn the_events_of_a_batch_are_those_that_went_in(
        bodies in vec("[a-z \u{e4}]{0,20}", 1..20),
    ) {
        let bodies: Vec<String> =
            bodies.iter().map(|text| serde_json::json!({ "a": text }).to_string()).collect();
        let ids: Vec<String> = (0..bodies.len()).map(|id| format!("evt_{id}")).collect();
        // At most seven ids on a line, as the sender splits them.
        let lines: Vec<String> = ids.chunks(7).map(|ids| ids.join(",")).collect();
        let mut pairs = vec![("webhook-id", &b"bat_1"[..])];
        pairs.extend(lines.iter().map(|line| ("webhook-event-ids", line.as_bytes())));
        let headers = RequestHeaders::from_pairs(pairs);
        let expected: Vec<_> =
            ids.iter().map(String::as_str).zip(bodies.iter().map(|body| body.as_bytes())).collect();
        let lines = bodies.iter().map(|body| format!("{body}\n")).collect::<String>();
        let array = format!("[{}]", bodies.join(","));
        for (format, body) in [(Format::Ndjson, lines), (Format::JsonArray, array)] {
            let events = events(format, &headers, body.as_bytes()).unwrap();
            let found: Vec<_> = events.iter().map(|event| (event.id(), event.body())).collect();
            prop_assert_eq!(&found, &expected);
        }
        let elements: Vec<String> = expected
            .iter()
            .zip(&bodies)
            .map(|((id, _), data)| format!(r#"{{"id":"{id}","source":"/s","data":{data}}}"#))
            .collect();
        let batch = format!("[{}]", elements.join(","));
        let events = events(Format::CloudEventBatch, &headers, batch.as_bytes()).unwrap();
        for (event, (id, body)) in events.iter().zip(&expected) {
            prop_assert_eq!(event.id(), format!("/s {id}"));
            prop_assert_eq!(event.body(), *body);
        }
    }

    /// Against a list of all ids that were ever committed.
    #[test]
    fn an_id_is_seen_exactly_while_it_is_remembered(
        steps in vec((0_u8..6, 0_u64..4, any::<bool>()), 1..60),
        max_ids in 1_usize..4,
    ) {
        let max_age = Duration::from_secs(10);
        let recent = RecentIds::new(max_ids, max_age);
        let mut now = Instant::now();
        let mut remembered: Vec<(String, Instant)> = Vec::new();
        for (id, wait, stores) in steps {
            now += Duration::from_secs(wait);
            remembered.retain(|(_, at)| now - *at < max_age);
            let id = id.to_string();
            let is_known = remembered.iter().any(|(known, _)| *known == id);
            match recent.begin(&id, now) {
                Begin::Seen => prop_assert!(is_known),
                Begin::InProgress => prop_assert!(false, "no claim is open"),
                Begin::New(claim) => {
                    prop_assert!(!is_known);
                    prop_assert!(matches!(recent.begin(&id, now), Begin::InProgress));
                    if stores {
                        let forgotten = claim.commit(now).map(|it| (it.id, it.after));
                        remembered.push((id, now));
                        let expected = (remembered.len() > max_ids).then(|| remembered.remove(0));
                        prop_assert_eq!(forgotten, expected.map(|(id, at)| (id, now - at)));
                    }
                }
            }
            prop_assert_eq!(recent.len(), remembered.len());
        }
    }
}

#[test]
fn a_claim_that_a_panic_drops_leaves_the_id_new() {
    let recent = RecentIds::new(10, Duration::from_secs(60));
    let now = Instant::now();
    let stored = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let Begin::New(_claim) = recent.begin("evt_1", now) else {
            return;
        };
        panic!("the database is gone");
    }));
    assert!(stored.is_err());
    assert!(matches!(recent.begin("evt_1", now), Begin::New(_)));
}

#[test]
fn of_many_threads_with_one_id_one_stores_it() {
    let recent = RecentIds::new(1000, Duration::from_secs(60));
    let now = Instant::now();
    let stored = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for id in 0..100 {
                    if let Begin::New(claim) = recent.begin(&id.to_string(), now) {
                        stored.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(claim.commit(now), None);
                    }
                }
            });
        }
    });
    assert_eq!(stored.into_inner(), 100);
}

#[test]
fn a_header_that_occurs_twice_or_is_not_text_is_named() {
    let verifier = Verifier::new([]);
    let verify = |pairs: Vec<(&'static str, &'static [u8])>| {
        let headers = RequestHeaders::from_pairs(pairs);
        verifier.verify(&headers, b"", UNIX_EPOCH).unwrap_err()
    };
    let name = "webhook-id";
    let twice = verify(vec![(name, b"a"), ("WEBHOOK-ID", b"a")]);
    assert_eq!(twice, VerifyError::RepeatedHeader { name });
    let not_text = verify(vec![(name, b"\xff")]);
    assert_eq!(not_text, VerifyError::HeaderNotText { name });
    let empty = verify(vec![(name, b" ")]);
    assert_eq!(empty, VerifyError::MissingHeader { name });
}

#[test]
fn a_batch_with_other_ids_than_events_is_refused() {
    let ids = [("webhook-id", &b"bat_1"[..]), ("webhook-event-ids", b"a,b")];
    let headers = RequestHeaders::from_pairs(ids);
    let error = events(Format::Ndjson, &headers, b"{}\n{}\n{}\n").unwrap_err();
    let expected = "the body has 3 events, but the headers have the ids of 2";
    assert_eq!(error.to_string(), expected);
    let error = events(Format::JsonArray, &headers, b"[]").unwrap_err();
    assert_eq!(error.to_string(), "the body has no event");
    let error = events(Format::CloudEventBatch, &headers, b"[{}]").unwrap_err();
    assert!(
        error.to_string().contains("missing field `source`"),
        "{error}"
    );
}
