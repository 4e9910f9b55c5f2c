//! The modules of one crate, and which file uses which.
//!
//! A file uses another if its code, tests excluded, imports or names what the other defines;
//! re-exports are followed to the definition. The file of a type also uses each file with an
//! inherent `impl` block of that type, whose methods it offers. `mod name;` is no use, and neither
//! is the import of a module, as opposed to an item in it.

use crate::syntax::{Path, Syntax};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Reads a file: `None` if it does not exist.
pub(super) type Read<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A crate's files and their uses of each other.
#[derive(Debug)]
pub(super) struct Modules {
    modules: Vec<Module>,
    pub(super) files: Vec<File>,
    /// By the indexes of the using and the used file in `files`.
    pub(super) uses: BTreeMap<(usize, usize), BTreeSet<Place>>,
}

#[derive(Debug)]
pub(super) struct File {
    /// From the root of the repository.
    pub(super) name: String,
    /// The path of its module; empty for the root of the crate.
    pub(super) module: Path,
}

/// Where a file uses another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: usize,
    /// The path, as written.
    pub(super) what: String,
}

#[derive(Debug)]
struct Module {
    file: usize,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    syntax: Syntax,
}

/// The result of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Module(usize),
    /// An item that this module defines.
    Item(usize),
}

/// The longest chain of re-exports that is followed.
const MOST_STEPS: u32 = 16;

impl Modules {
    /// Reads a crate, from its root file.
    pub(super) fn load(root: &str, read: &Read<'_>) -> Result<Modules> {
        let mut modules = Modules {
            modules: Vec::new(),
            files: Vec::new(),
            uses: BTreeMap::new(),
        };
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        modules.add_file(root, folder, &Vec::new(), None, read)?;
        for index in 0..modules.modules.len() {
            modules.collect(index);
        }
        Ok(modules)
    }

    fn add_file(
        &mut self,
        name: &str,
        folder: &str,
        path: &Path,
        parent: Option<usize>,
        read: &Read<'_>,
    ) -> Result<usize> {
        let text = read(name).with_context(|| format!("cannot read {name}"))?;
        let syntax = Syntax::parse(&text).with_context(|| format!("{name} is not Rust"))?;
        self.files.push(File {
            name: name.to_owned(),
            module: path.clone(),
        });
        let file = self.files.len() - 1;
        self.add_module(syntax, file, folder, path, parent, read)
    }

    /// `folder` contains the files of its children.
    fn add_module(
        &mut self,
        mut syntax: Syntax,
        file: usize,
        folder: &str,
        path: &Path,
        parent: Option<usize>,
        read: &Read<'_>,
    ) -> Result<usize> {
        let declared = std::mem::take(&mut syntax.modules);
        self.modules.push(Module {
            file,
            parent,
            children: BTreeMap::new(),
            syntax,
        });
        let index = self.modules.len() - 1;
        for child in declared {
            let below = format!("{folder}/{}", child.name);
            let mut path = path.clone();
            path.push(child.name.clone());
            let added = if let Some(inline) = child.inline {
                self.add_module(inline, file, &below, &path, Some(index), read)?
            } else {
                let beside = format!("{below}.rs");
                let name = match read(&beside) {
                    Some(_) => beside,
                    None => format!("{below}/mod.rs"),
                };
                self.add_file(&name, &below, &path, Some(index), read)?
            };
            self.modules[index].children.insert(child.name, added);
        }
        Ok(index)
    }

    /// Adds the uses of one module.
    fn collect(&mut self, index: usize) {
        let Module { file, syntax, .. } = &self.modules[index];
        let mut found = Vec::new();
        for import in &syntax.imports {
            match self.resolve(index, &import.path, 0) {
                // Its items are used by paths that begin with its name.
                Some(Found::Module(_)) if import.name.is_some() => {}
                Some(Found::Module(to) | Found::Item(to)) => {
                    let star = if import.name.is_none() { "::*" } else { "" };
                    let what = import.path.join("::") + star;
                    found.push((*file, self.modules[to].file, import.line, what));
                }
                None => {}
            }
        }
        for (path, line) in &syntax.mentions {
            if let Some(Found::Item(to)) = self.resolve(index, path, 0) {
                found.push((*file, self.modules[to].file, *line, path.join("::")));
            }
        }
        for (path, line) in &syntax.impls {
            if let Some(Found::Item(of)) = self.resolve(index, path, 0) {
                let what = format!("impl {}", path.join("::"));
                found.push((self.modules[of].file, *file, *line, what));
            }
        }
        let name = &self.files[*file].name;
        for (from, to, line, what) in found.into_iter().filter(|(from, to, ..)| from != to) {
            let file = name.clone();
            let places = self.uses.entry((from, to)).or_default();
            places.insert(Place { file, line, what });
        }
    }

    /// Looks up a path of a module. `None` for one of another crate.
    fn resolve(&self, scope: usize, path: &[String], steps: u32) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(self.walk(0, rest, steps)),
            "self" => Some(self.walk(scope, rest, steps)),
            "super" => {
                let parent = self.modules[scope].parent?;
                match rest.first() {
                    Some(next) if next == "super" => self.resolve(parent, rest, steps),
                    _ => Some(self.walk(parent, rest, steps)),
                }
            }
            _ => self.step(scope, first, rest, steps),
        }
    }

    /// Looks up a path within a module. A name that is not found counts as defined there, since a
    /// macro may define it.
    fn walk(&self, module: usize, path: &[String], steps: u32) -> Found {
        match path.split_first() {
            None => Found::Module(module),
            Some((name, rest)) => self
                .step(module, name, rest, steps)
                .unwrap_or(Found::Item(module)),
        }
    }

    /// Looks up a name in a module, then the rest of the path.
    fn step(&self, index: usize, name: &str, rest: &[String], steps: u32) -> Option<Found> {
        if steps > MOST_STEPS {
            return None;
        }
        let module = &self.modules[index];
        if let Some(child) = module.children.get(name)
            && !(rest.is_empty() && module.syntax.items.contains(name))
        {
            return Some(self.walk(*child, rest, steps));
        }
        if module.syntax.items.contains(name) {
            return Some(Found::Item(index));
        }
        let imports = &module.syntax.imports;
        let mut named = imports.iter();
        if let Some(import) = named.find(|import| import.name.as_deref() == Some(name)) {
            return Some(match self.resolve(index, &import.path, steps + 1) {
                Some(Found::Module(found)) => self.walk(found, rest, steps + 1),
                Some(item) => item,
                // An import from another crate.
                None => Found::Item(index),
            });
        }
        for import in imports.iter().filter(|import| import.name.is_none()) {
            if let Some(Found::Module(found)) = self.resolve(index, &import.path, steps + 1)
                && found != index
                && let Some(found) = self.step(found, name, rest, steps + 1)
            {
                return Some(found);
            }
        }
        None
    }
}

/// The modules of a crate with a file for each line, as `room/mod.rs: pub struct Room;`. The root
/// is `lib.rs`.
#[cfg(test)]
pub(super) fn fabricate(files: &str) -> Modules {
    let lines = files
        .lines()
        .filter_map(|line| line.trim().split_once(": "));
    let files: BTreeMap<_, _> = lines.collect();
    let read = |name: &str| {
        Some(
            files
                .get(name.strip_prefix("a/src/")?)?
                .replace("\\n", "\n"),
        )
    };
    Modules::load("a/src/lib.rs", &read).expect("the files exist and are Rust")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files that `user.rs` may use.
    const LOW: &str = "
        lib.rs: mod low; mod user; pub use low::{Low as Short, deep}; pub use low::Deep;
        low/mod.rs: pub mod deep; pub use self::deep::*; pub enum Low { One } structure!(Made);
        low/deep.rs: pub struct Deep; pub fn dig() {} macro_rules! hoe { () => {} }";

    /// Compares the uses in `user.rs` with those after `//~` on its last line.
    fn check(user: &str) {
        let (user, expected) = user.split_once("//~").unwrap_or((user, ""));
        let user = user.trim().replace('\n', "\\n");
        let modules = fabricate(&format!("{LOW}\nuser.rs: {user}"));
        let uses = modules.uses.iter();
        let uses = uses.filter(|((from, _), _)| modules.files[*from].name == "a/src/user.rs");
        let found: Vec<String> = uses
            .flat_map(|((_, to), places)| places.iter().map(|place| (*to, place)))
            .map(|(to, place)| {
                let to = modules.files[to].module.join("/");
                format!("{} {} in {to}", place.line, place.what)
            })
            .collect();
        assert_eq!(found.join(", "), expected.trim());
    }

    #[test]
    fn groups_renames_and_re_exports_lead_to_the_definition() {
        check(
            "use crate::{low::{Low as L}, Short}; //~ 1 crate::Short in low, 1 crate::low::Low in low",
        );
        check("use crate::low::{self, deep::Deep}; //~ 1 crate::low::deep::Deep in low/deep");
        check("struct A;\nuse crate::Deep as D; //~ 2 crate::Deep in low/deep");
    }

    #[test]
    fn the_import_of_a_module_is_no_use_and_a_path_through_it_is_one() {
        check("use crate::low::deep;");
        check("use crate::low as l;\nfn f() { l::deep::dig() } //~ 2 l::deep::dig in low/deep");
        check("use super::low::*; //~ 1 super::low::* in low");
    }

    #[test]
    fn paths_in_bodies_macros_and_attributes_count() {
        for user in [
            "fn f() { g(|| super::low::Low::One); } //~ 1 super::low::Low::One in low",
            "m! { a => $crate::low::Low } //~ 1 crate::low::Low in low",
            "m! { let a = 1; use crate::low::{Low}; } //~ 1 crate::low::Low in low",
            "m! { a => { use crate::low::{Low}; } } //~ 1 crate::low::Low in low",
            "m!(x, crate::low::Low, y); //~ 1 crate::low::Low in low",
            "#[serde(with = \"crate::low::deep\")] struct A;",
            "struct A { #[serde(default = \"crate::low::deep::dig\")] a: u8 }
             //~ 1 crate::low::deep::dig in low/deep",
            "fn f() { use crate::low::Low::*; } //~ 1 crate::low::Low::* in low",
            "mod inner { use super::super::low::Low; } //~ 1 super::super::low::Low in low",
        ] {
            check(user);
        }
    }

    #[test]
    fn a_name_that_is_not_found_counts_as_defined_there() {
        check("use crate::low::Made; //~ 1 crate::low::Made in low");
    }

    #[test]
    fn tests_are_left_out() {
        check(
            "#[cfg(test)] mod tests { use crate::low::Low; }
             #[cfg(test)]\n#[doc(hidden)] pub fn f() -> u8 { crate::low::Low::One }
             #[cfg(all(test, unix))] use crate::low::{Low, deep::Deep};
             #[test] fn t() { crate::low::deep::dig() }
             struct S { #[cfg(test)] a: crate::low::Low, b: u8 }
             #[cfg(test)] const C: crate::low::Low = { crate::low::Low::One };",
        );
        check("#![cfg(test)] use crate::low::Low;");
        check("#[cfg(not(test))] use crate::low::Low; //~ 1 crate::low::Low in low");
        // Such a file is not even read.
        fabricate("lib.rs: #[cfg(test)] mod tests;");
    }

    #[test]
    fn names_of_other_crates_comments_and_visibility_do_not_count() {
        check(
            "//! [`crate::low::Low`]
             use ::low::Low; use std::fmt; use serde;
             pub(crate) struct A; pub(in crate::low) fn f(a: &fmt::Debug) { a.low::<u8>(); serde::x() }
             fn g() { Vec::<u8>::low::Low; \"crate::low::Low\" }",
        );
    }
}
