//! The whole configuration.

use crate::diagnostic::{Diagnostics, LoadError};
use crate::file::{self, FileContent};
use crate::limits::{self, BuildError};
use crate::queue::QueueSettings;
use crate::show::ShownConfig;
use crate::target::Target;
use std::collections::HashSet;
use std::path::Path;

/// What the operator asked for. Every value has passed its checks, and every secret is resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    targets: Vec<Target>,
    queue: QueueSettings,
    max_event_bytes: usize,
}

/// A configuration, and what is sloppy in its file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings alone; there may be none.
    pub warnings: Diagnostics,
}

impl Config {
    /// Starts from the defaults, and no target.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder {
            targets: Vec::new(),
            queue: QueueSettings::default(),
            max_event_bytes: limits::DEFAULT_MAX_EVENT_BYTES,
        }
    }

    /// Reads a file, and the environment variables and files that it names, once.
    ///
    /// Relative paths in it start from its directory.
    ///
    /// # Errors
    /// When it cannot be read or holds an error; all of its problems are in the error.
    pub fn load(path: &Path) -> Result<Loaded, LoadError> {
        file::load(path).map(Loaded::new)
    }

    /// Reads a text; `name` stands for the file in diagnostics.
    ///
    /// Relative paths in it start from the current directory.
    ///
    /// # Errors
    /// When it holds an error; all of its problems are in the error.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Loaded, LoadError> {
        Config::parse_in(Path::new(""), name, bytes)
    }

    /// Reads a text as if it were a file in `dir`; `name` stands for it in diagnostics.
    ///
    /// # Errors
    /// When it holds an error; all of its problems are in the error.
    pub fn parse_in(dir: &Path, name: &str, bytes: &[u8]) -> Result<Loaded, LoadError> {
        file::parse(dir, name, bytes).map(Loaded::new)
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

    /// All values with their defaults, to be written out in the form of the file, secrets masked.
    ///
    /// Shown as `***` is whatever came from the environment or a file, whatever signs or
    /// authenticates, and a header whose name or value looks like a credential. Another header's
    /// text is given as it was read; a warning of the file says where HTTP cannot carry it so.
    #[must_use]
    pub fn show(&self) -> ShownConfig<'_> {
        ShownConfig::new(&self.targets, &self.queue, self.max_event_bytes)
    }
}

impl Loaded {
    fn new((content, warnings): (FileContent, Diagnostics)) -> Self {
        let FileContent {
            targets,
            queue,
            max_event_bytes,
        } = content;
        Loaded {
            config: Config {
                targets,
                queue,
                max_event_bytes,
            },
            warnings,
        }
    }
}

/// Makes a [`Config`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ConfigBuilder {
    targets: Vec<Target>,
    queue: QueueSettings,
    max_event_bytes: usize,
}

impl ConfigBuilder {
    /// Adds a target.
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Where undelivered events wait.
    pub fn queue(mut self, queue: QueueSettings) -> Self {
        self.queue = queue;
        self
    }

    /// The most bytes that an event has; 1 MiB if not set.
    pub fn max_event_bytes(mut self, max_event_bytes: usize) -> Self {
        self.max_event_bytes = max_event_bytes;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// When there is no target, two have the same name, or a number is outside its range.
    pub fn build(self) -> Result<Config, BuildError> {
        let ConfigBuilder {
            targets,
            queue,
            max_event_bytes,
        } = self;
        if targets.is_empty() {
            return Err(BuildError::NoTargets);
        }
        let mut names = HashSet::new();
        if let Some(twice) = targets.iter().find(|target| !names.insert(target.name())) {
            return Err(BuildError::DuplicateName(twice.name().clone()));
        }
        limits::QUEUE_BYTES.check("queue.maxBytes", queue.max_bytes())?;
        limits::MAX_EVENT_BYTES.check("maxEventBytes", max_event_bytes as u64)?;
        Ok(Config {
            targets,
            queue,
            max_event_bytes,
        })
    }
}
