//! The inputs of the configuration in force, by name.

use super::documents::has_cloud_events;
use super::stats::{InputCounters, InputStats};
use std::sync::{Arc, OnceLock};
use webhook_config::{Config, InputName};
use webhook_dispatch::{Control, Submission};
use webhook_event::{Encoding, Schema, UnknownEvents};

/// Finds inputs in the configuration in force; cheap to clone.
#[derive(Clone)]
pub(crate) struct Inputs {
    control: Control,
    stats: Arc<InputStats>,
    /// The default input's name and counters, once something has come in by it.
    default: Arc<OnceLock<(Arc<str>, Arc<InputCounters>)>>,
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
        Inputs {
            control,
            stats,
            default: Arc::default(),
        }
    }

    /// The names of all inputs for events from outside but the default one.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.control.config()).map(str::to_owned).collect()
    }

    /// The input of this name, which is empty for the default one.
    ///
    /// # Errors
    /// There is no such input. The error names the existing ones.
    pub(crate) fn find(&self, name: &str) -> Result<NamedInput, String> {
        let config = self.control.config();
        if !is_open(&config, name) {
            return Err(unknown(&config, name));
        }
        let counted = |name: Arc<str>| (Arc::clone(&name), self.stats.input(&name));
        let (name, counters) = match name {
            "" => self.default.get_or_init(|| counted(Arc::from(""))).clone(),
            name => counted(Arc::from(name)),
        };
        Ok(NamedInput {
            name,
            counters,
            config,
        })
    }
}

/// The names of all inputs for events from outside but the default one.
fn names(config: &Config) -> impl Iterator<Item = &str> {
    let names = config.inputs().map(|(name, _)| name);
    names.filter(|name| !name.is_empty() && *name != InputName::NOTICES)
}

/// Whether the configuration has this input, and its events may come from outside.
pub(crate) fn is_open(config: &Config, name: &str) -> bool {
    name != InputName::NOTICES && config.input(name).is_some()
}

/// Says which inputs there are instead of one that there is not.
pub(crate) fn unknown(config: &Config, name: &str) -> String {
    let names: Vec<&str> = names(config).collect();
    match names.is_empty() {
        true => format!("there is no input {name:?}; the configuration has no `inputs`"),
        false => format!(
            "there is no input {name:?}; the configuration has {}",
            names.join(", ")
        ),
    }
}

/// The name of an input, for people and metrics.
pub(crate) fn shown(name: &str) -> &str {
    match name {
        "" => InputName::DEFAULT,
        name => name,
    }
}

impl NamedInput {
    pub(crate) fn schema(&self) -> &Schema {
        let schema = self.config.input(&self.name);
        schema.expect("an input that was found is in its configuration")
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

    /// Whether a document is one event of Aurora's, taken as it stands or refused.
    pub(crate) fn takes_auroras_documents(&self) -> bool {
        let schema = self.schema();
        let changes = schema.omits() || schema.encoding() == Encoding::Replace;
        schema.is_aurora() && !schema.splits() && !changes && !self.keeps_unknown()
    }

    /// Whether what is not understood is accepted, and kept as a reject.
    pub(crate) fn keeps_unknown(&self) -> bool {
        self.schema().unknown() == UnknownEvents::Accept
    }
}
