//! Properties of arbitrary tasks and arbitrary bytes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod naive;
mod tasks;

use naive::NaiveJvm;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use webhook_model::{
    EventHeader, Gson, IdentityHashes, Jvm, Layout, Map, Release, ScheduledTask, Set, StatusName,
    TaskStateChange,
};

const SAMPLE: &[u8] = include_bytes!("../data/sample-exact.json");

fn std_hash(value: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(value)
}

/// Identities of all constants in arbitrary tasks.
fn identities() -> impl Strategy<Value = BTreeMap<String, i32>> {
    let constants: Vec<String> = IdentityHashes::fixed()
        .entries()
        .into_iter()
        .map(|(constant, _)| constant)
        .chain(["ScheduleStatus.HIBERNATING", "Mode.XX"].map(str::to_owned))
        .collect();
    vec(any::<i32>(), constants.len())
        .prop_map(move |ids| constants.iter().cloned().zip(ids).collect())
}

/// Checks that the full read and the header agree about these bytes.
fn check_readers(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (TaskStateChange::read(bytes), EventHeader::read(bytes)) {
        (Ok(change), Ok(header)) => {
            prop_assert_eq!(change.header(), header);
            // A payload that was read can be written, and reads back as the same.
            let written = change.to_json().unwrap();
            let again = TaskStateChange::read(&written).unwrap();
            prop_assert_eq!(again.to_json().unwrap(), written);
            prop_assert_eq!(&again, &change);
        }
        (Ok(_), Err(error)) => prop_assert!(false, "the header is stricter: {}", error),
        (Err(_), header) => {
            let json = std::str::from_utf8(bytes).is_ok()
                && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
            prop_assert!(header.is_err() || json, "the header takes what is no JSON");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_reads_as_the_same_and_writes_as_the_same(
        change in tasks::change(),
        release in tasks::release(),
    ) {
        let json = change.clone().with_layout(Layout::Of(release)).to_json().unwrap();
        let read = TaskStateChange::read(&json).unwrap();
        prop_assert_eq!(read.to_json().unwrap(), json.clone());
        prop_assert!(read.fits(release));
        // Fields that the release does not have are lost; the rest reads back as the same.
        let kept = read.clone().with_layout(Layout::Of(release)).to_json().unwrap();
        prop_assert_eq!(kept, json);
    }

    #[test]
    fn a_task_with_fields_of_any_releases_reads_as_itself(change in tasks::change()) {
        let json = change.clone().with_layout(Layout::AsRead).to_json().unwrap();
        let read = TaskStateChange::read(&json).unwrap();
        prop_assert_eq!(&read, &change);
        prop_assert_eq!(read.task().map(std_hash), change.task().map(std_hash));
    }

    #[test]
    fn the_header_is_the_full_read_s(change in tasks::change()) {
        let json = change.to_json().unwrap();
        let full = TaskStateChange::read(&json).unwrap();
        prop_assert_eq!(EventHeader::read(&json).unwrap(), full.header());
    }

    #[test]
    fn serde_json_with_the_formatter_writes_the_same(change in tasks::change()) {
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, Gson);
        serde::Serialize::serialize(&change, &mut serializer).unwrap();
        prop_assert_eq!(json, change.to_json().unwrap());
    }

    #[test]
    fn a_naive_implementation_computes_the_same_hash(
        change in tasks::change(),
        release in tasks::release(),
        identities in identities(),
    ) {
        let jvm = Jvm::new(release, identities.iter().map(|(name, id)| (name, *id)).collect());
        let change = change.rebuilt(&jvm);
        let json: Value = serde_json::from_slice(&change.to_json().unwrap()).unwrap();
        let naive = NaiveJvm::new(release, &identities).hash("ScheduledTask", &json["task"]);
        let hash = change.task().map(|task| task.hash_code_in(&jvm));
        prop_assert_eq!(hash, Some(Ok(naive)));
        let report = change.verify_hashes(&jvm);
        prop_assert!(report.wrong.is_empty() && report.unchecked.is_empty());
    }

    #[test]
    fn what_is_recovered_explains_every_hash(change in tasks::change(), identities in identities()) {
        let jvm = Jvm::new(Release::LATEST, identities.iter().map(|(name, id)| (name, *id)).collect());
        let change = change.rebuilt(&jvm);
        change.task().map(|task| task.hash_code_in(&jvm)).transpose().unwrap();
        let recovered = Jvm::recover_in(&change, Release::LATEST);
        prop_assert_eq!(change.verify_hashes(&recovered).wrong, []);
    }

    #[test]
    fn neither_equality_nor_hash_know_an_order(
        (elements, shuffled) in vec(tasks::resource(), 0..20)
            .prop_flat_map(|elements| (Just(elements.clone()), Just(elements).prop_shuffle())),
        (entries, other) in btree_map(tasks::text(), any::<i32>(), 0..20)
            .prop_map(|entries| entries.into_iter().collect::<Vec<_>>())
            .prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle())),
    ) {
        let union = |element: webhook_model::Resource| webhook_model::Union::from(element);
        let set: Set<_> = elements.into_iter().map(union).collect();
        let same: Set<_> = shuffled.into_iter().map(union).collect();
        prop_assert_eq!(&set, &same);
        prop_assert_eq!(std_hash(&set), std_hash(&same));
        for (index, element) in set.iter().enumerate() {
            prop_assert!(!set[..index].contains(element), "twice in a set");
        }
        let map: Map<i32> = entries.into_iter().collect();
        let same: Map<i32> = other.into_iter().collect();
        prop_assert_eq!(&map, &same);
        prop_assert_eq!(std_hash(&map), std_hash(&same));
    }

    #[test]
    fn a_set_without_an_element_is_another_set(elements in vec(tasks::text(), 1..20), lost: usize) {
        let set: Set<String> = elements.into();
        let mut fewer: Vec<String> = set.to_vec();
        fewer.remove(lost % fewer.len());
        prop_assert_ne!(&set, &Set::from(fewer));
    }

    #[test]
    fn every_double_is_read_back_and_has_a_digit_after_its_point(double in tasks::double()) {
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, Gson);
        serde::Serialize::serialize(&double, &mut serializer).unwrap();
        let text = std::str::from_utf8(&json).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), double.to_bits());
        let (_, fraction) = text.split_once('.').unwrap();
        prop_assert!(fraction.starts_with(|first: char| first.is_ascii_digit()));
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        check_readers(&bytes)?;
    }

    #[test]
    fn arbitrary_json_like_text_is_read_or_refused(
        tokens in vec(proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"task\"", "\"oldState\"", "\"value\"", "\"status\"",
            "\"assignedTask\"", "\"taskId\"", "\"taskEvents\"", "\"timestamp\"", "\"x\"", "null",
            "true", "1", "-0.5e3", "\"\\u00e9\\\"\"", " ",
        ]), 0..24),
    ) {
        check_readers(tokens.concat().as_bytes())?;
        check_readers(format!("{{\"task\":{}}}", tokens.concat()).as_bytes())?;
    }

    #[test]
    fn a_damaged_payload_is_read_or_refused(
        change in tasks::change(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut json = change.to_json().unwrap();
        for (place, byte) in damage {
            let place = place.index(json.len());
            json[place] = byte;
        }
        if let Some(cut) = cut {
            json.truncate(cut.index(json.len()));
        }
        check_readers(&json)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_damaged_sample_is_read_or_refused(
        place in 0..SAMPLE.len(),
        byte in prop_oneof![
            any::<u8>(),
            proptest::sample::select(b"\\\"{}[],:0.eu\n".to_vec()),
        ],
        insert: bool,
    ) {
        let mut json = SAMPLE.to_vec();
        if insert {
            json.insert(place, byte);
        } else {
            json[place] = byte;
        }
        check_readers(&json)?;
    }
}

#[test]
fn well_formed_is_what_serde_json_accepts() {
    // Each truncation and each single damaged byte of a payload with strings longer than a block.
    let text = br#"{"a":"0123456789012345678901234567890123456789\"\\\\\\\"\u00e9\ud83d\ude00 end of it","b":[1,-2.5e+7,true,{"c":null}]}"#;
    let check = |bytes: &[u8]| {
        let json = serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value.is_object());
        assert_eq!(
            EventHeader::read(bytes).is_ok(),
            json,
            "{}",
            String::from_utf8_lossy(bytes)
        );
    };
    for place in 0..text.len() {
        check(&text[..place]);
        for byte in [b'"', b'\\', b'u', b'd', b'{', b']', b',', b'0', b'\n', 0xC3] {
            let mut damaged = text.to_vec();
            damaged[place] = byte;
            check(&damaged);
            damaged.insert(place, byte);
            check(&damaged);
        }
    }
}

#[test]
fn an_unknown_state_has_an_identity_in_the_naive_table_too() {
    let task = ScheduledTask::default().with_status(StatusName::Other("HIBERNATING".into()));
    let jvm = Jvm::new(
        Release::LATEST,
        IdentityHashes::empty().with("ScheduleStatus.HIBERNATING", 7),
    );
    let hash = task.hash_code_in(&jvm).unwrap();
    let identities = [("ScheduleStatus.HIBERNATING".to_owned(), 7)].into();
    let change = TaskStateChange::initialized(task);
    let json: Value = serde_json::from_slice(&change.to_json().unwrap()).unwrap();
    assert_eq!(
        NaiveJvm::new(Release::LATEST, &identities).hash("ScheduledTask", &json["task"]),
        hash
    );
}
