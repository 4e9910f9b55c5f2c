//! The tests that `docs/architecture.md` names must exist: a promise whose test is gone is told.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;

/// The page, and the heading under which tests are named.
const PAGE: &str = "docs/architecture.md";
const HEADING: &str = "## Promises, and the tests that hold them";

/// Checks that each test named on the page is a function in one of these Rust sources.
///
/// # Errors
///
/// Names the tests that are gone; or the page has no such section.
pub(crate) fn check<'a>(sources: impl Iterator<Item = &'a str>) -> Result<()> {
    let path = workspace::root().join(PAGE);
    let page = std::fs::read_to_string(path).with_context(|| format!("cannot read {PAGE}"))?;
    let named = tests_named(&page);
    if named.is_empty() {
        bail!("{PAGE} names no test under `{HEADING}`");
    }
    let gone = without_function(named, sources);
    if gone.is_empty() {
        return Ok(());
    }
    bail!("{PAGE} names tests that do not exist: {}", gone.join(", "));
}

/// What is in backticks in the tables of the section and looks like the name of a test.
fn tests_named(page: &str) -> BTreeSet<&str> {
    let section = page.split_once(HEADING).map_or("", |(_, section)| section);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|'));
    let quoted = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    quoted
        .filter(|name| name.matches('_').count() > 1)
        .collect()
}

fn without_function<'a>(
    mut names: BTreeSet<&str>,
    sources: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    for source in sources {
        names.retain(|name| !source.contains(&format!("fn {name}(")));
    }
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_the_section_alone_are_looked_for() {
        let page = format!(
            "| `not_in_it` |\n{HEADING}\n\n| a `word` | `it_is_so`, `it_stays_so` |\n\
             not `in_a_table`\n\n## Next\n| `not_in_it_either` |\n"
        );
        assert_eq!(
            tests_named(&page),
            BTreeSet::from(["it_is_so", "it_stays_so"])
        );
    }

    #[test]
    fn a_test_that_is_gone_is_told() {
        let names = BTreeSet::from(["it_is_so", "it_stays_so", "it_is"]);
        let sources = ["fn it_is_so() {}", "fn it_is(a: u8) {}"];
        assert_eq!(
            without_function(names, sources.into_iter()),
            ["it_stays_so"]
        );
    }
}
