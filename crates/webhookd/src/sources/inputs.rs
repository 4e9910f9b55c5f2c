//! The inputs of the configuration in force, by name.

use super::documents::has_cloud_events;
use super::stats::{InputCounters, InputStats};
use std::sync::{Arc, LazyLock};
use webhook_config::Config;
use webhook_dispatch::{Control, Submission};
use webhook_event::{Schema, UnknownEvents};

static AURORA: LazyLock<Schema> = LazyLock::new(Schema::default);

/// Finds inputs in the configuration in force; cheap to clone.
#[derive(Clone)]
pub(crate) struct Inputs {
    control: Control,
    stats: Arc<InputStats>,
}

/// An input, as one configuration defines it.
pub(crate) struct NamedInput {
    /// Empty for the default input.
    pub(crate) name: Arc<str>,
    pub(crate) counters: Arc<InputCounters>,
    config: Arc<Config>,
}

impl Inputs {
    pub(crate) fn new(control: Control, stats: Arc<InputStats>) -> Inputs {
        Inputs { control, stats }
    }

    /// The names of all inputs but the default one.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.control.config())
    }

    /// The input of this name, which is empty for the default one.
    ///
    /// # Errors
    /// There is none. The error names those that there are.
    pub(crate) fn find(&self, name: &str) -> Result<NamedInput, String> {
        let config = self.control.config();
        if schema(&config, name).is_none() {
            return Err(unknown(&config, name));
        }
        let name = Arc::from(name);
        Ok(NamedInput {
            counters: self.stats.input(&name),
            name,
            config,
        })
    }
}

/// The schema of the input of this name, if there is one.
pub(crate) fn schema<'a>(_config: &'a Config, name: &str) -> Option<&'a Schema> {
    name.is_empty().then_some(&*AURORA)
}

fn names(_config: &Config) -> Vec<String> {
    Vec::new()
}

/// Says which inputs there are instead of one that there is not.
pub(crate) fn unknown(_config: &Config, name: &str) -> String {
    format!("there is no input {name:?}")
}

/// The name of an input, for people and metrics.
pub(crate) fn shown(name: &str) -> &str {
    match name {
        "" => "default",
        name => name,
    }
}

impl NamedInput {
    pub(crate) fn schema(&self) -> &Schema {
        schema(&self.config, &self.name).unwrap_or(&AURORA)
    }

    /// A submission of an event of this input.
    pub(crate) fn submission(&self, event: Arc<[u8]>) -> Submission {
        Submission::new(event).input(Arc::clone(&self.name))
    }

    /// Whether its events are CloudEvents, which HTTP has modes for.
    pub(crate) fn has_cloud_events(&self) -> bool {
        has_cloud_events(self.schema())
    }

    /// Whether a document of it may have several events.
    pub(crate) fn may_split(&self) -> bool {
        self.schema().splits() || self.has_cloud_events()
    }

    /// Whether what is not understood is accepted, and kept as a reject.
    pub(crate) fn keeps_unknown(&self) -> bool {
        self.schema().unknown() == UnknownEvents::Accept
    }
}
