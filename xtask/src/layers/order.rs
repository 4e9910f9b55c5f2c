//! The layers of `webhook-dispatch`, from top to bottom; `docs/architecture.md` says what each is
//! for. A module may use modules of its own row and of the rows below.

use super::modules::Modules;
use std::collections::BTreeSet;

/// The crate's top-level modules by row. Each must be in a row.
pub(super) const LAYERS: &[&[&str]] = &[
    // The public handles.
    &["dispatcher", "control", "monitor", "test_delivery"],
    &["supervisor"],
    &["intake"],
    &["worker"],
    &["target"],
    &["delivery"],
    &["http"],
    &["shared"],
];

/// Returns each use of a row above, and each difference between the rows and the modules.
pub(super) fn violations(modules: &Modules, layers: &[&[&str]]) -> Vec<String> {
    let row = |name: &str| layers.iter().position(|row| row.contains(&name));
    let tops = modules.files.iter().filter_map(|file| file.module.first());
    let tops: BTreeSet<&str> = tops.map(String::as_str).collect();
    let mut problems = Vec::new();
    for top in tops.iter().filter(|top| row(top).is_none()) {
        problems.push(format!(
            "the module `{top}` is in no row of LAYERS: move it into a layer, or add it to a row"
        ));
    }
    let named = layers.iter().copied().flatten();
    for gone in named.filter(|name| !tops.contains(*name)) {
        problems.push(format!("LAYERS names `{gone}`, which does not exist"));
    }
    for ((from, to), places) in &modules.uses {
        let top = |file: &usize| modules.files[*file].module.first();
        let (Some(from), Some(to)) = (top(from), top(to)) else {
            continue;
        };
        if let (Some(above), Some(below)) = (row(to), row(from))
            && above < below
        {
            for place in places {
                problems.push(format!(
                    "{place}: `{from}` is below `{to}` and must not use it"
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::modules::fabricate;

    const ROWS: &[&[&str]] = &[&["handle", "monitor"], &["worker"], &["clock"]];

    fn check(files: &str, expected: &[&str]) {
        assert_eq!(violations(&fabricate(files), ROWS), expected);
    }

    #[test]
    fn a_layer_may_use_its_own_row_and_those_below() {
        check(
            "lib.rs: mod clock; mod handle; mod monitor; mod worker; pub use handle::H;
             handle.rs: use crate::{clock::C, monitor::M, worker::W}; pub struct H;
             monitor.rs: pub struct M;
             worker/mod.rs: mod run; pub struct W;
             worker/run.rs: use crate::clock::C;
             clock.rs: pub struct C;",
            &[],
        );
    }

    #[test]
    fn a_use_of_a_layer_above_is_a_problem() {
        check(
            r"lib.rs: mod clock; mod handle; mod monitor; mod worker; pub use handle::H;
              handle.rs: pub struct H;
              worker/mod.rs: mod run;
              worker/run.rs: \nuse crate::H;
              monitor.rs: struct M;
              clock.rs: struct C;",
            &["a/src/worker/run.rs:2 `crate::H`: `worker` is below `handle` and must not use it"],
        );
    }

    #[test]
    fn a_module_without_a_row_and_a_row_without_its_module_are_problems() {
        check(
            "lib.rs: mod attic; mod handle; mod monitor; mod worker;
             attic.rs: struct A;
             handle.rs: struct H;
             monitor.rs: struct M;
             worker.rs: struct W;",
            &[
                "the module `attic` is in no row of LAYERS: move it into a layer, or add it to a row",
                "LAYERS names `clock`, which does not exist",
            ],
        );
    }
}
