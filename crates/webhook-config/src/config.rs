//! The whole configuration.

use crate::diagnostic::{Diagnostics, Severity};
use crate::file;
use crate::queue::QueueSettings;
use crate::target::Target;
use std::fmt;
use std::path::Path;

/// What the operator asked for. Every value has passed its checks, and every secret is resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub(crate) targets: Vec<Target>,
    pub(crate) queue: QueueSettings,
    pub(crate) max_event_bytes: usize,
}

/// A configuration, and what is sloppy in its file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings alone; there may be none.
    pub warnings: Diagnostics,
}

/// A file is not a valid configuration. Nothing of it is used.
#[derive(Clone)]
pub struct LoadError {
    diagnostics: Box<Diagnostics>,
}

impl Config {
    /// Reads a file, and the environment variables and files that it names, once.
    ///
    /// Relative paths in it start from its directory.
    ///
    /// # Errors
    /// When it cannot be read or holds an error; all of its problems are in the error.
    pub fn load(path: &Path) -> Result<Loaded, LoadError> {
        file::load(path)
    }

    /// Reads a text; `name` stands for the file in diagnostics.
    ///
    /// Relative paths in it start from the current directory.
    ///
    /// # Errors
    /// When it holds an error; all of its problems are in the error.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Loaded, LoadError> {
        file::parse(Path::new(""), name, bytes)
    }

    /// Reads a text as if it were a file in `dir`; `name` stands for it in diagnostics.
    ///
    /// # Errors
    /// When it holds an error; all of its problems are in the error.
    pub fn parse_in(dir: &Path, name: &str, bytes: &[u8]) -> Result<Loaded, LoadError> {
        file::parse(dir, name, bytes)
    }

    /// The targets; at least one, no two of the same name.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Where undelivered events wait.
    #[must_use]
    pub fn queue(&self) -> &QueueSettings {
        &self.queue
    }

    /// The same, with events waiting elsewhere.
    #[must_use]
    pub fn with_queue(mut self, queue: QueueSettings) -> Self {
        self.queue = queue;
        self
    }

    /// The most bytes that an event, or a line of input, may have.
    #[must_use]
    pub fn max_event_bytes(&self) -> usize {
        self.max_event_bytes
    }
}

impl LoadError {
    pub(crate) fn new(diagnostics: Diagnostics) -> Self {
        LoadError {
            diagnostics: Box::new(diagnostics),
        }
    }

    /// All problems of the file, warnings too; at least one is an error.
    #[must_use]
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.diagnostics
    }
}

impl fmt::Display for LoadError {
    /// The number of errors, and a line for each problem.
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
