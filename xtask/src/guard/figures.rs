//! What was counted, and what is committed.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// A path may take so much more than is committed.
const ALLOWED: f64 = 1.10;

/// Instructions of each path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figures {
    /// What compiled them.
    pub(super) compiler: String,
    /// The processor's instruction set; libraries choose their loops by what it has.
    architecture: String,
    avx2: bool,
    /// Instructions for each time.
    pub(super) paths: BTreeMap<String, u64>,
}

/// How one path changed; a side is `None` where the path is missing there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    name: String,
    committed: Option<u64>,
    counted: Option<u64>,
}

impl Figures {
    /// Nothing yet.
    pub(super) fn of_this_machine() -> Result<Figures> {
        let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .arg("--version")
            .output()
            .context("cannot start rustc")?;
        Ok(Figures {
            compiler: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            avx2: has_avx2(),
            paths: BTreeMap::new(),
        })
    }

    pub(super) fn read(path: &Path) -> Result<Figures> {
        let text = std::fs::read_to_string(path).with_context(|| {
            let path = path.display();
            format!("cannot read {path}: `cargo xtask guard --bless` writes it")
        })?;
        serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("figures as JSON")?;
        std::fs::write(path, text + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether what is counted here can be compared with it.
    pub(super) fn is_of_this_machine(&self) -> bool {
        self.architecture == std::env::consts::ARCH && self.avx2 == has_avx2()
    }

    /// Path by path, those of either side.
    pub(super) fn changes(&self, committed: &Figures) -> Vec<Change> {
        let mut names: Vec<_> = self.paths.keys().chain(committed.paths.keys()).collect();
        names.sort();
        names.dedup();
        let change = |name: &String| Change {
            name: name.clone(),
            committed: committed.paths.get(name).copied(),
            counted: self.paths.get(name).copied(),
        };
        names.into_iter().map(change).collect()
    }

    /// For people.
    pub(super) fn table(&self, committed: Option<&Figures>) -> String {
        let none = Figures {
            paths: BTreeMap::new(),
            ..self.clone()
        };
        let changes = self.changes(committed.unwrap_or(&none));
        let lines: Vec<_> = changes.iter().map(|change| format!("  {change}")).collect();
        lines.join("\n")
    }
}

impl Change {
    /// How many times what is committed.
    fn ratio(&self) -> Option<f64> {
        Some(self.counted? as f64 / self.committed? as f64)
    }

    /// Whether it takes more than it may, or cannot be compared.
    pub(super) fn is_worse(&self) -> bool {
        self.ratio().is_none_or(|ratio| ratio > ALLOWED)
    }

    pub(super) fn is_better(&self) -> bool {
        self.ratio().is_some_and(|ratio| ratio < 1.0 / ALLOWED)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8}", self.name)?;
        match (self.counted, self.committed) {
            (Some(counted), Some(committed)) => {
                let more = (counted as f64 / committed as f64 - 1.0) * 100.0;
                write!(
                    f,
                    "{counted:>9} instructions, {committed} committed: {more:+.1} %"
                )
            }
            (Some(counted), None) => write!(f, "{counted:>9} instructions, none committed"),
            (None, _) => write!(f, "committed, but not counted any more"),
        }
    }
}

fn has_avx2() -> bool {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with("flags"))
        .is_some_and(|flags| flags.split(' ').any(|flag| flag == "avx2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(paths: &[(&str, u64)]) -> Figures {
        Figures {
            compiler: "rustc".to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            avx2: has_avx2(),
            paths: paths
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
        }
    }

    fn worse(counted: &[(&str, u64)], committed: &[(&str, u64)]) -> Vec<String> {
        let changes = figures(counted).changes(&figures(committed));
        let worse = changes.into_iter().filter(Change::is_worse);
        worse.map(|change| change.to_string()).collect()
    }

    #[test]
    fn a_tenth_more_is_allowed_and_no_more() {
        assert!(worse(&[("lane", 1_100)], &[("lane", 1_000)]).is_empty());
        assert!(worse(&[("lane", 10)], &[("lane", 1_000)]).is_empty());
        assert_eq!(
            worse(
                &[("lane", 1_101), ("encode", 5)],
                &[("lane", 1_000), ("encode", 5)]
            ),
            ["lane         1101 instructions, 1000 committed: +10.1 %"]
        );
    }

    #[test]
    fn a_path_that_is_on_one_side_only_is_not_passed_over() {
        assert_eq!(worse(&[("new", 1)], &[]).len(), 1);
        assert_eq!(worse(&[], &[("old", 1)]).len(), 1);
    }

    #[test]
    fn a_path_that_became_cheaper_is_told() {
        let changes = figures(&[("lane", 900)]).changes(&figures(&[("lane", 1_000)]));
        assert!(changes[0].is_better());
        let changes = figures(&[("lane", 950)]).changes(&figures(&[("lane", 1_000)]));
        assert!(!changes[0].is_better());
    }

    #[test]
    fn figures_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.json");
        let figures = figures(&[("lane", 1_000)]);
        figures.write(&path).unwrap();
        assert_eq!(Figures::read(&path).unwrap(), figures);
        assert!(figures.is_of_this_machine());
    }

    #[test]
    fn the_committed_figures_have_each_path_that_is_counted() {
        let path = crate::workspace::root().join("xtask/guard.json");
        let committed = Figures::read(&path).unwrap();
        let committed: Vec<_> = committed.paths.keys().map(String::as_str).collect();
        let mut counted: Vec<_> = super::super::count::PATHS
            .iter()
            .map(|path| path.name)
            .collect();
        counted.sort_unstable();
        assert_eq!(committed, counted);
    }
}
