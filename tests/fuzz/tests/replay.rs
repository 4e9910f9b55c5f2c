//! Every target keeps its promises on its seeds, and on what fuzzing found.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use fuzz::{TARGETS, Target};

fn check(target: &'static Target, name: &str, input: &[u8]) {
    let result = std::panic::catch_unwind(|| target.check(input));
    let shown = String::from_utf8_lossy(input);
    assert!(result.is_ok(), "{}, {name}: {shown}", target.name);
}

#[test]
fn every_target_keeps_its_promises_on_its_seeds() {
    for target in TARGETS {
        let seeds = fuzz::seeds(target);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for (at, seed) in seeds.iter().enumerate() {
            check(target, &format!("seed {at}"), seed);
        }
    }
}

#[test]
fn what_fuzzing_found_stays_mended() {
    for folder in std::fs::read_dir(testkit::fixture("fuzz")).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy();
        let target = Target::named(&name).unwrap_or_else(|| panic!("there is no target {name}"));
        for file in std::fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            check(
                target,
                &file.display().to_string(),
                &std::fs::read(&file).unwrap(),
            );
        }
    }
}
