//! `cachedHashCode` behaves like Java's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::thread;
use webhook_model::{
    AssignedTask, Constraint, IdentityHashes, JobKey, Jvm, Metadata, Release, Resource,
    ScheduleStatus, ScheduledTask, Set, TaskConfig, TaskStateChange, Unhashable, Union,
};

fn config() -> TaskConfig {
    TaskConfig::new(JobKey::new("www-data", "prod", "hello"))
}

#[test]
fn a_new_struct_has_no_cached_hash() {
    assert_eq!(config().cached_hash_code(), 0);
    assert_eq!(config().job().unwrap().cached_hash_code(), 0);
}

#[test]
fn hashing_a_struct_caches_the_hashes_in_it_and_not_around_it() {
    let config = config();
    let job = config.job().unwrap();
    let hash = job.hash_code();
    assert_ne!(hash, 0);
    assert_eq!(job.cached_hash_code(), hash);
    assert_eq!(config.cached_hash_code(), 0);

    let task = ScheduledTask::new(AssignedTask::new("t", 0, config));
    task.assigned_task().unwrap().hash_code();
    assert_eq!(task.cached_hash_code(), 0);
    assert_ne!(
        task.assigned_task()
            .unwrap()
            .task()
            .unwrap()
            .cached_hash_code(),
        0
    );
    assert_ne!(task.hash_code(), 0);
}

#[test]
fn a_set_of_one_caches_no_hash() {
    let set: Set<Metadata> = [Metadata::new("k", "v")].into();
    assert_eq!(set[0].cached_hash_code(), 0);
}

#[test]
fn a_set_of_two_caches_the_hashes_of_its_elements_and_in_them() {
    let set: Set<Constraint> = [
        Constraint::limit("host", 1),
        Constraint::one_of("rack", ["a"]),
    ]
    .into();
    for constraint in &set {
        let union = constraint.constraint().unwrap();
        assert_ne!(constraint.cached_hash_code(), 0);
        assert_ne!(union.cached_hash_code(), 0);
    }
}

#[test]
fn a_set_given_the_same_element_twice_caches_its_hash() {
    let set: Set<Metadata> = [Metadata::new("k", "v"), Metadata::new("k", "v")].into();
    assert_eq!(set.len(), 1);
    assert_ne!(set[0].cached_hash_code(), 0);
}

#[test]
fn a_clone_keeps_the_cached_hash_and_a_setter_resets_it() {
    let config = config();
    let hash = config.hash_code();
    let clone = config.clone();
    assert_eq!(clone.cached_hash_code(), hash);
    let changed = clone.with_priority(7);
    assert_eq!(changed.cached_hash_code(), 0);
    assert_ne!(changed.job().unwrap().cached_hash_code(), 0);
    assert_ne!(changed.hash_code(), hash);
}

#[test]
fn equality_ignores_the_cached_hash() {
    let asked = config();
    asked.hash_code();
    assert_eq!(asked, config());
}

#[test]
fn a_cached_hash_is_used_unchanged() {
    let json = br#"{"task":{"assignedTask":{"task":{"job":{"cachedHashCode":77,"role":"r"}}}}}"#;
    let change = TaskStateChange::read(json).unwrap();
    let config = change
        .task()
        .unwrap()
        .assigned_task()
        .unwrap()
        .task()
        .unwrap();
    assert_eq!(config.job().unwrap().hash_code(), 77);
    let other = change.clone().rebuilt(Jvm::fixed());
    let honest = other
        .task()
        .unwrap()
        .assigned_task()
        .unwrap()
        .task()
        .unwrap();
    assert_ne!(config.hash_code(), honest.hash_code());
}

#[test]
fn threads_that_hash_at_the_same_time_get_the_same_hash() {
    let config = config().with_resources([Resource::RamMb(1), Resource::NumCpus(0.5)]);
    let expected = config.clone().hash_code();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(config.hash_code(), expected));
        }
    });
    assert_eq!(config.cached_hash_code(), expected);
}

#[test]
fn the_fixed_table_is_java_s_string_hash_of_the_constant_s_name_without_the_sign() {
    // "AaAa".hashCode() and "BBBB".hashCode() are both 2031744 in Java.
    assert_eq!(IdentityHashes::fixed().get("AaAa"), Some(2_031_744));
    assert_eq!(IdentityHashes::fixed().get("BBBB"), Some(2_031_744));
    let mut entries = IdentityHashes::fixed().entries();
    assert_eq!(entries.len(), 31);
    for (constant, identity) in &entries {
        assert_eq!(IdentityHashes::fixed().get(constant), Some(*identity));
        assert!(*identity > 0, "{constant}");
    }
    entries.sort_by_key(|(_, identity)| *identity);
    entries.dedup_by_key(|(_, identity)| *identity);
    assert_eq!(entries.len(), 31, "no two constants have one identity");
}

#[test]
fn the_hash_of_a_task_never_changes() {
    // The hash of version 0.1.0. Programs that store hashes rely on it.
    let config = config().with_resources([Resource::NumCpus(0.1), Resource::RamMb(16)]);
    let assigned = AssignedTask::new("task-1", 3, config);
    let task = ScheduledTask::new(assigned).entered(ScheduleStatus::Pending, 1_464_992_060_258);
    assert_eq!(task.hash_code(), 617_557_662);
}

#[test]
fn a_missing_constant_is_named() {
    let jvm = Jvm::new(Release::LATEST, IdentityHashes::empty());
    let union = Union::new(Resource::RamMb(16));
    let expected = Unhashable::UnknownIdentity("Resource.RAM_MB".to_owned());
    assert_eq!(union.hash_code_in(&jvm), Err(expected));
    assert_eq!(union.cached_hash_code(), 0);
    let jvm = Jvm::new(
        Release::LATEST,
        IdentityHashes::empty().with("Resource.RAM_MB", 5),
    );
    assert_eq!(union.hash_code_in(&jvm), Ok(31 * (31 + 5) + 16));
}

#[test]
fn unknown_fields_and_values_hash_only_with_the_fixed_table() {
    let json = br#"{"task":{"assignedTask":{"cachedHashCode":0,"taskId":"t","pool":1}}}"#;
    let change = TaskStateChange::read(json).unwrap();
    let assigned = change.task().unwrap().assigned_task().unwrap();
    let jvm = Jvm::new(Release::LATEST, IdentityHashes::empty());
    let expected = Unhashable::UnknownField("AssignedTask.pool".to_owned());
    assert_eq!(assigned.hash_code_in(&jvm), Err(expected));
    assert_ne!(assigned.hash_code(), 0);
}

#[test]
fn a_field_that_a_release_does_not_have_is_not_in_its_hash() {
    let hash = |config: TaskConfig, release| {
        config
            .hash_code_in(&Jvm::new(release, IdentityHashes::fixed()))
            .unwrap()
    };
    let other = || config().with_num_cpus(2.0);
    assert_eq!(
        hash(config(), Release::V0_20),
        hash(other(), Release::V0_20)
    );
    assert_ne!(
        hash(config(), Release::V0_17),
        hash(other(), Release::V0_17)
    );
}

#[test]
fn the_table_in_the_documentation_is_the_fixed_one() {
    let page = include_str!("../../../docs/wire-format.md");
    for (constant, identity) in IdentityHashes::fixed().entries() {
        assert!(
            page.contains(&format!("| `{constant}` | {identity} |")),
            "{constant}"
        );
    }
}
