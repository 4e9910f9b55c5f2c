//! Tests of the public interface, one file for each concern.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aurora;
mod batches;
mod bounds;
mod diagnostics;
mod inputs;
mod notices;
mod queue;
mod ready_templates;
mod reference;
mod retention;
mod round_trip;
mod schema;
mod secrets;
mod sources;
mod templates;
mod warnings;

use webhook_config::{Config, Diagnostics, LoadError, Loaded, Severity};

/// Reads a text as `webhook.json`.
fn parse(text: &str) -> Result<Loaded, LoadError> {
    Config::parse("webhook.json", text.as_bytes())
}

/// The problems of a text, whether it is valid or not.
fn problems(text: &str) -> Diagnostics {
    match parse(text) {
        Ok(loaded) => loaded.warnings,
        Err(error) => error.diagnostics().clone(),
    }
}

/// The codes of a text's errors.
fn errors(text: &str) -> Vec<&'static str> {
    let problems = problems(text);
    let errors = problems
        .iter()
        .filter(|it| it.severity() == Severity::Error);
    errors.map(|it| it.code().as_str()).collect()
}
