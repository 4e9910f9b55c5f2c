//! Checks that the tests named in `docs/architecture.md` exist.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;

/// The page, and the heading of the section that names tests.
const PAGE: &str = "docs/architecture.md";
const HEADING: &str = "## Promises, and the tests that hold them";

/// Checks that each test named on the page is a function in one of these sources.
///
/// # Errors
///
/// Names the tests that do not exist; or the page has no such section.
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

/// The test names in the tables of the section: words in backticks with two underscores or more.
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
    fn only_the_tests_of_the_section_must_exist() {
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
    fn a_test_that_does_not_exist_is_named() {
        let names = BTreeSet::from(["it_is_so", "it_stays_so", "it_is"]);
        let sources = ["fn it_is_so() {}", "fn it_is(a: u8) {}"];
        assert_eq!(
            without_function(names, sources.into_iter()),
            ["it_stays_so"]
        );
    }
}
