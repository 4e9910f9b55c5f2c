//! Cycles of modules: files or folders that use each other, directly or through others.
//!
//! The parts of a module must have an order: its own file (`mod.rs`; `lib.rs` for the crate), its
//! files, and its folders, each with its whole content. So a file that uses what its own `mod.rs`
//! defines is in a cycle if `mod.rs` uses or re-exports something of that file. Two folders that
//! use each other are in a cycle even if no two of their files are.

use super::modules::{Modules, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Places shown of each arrow.
const MOST_PLACES: usize = 5;

/// Files and folders that use each other, with each arrow between two of them.
#[derive(Debug)]
pub(super) struct Cycle {
    members: BTreeSet<String>,
    arrows: BTreeMap<(String, String), BTreeSet<Place>>,
}

/// Which part of one module uses which, and where.
type Level = BTreeMap<(String, String), BTreeSet<Place>>;

/// Returns the cycles of a crate.
pub(super) fn cycles(modules: &Modules) -> Vec<Cycle> {
    levels(modules).values().flat_map(of_level).collect()
}

/// Sorts the uses by the innermost module that contains both files.
fn levels(modules: &Modules) -> BTreeMap<Vec<String>, Level> {
    let mut levels: BTreeMap<_, Level> = BTreeMap::new();
    for ((from, to), places) in &modules.uses {
        let (from, to) = (&modules.files[*from], &modules.files[*to]);
        let both = from.module.iter().zip(&to.module);
        let depth = both.take_while(|(one, other)| one == other).count();
        let arrow = (
            name_at(modules, &from.module, &from.name, depth),
            name_at(modules, &to.module, &to.name, depth),
        );
        let level = levels.entry(from.module[..depth].to_vec()).or_default();
        level
            .entry(arrow)
            .or_default()
            .extend(places.iter().cloned());
    }
    levels
}

/// The part that a file belongs to at this depth: the file itself, or a folder.
fn name_at(modules: &Modules, module: &[String], file: &str, depth: usize) -> String {
    let Some(node) = module.get(..=depth) else {
        return file.to_owned();
    };
    let mut inside = modules
        .files
        .iter()
        .filter(|file| file.module.starts_with(node));
    match (inside.next(), inside.next()) {
        (Some(_), Some(_)) => {
            // `a/mod.rs`, `a.rs` and `a/b.rs` belong to `a/`.
            let below = module.len() - depth - 1;
            let file = file.strip_suffix("/mod.rs").unwrap_or(file);
            let file = file.strip_suffix(".rs").unwrap_or(file);
            let parts: Vec<&str> = file.split('/').collect();
            let kept = parts.get(..parts.len() - below).unwrap_or(&parts);
            format!("{}/", kept.join("/"))
        }
        _ => file.to_owned(),
    }
}

fn of_level(level: &Level) -> Vec<Cycle> {
    let mut left: BTreeSet<&str> = level.keys().map(|(from, _)| from.as_str()).collect();
    let mut found = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut members = reachable(level, first);
        members.retain(|name| reachable(level, name).contains(first));
        left.retain(|name| !members.contains(name));
        let mut arrows = level.clone();
        arrows.retain(|(from, to), _| {
            [from, to]
                .iter()
                .all(|name| members.contains(name.as_str()))
        });
        let members: BTreeSet<String> = members.into_iter().map(str::to_owned).collect();
        if !members.is_empty() {
            found.push(Cycle { members, arrows });
        }
    }
    found
}

/// The parts that `from` uses, directly or not; `from` itself only if it is in a cycle.
fn reachable<'a>(level: &'a Level, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(at) = open.pop() {
        for (_, to) in level.keys().filter(|(from, _)| *from == at) {
            if found.insert(to.as_str()) {
                open.push(to.clone());
            }
        }
    }
    found
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<&str> = self.members.iter().map(|name| in_crate(name)).collect();
        write!(f, "a cycle of {}: {}", members.len(), members.join(", "))?;
        for ((from, to), places) in &self.arrows {
            write!(f, "\n    {} -> {}", in_crate(from), in_crate(to))?;
            for place in places.iter().take(MOST_PLACES) {
                write!(f, "\n      {place}")?;
            }
            if let Some(more) = places.len().checked_sub(MOST_PLACES + 1) {
                write!(f, "\n      and {} more", more + 1)?;
            }
        }
        Ok(())
    }
}

fn in_crate(name: &str) -> &str {
    name.split_once("/src/").map_or(name, |(_, name)| name)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} `{}`", self.file, self.line, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::modules::fabricate;

    /// Compares the members of each cycle in a crate of these files.
    fn check(files: &str, expected: &[&str]) {
        let members = |cycle: &Cycle| {
            let names: Vec<&str> = cycle.members.iter().map(|name| in_crate(name)).collect();
            names.join(", ")
        };
        let found: Vec<String> = cycles(&fabricate(files)).iter().map(members).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn files_in_an_order_are_in_no_cycle() {
        check(
            "lib.rs: mod high; mod low; pub use high::High;
             high.rs: use crate::low::Low; pub struct High(Low);
             low.rs: pub struct Low;",
            &[],
        );
    }

    #[test]
    fn two_files_that_use_each_other_are_a_cycle_with_its_places() {
        let files = r"lib.rs: mod a; mod b;
                      a.rs: pub struct A;\nuse super::b::B;
                      b.rs: \n\npub struct B(crate::a::A);";
        check(files, &["a.rs, b.rs"]);
        let cycles = cycles(&fabricate(files));
        assert_eq!(
            cycles[0].to_string(),
            "a cycle of 2: a.rs, b.rs\n    \
             a.rs -> b.rs\n      a/src/a.rs:2 `super::b::B`\n    \
             b.rs -> a.rs\n      a/src/b.rs:3 `crate::a::A`"
        );
    }

    #[test]
    fn folders_are_in_a_cycle_even_if_no_two_of_their_files_are() {
        check(
            "lib.rs: mod a; mod b; mod c;
             a/mod.rs: mod down; mod up;
             a/up.rs: pub struct Up;
             a/down.rs: use crate::b::x::X;
             b/mod.rs: pub mod x; pub mod y;
             b/x.rs: pub struct X;
             b/y.rs: use crate::c::C;
             c.rs: use crate::a::up::Up; pub struct C(Up);",
            &["a/, b/, c.rs"],
        );
    }

    #[test]
    fn a_file_that_uses_its_own_mod_file_is_in_a_cycle_if_that_uses_it() {
        for owner in ["room.rs", "room/mod.rs"] {
            let mut members = [owner, "room/child.rs"];
            members.sort_unstable();
            check(
                &format!(
                    "lib.rs: mod room;
                     {owner}: mod child; pub use child::Child; pub struct Owner;
                     room/child.rs: use super::Owner; pub struct Child(Owner);"
                ),
                &[&members.join(", ")],
            );
        }
        check(
            "lib.rs: mod child; pub struct Root; fn f() { child::g() }
             child.rs: pub fn g(_: crate::Root) {}",
            &["child.rs, lib.rs"],
        );
    }

    #[test]
    fn a_file_may_use_a_sibling_through_a_re_export() {
        check(
            "lib.rs: mod room; pub use room::A;
             room/mod.rs: mod a; mod b; pub use a::A; pub use b::{B};
             room/a.rs: pub struct A;
             room/b.rs: use crate::A; use super::A as Other; pub struct B(A, Other);",
            &[],
        );
    }

    #[test]
    fn an_inherent_impl_outside_the_file_of_its_type_is_a_cycle() {
        let cycle: &[&str] = &["a.rs, b.rs"];
        for (content, expected) in [
            ("impl<T: Fn() -> u8> A<T> { fn f(&self) {} }", cycle),
            ("impl<T> std::fmt::Debug for A<T> {}", &[]),
            ("fn f() -> impl Into<A<u8>> { 1 }", &[]),
        ] {
            let files = "lib.rs: mod a; mod b;\na.rs: pub struct A<T>(T);\nb.rs: use crate::a::A;";
            check(&format!("{files} {content}"), expected);
        }
    }
}
