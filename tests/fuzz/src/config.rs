//! The configuration file: a verdict and its text, and what is shown of a valid one.

use crate::seeds::Files;
use std::path::Path;
use webhook_config::{Config, ConfigText, Severity};

/// A folder that does not exist: no file that the text names by a relative path does either.
const FOLDER: &str = "/nonexistent";
const FILE: &str = "webhook.json";

/// A refused file has an error with a place in it, and a text that is safe on a terminal; a valid one
/// is valid without its secrets, too, and what is shown of it is read as the same configuration.
pub(crate) fn run(input: &[u8]) {
    let folder = Path::new(FOLDER);
    let without = ConfigText::of(folder, FILE, input).check_without_secrets();
    let loaded = match Config::parse_in(folder, FILE, input) {
        Ok(loaded) => loaded,
        Err(error) => {
            let diagnostics = error.diagnostics();
            assert!(diagnostics.count(Severity::Error) > 0);
            check_text(&error.to_string());
            return check(diagnostics, input);
        }
    };
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(input).is_ok();
    assert!(
        is_json || !loaded.warnings.is_empty(),
        "what follows the object is named"
    );
    assert!(!loaded.warnings.has_errors());
    assert!(!without.has_errors(), "{without}");
    check(&loaded.warnings, input);
    let shown = serde_json::to_string(&loaded.config.show()).expect("it is JSON");
    // A masked secret cannot be read back, and a file that is named by an absolute path may change.
    if !shown.contains("***") {
        let again = Config::parse_in(folder, FILE, shown.as_bytes());
        let again = again
            .unwrap_or_else(|error| panic!("{error}\n{shown}"))
            .config;
        assert_eq!(serde_json::to_string(&again.show()).ok(), Some(shown));
    }
}

fn check(diagnostics: &webhook_config::Diagnostics, input: &[u8]) {
    let lines = 1 + input.iter().filter(|byte| **byte == b'\n').count();
    for problem in diagnostics.iter() {
        assert!((1..=lines).contains(&problem.line()), "{problem:?}");
        assert!(
            (1..=input.len() + 1).contains(&problem.column()),
            "{problem:?}"
        );
        assert!(!problem.message().is_empty());
    }
    check_text(&diagnostics.to_string());
    check_text(&diagnostics.render(false));
    assert_eq!(diagnostics.render(true).is_empty(), diagnostics.is_empty());
}

/// A text that quotes a file must not control the terminal.
fn check_text(text: &str) {
    let control = text.chars().find(|it| it.is_control() && *it != '\n');
    assert_eq!(control, None, "{text:?}");
}

pub(crate) fn seeds(files: &mut Files) {
    files.each_file("", "webhook.json", |file| file);
    for block in files.blocks("docs/configuration.md", "json") {
        files.add(block);
    }
}
