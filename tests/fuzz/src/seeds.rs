//! Seeds: inputs to start from, made of `tests/fixtures`.

use crate::target::Target;
use std::path::Path;

/// Collects the seeds of a target.
#[derive(Debug, Default)]
pub(crate) struct Files {
    found: Vec<Vec<u8>>,
}

/// The seeds of a target, each once.
///
/// # Panics
/// A fixture cannot be read.
#[must_use]
pub fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut files = Files::default();
    (target.seeds)(&mut files);
    files.found.sort();
    files.found.dedup();
    files.found.retain(|seed| seed.len() <= target.longest);
    files.found
}

impl Files {
    /// Adds a seed.
    pub(crate) fn add(&mut self, seed: impl Into<Vec<u8>>) {
        self.found.push(seed.into());
    }

    /// Adds what `make` makes of each file of a folder of the fixtures whose name ends so.
    pub(crate) fn each_file(&mut self, folder: &str, end: &str, make: impl Fn(Vec<u8>) -> Vec<u8>) {
        for path in files(&testkit::fixture(folder)) {
            if path.to_string_lossy().ends_with(end) {
                self.add(make(read(&path)));
            }
        }
    }

    /// Adds what `make` makes of each line of a file of the fixtures.
    pub(crate) fn each_line(&mut self, file: &str, make: impl Fn(&[u8]) -> Vec<u8>) {
        for line in read(&testkit::fixture(file)).split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                self.add(make(line));
            }
        }
    }
}

impl Files {
    /// The blocks of code of a page in this language.
    pub(crate) fn blocks(&self, page: &str, language: &str) -> Vec<String> {
        let text = String::from_utf8(read(&testkit::repository(page))).expect("it is text");
        let fence = format!("```{language}\n");
        let block = |it: &str| it.split("```").next().unwrap_or_default().to_owned();
        text.split(&fence).skip(1).map(block).collect()
    }
}

/// The files of a folder, in the order of their names.
pub(crate) fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is committed");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the file is committed")
}
