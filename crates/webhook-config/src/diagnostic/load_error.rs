//! The error of a file that is not a valid configuration.

use super::list::Diagnostics;
use super::problem::Severity;
use std::fmt;

/// The error of a file that is not a valid configuration: its problems. Nothing of the file is
/// used.
#[derive(Clone)]
pub struct LoadError {
    diagnostics: Box<Diagnostics>,
}

impl LoadError {
    pub(crate) fn new(diagnostics: Diagnostics) -> Self {
        LoadError {
            diagnostics: Box::new(diagnostics),
        }
    }

    /// All problems of the file, warnings included. At least one is an error.
    #[must_use]
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.diagnostics
    }

    /// The same, without the error around them.
    #[must_use]
    pub fn into_diagnostics(self) -> Diagnostics {
        *self.diagnostics
    }
}

impl fmt::Display for LoadError {
    /// Writes the number of errors, and a line for each problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.diagnostics.count(Severity::Error);
        let plural = if errors == 1 { "" } else { "s" };
        write!(
            f,
            "{} has {errors} error{plural}\n{}",
            self.diagnostics.file(),
            self.diagnostics
        )
    }
}

impl fmt::Debug for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for LoadError {}
