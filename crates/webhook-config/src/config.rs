//! The whole configuration.

use crate::diagnostic::{Diagnostics, LoadError};
use crate::file::{self, ConfigText, FileContent};
use crate::input::{InputFilter, InputName, Inputs};
use crate::limits::{self, BuildError};
use crate::name::TargetName;
use crate::queue::QueueSettings;
use crate::retention::{most_retained, retained};
use crate::show::ShownConfig;
use crate::source::Source;
use crate::target::Target;
use std::collections::HashSet;
use std::path::Path;
use webhook_event::Schema;

/// A valid configuration: every value has passed its checks, and every secret is resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    targets: Vec<Target>,
    inputs: Inputs,
    queue: QueueSettings,
    max_event_bytes: usize,
    sources: Vec<Source>,
    notices: Option<TargetName>,
}

/// A configuration, and the warnings about its file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The warnings. There may be none, and there is no error among them.
    pub warnings: Diagnostics,
}

impl Config {
    /// Starts with the defaults and no target.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder {
            targets: Vec::new(),
            inputs: Inputs::default(),
            queue: QueueSettings::default(),
            max_event_bytes: limits::DEFAULT_MAX_EVENT_BYTES,
        }
    }

    /// Reads a file, and the environment variables and files that it names.
    ///
    /// Relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// When the file cannot be read or is not valid. The error lists all problems.
    pub fn load(path: &Path) -> Result<Loaded, LoadError> {
        ConfigText::read(path).and_then(|text| Config::from_text(&text))
    }

    /// Parses the text of a file, and reads the environment variables and files that it names.
    ///
    /// # Errors
    /// When the text is not valid. The error lists all problems.
    pub fn from_text(text: &ConfigText) -> Result<Loaded, LoadError> {
        text.parse().map(Loaded::new)
    }

    /// Reads a text; diagnostics show `name` as its file.
    ///
    /// Relative paths in it are relative to the current directory.
    ///
    /// # Errors
    /// When the text is not valid. The error lists all problems.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Loaded, LoadError> {
        Config::parse_in(Path::new(""), name, bytes)
    }

    /// Reads a text as if it were a file in `dir`; diagnostics show `name` as its file.
    ///
    /// # Errors
    /// When the text is not valid. The error lists all problems.
    pub fn parse_in(dir: &Path, name: &str, bytes: &[u8]) -> Result<Loaded, LoadError> {
        file::parse(dir, name, bytes).map(Loaded::new)
    }

    /// The targets: at least one, with distinct names.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The inputs by name: the default one, whose name is empty, the named ones, and
    /// [`InputName::NOTICES`] if there are [notices](Config::notices).
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Schema)> {
        self.inputs.iter()
    }

    /// The schema of the input of this name, which is empty for the default one.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<&Schema> {
        self.inputs.get(name)
    }

    /// The queue of undelivered events.
    #[must_use]
    pub fn queue(&self) -> &QueueSettings {
        &self.queue
    }

    /// Returns the same configuration with another queue.
    #[must_use]
    pub fn with_queue(mut self, queue: QueueSettings) -> Self {
        self.queue = queue;
        self
    }

    /// The largest size of an event, and of a line of input, in bytes.
    #[must_use]
    pub fn max_event_bytes(&self) -> usize {
        self.max_event_bytes
    }

    /// The sources that webhookd reads itself, with distinct names. They take effect at its start.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The target that webhookd's own events are sent to: a reliable one of [the
    /// targets](Config::targets).
    #[must_use]
    pub fn notices(&self) -> Option<&TargetName> {
        self.notices.as_ref()
    }

    /// All values in force, defaults included, to be serialized as a configuration file. Secrets
    /// are masked.
    ///
    /// `***` replaces every value from the environment or a file, every signing secret and client
    /// certificate, and each header whose name or value looks like a credential. Other headers are
    /// shown as written, even where HTTP carries them differently, which is a warning.
    #[must_use]
    pub fn show(&self) -> ShownConfig<'_> {
        ShownConfig::new(
            &self.targets,
            &self.inputs,
            &self.queue,
            self.max_event_bytes,
            &self.sources,
            self.notices(),
        )
    }
}

impl Loaded {
    fn new((content, warnings): (FileContent, Diagnostics)) -> Self {
        let FileContent {
            targets,
            inputs,
            queue,
            max_event_bytes,
            sources,
            notices,
        } = content;
        Loaded {
            config: Config {
                targets,
                inputs,
                queue,
                max_event_bytes,
                sources,
                notices,
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
    inputs: Inputs,
    queue: QueueSettings,
    max_event_bytes: usize,
}

impl ConfigBuilder {
    /// Adds a target.
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// The schema of the default input; Aurora's if not set.
    pub fn events(mut self, schema: Schema) -> Self {
        self.inputs.default = schema;
        self
    }

    /// Adds an input besides the default one; 64 at most.
    pub fn input(mut self, name: InputName, schema: Schema) -> Self {
        self.inputs.named.push((name, schema));
        self
    }

    /// The queue of undelivered events.
    pub fn queue(mut self, queue: QueueSettings) -> Self {
        self.queue = queue;
        self
    }

    /// The largest size of an event in bytes; 1 MiB if not set.
    pub fn max_event_bytes(mut self, max_event_bytes: usize) -> Self {
        self.max_event_bytes = max_event_bytes;
        self
    }

    /// Builds the configuration.
    ///
    /// # Errors
    /// When there is no target, two targets or two inputs have the same name, a target takes an
    /// input that there is not, or a number is out of range.
    pub fn build(self) -> Result<Config, BuildError> {
        let ConfigBuilder {
            targets,
            inputs,
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
        limits::INPUTS.check("inputs", inputs.named.len() as u64)?;
        let mut names = HashSet::new();
        if let Some((twice, _)) = inputs.named.iter().find(|(name, _)| !names.insert(name)) {
            return Err(BuildError::DuplicateInput(twice.clone()));
        }
        for target in &targets {
            if let InputFilter::Only(names) = target.inputs()
                && let Some(unknown) = names.iter().find(|name| inputs.get(name).is_none())
            {
                return Err(BuildError::UnknownInput {
                    target: target.name().clone(),
                    input: unknown.clone(),
                });
            }
        }
        limits::QUEUE_BYTES.check("queue.maxBytes", queue.max_bytes())?;
        let letters = queue.dead_letters();
        let bytes = letters.max_bytes().unwrap_or(0);
        limits::DEAD_LETTER_BYTES.check("queue.deadLetters.maxBytes", bytes)?;
        let count = letters.max_count();
        limits::DEAD_LETTER_COUNT.check("queue.deadLetters.maxCount", count)?;
        let age = letters.max_age();
        limits::RETRY_MSEC.check_duration("queue.deadLetters.maxAgeMsec", age)?;
        let (sum, most) = (
            retained(targets.iter().filter_map(Target::retain)),
            most_retained(&queue),
        );
        if sum > most {
            return Err(BuildError::Retained { sum, most });
        }
        limits::LAST_STATES.check("queue.maxLastStates", queue.max_last_states())?;
        if let Some(postgres) = queue.postgres() {
            limits::SLOTS.check("queue.postgres.slots", postgres.slots().into())?;
            limits::LEASE_MSEC.check_duration("queue.postgres.leaseMsec", postgres.lease())?;
            limits::POLL_MSEC.check_duration("queue.postgres.pollMsec", postgres.poll())?;
        }
        limits::MAX_EVENT_BYTES.check("maxEventBytes", max_event_bytes as u64)?;
        Ok(Config {
            targets,
            inputs,
            queue,
            max_event_bytes,
            sources: Vec::new(),
            notices: None,
        })
    }
}
