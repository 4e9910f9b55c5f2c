//! The inputs of one configuration: the schemas of their events, and their counters.

use crate::intake::submission::Submission;
use crate::shared::{InputCounters, InputStats, Refusal};
use std::sync::{Arc, Mutex};
use webhook_config::Config;
use webhook_event::Schema;
use webhook_model::{EventHeader, KnownConfigs, ReadError};

/// An input of a configuration.
#[derive(Debug)]
pub(crate) struct InputEntry {
    /// Empty for the default input.
    pub(crate) name: Arc<str>,
    pub(crate) schema: Schema,
    pub(crate) counters: Arc<InputCounters>,
    /// Those of Aurora's events.
    known_configs: Mutex<KnownConfigs>,
}

impl InputEntry {
    /// Whether this is the default input, and its events are as Aurora writes them. Nothing is
    /// stored of them but their bytes, as in all earlier versions.
    pub(crate) fn has_aurora_events(&self) -> bool {
        self.name.is_empty() && self.schema.has_aurora_fields()
    }

    /// Reads the header of an event of Aurora's.
    ///
    /// # Errors
    /// The bytes are no such event.
    pub(crate) fn read_header<'a>(&self, event: &'a [u8]) -> Result<EventHeader<'a>, ReadError> {
        // Threads do not wait for each other: without the known texts it takes twice as long.
        match self.known_configs.try_lock() {
            Ok(mut known) => EventHeader::read_known(event, &mut known),
            Err(_) => EventHeader::read(event),
        }
    }

    /// Checks an event's length before it is read, unless members are left out of it.
    ///
    /// # Errors
    /// It is longer than `max` bytes.
    pub(crate) fn check_submitted(
        &self,
        submission: &Submission,
        max: usize,
    ) -> Result<(), Refusal> {
        match self.schema.omits() {
            true => Ok(()),
            false => check_length(&submission.event, max),
        }
    }
}

/// # Errors
/// An event is longer than `max` bytes.
pub(crate) fn check_length(event: &[u8], max: usize) -> Result<(), Refusal> {
    let length = event.len();
    if length > max {
        return Err(Refusal::TooLarge { length, max });
    }
    Ok(())
}

/// The inputs of a configuration; the default one is the first.
#[derive(Debug)]
pub(crate) struct InputTable(Vec<InputEntry>);

impl InputTable {
    /// The inputs of a configuration. Those that were in the table before keep their counters.
    pub(crate) fn new(config: &Config, before: Option<&InputTable>) -> InputTable {
        let entry = |(name, schema): (&str, &Schema)| InputEntry {
            name: Arc::from(name),
            schema: schema.clone(),
            counters: before
                .and_then(|before| before.find(name))
                .map_or_else(Arc::default, |entry| Arc::clone(&entry.counters)),
            known_configs: Mutex::default(),
        };
        InputTable(config.inputs().map(entry).collect())
    }

    /// The input of a submission.
    ///
    /// # Errors
    /// There is no input of this name.
    pub(crate) fn of(&self, submission: &Submission) -> Result<&InputEntry, Refusal> {
        let name = submission.input.as_deref().unwrap_or_default();
        self.find(name).ok_or_else(|| Refusal::UnknownInput {
            input: Arc::from(name),
            known: self.names().map(Arc::from).collect(),
        })
    }

    /// The input of this name, which is empty for the default one.
    fn find(&self, name: &str) -> Option<&InputEntry> {
        if name.is_empty() {
            return self.0.first();
        }
        self.0.iter().find(|entry| &*entry.name == name)
    }

    /// The names of all but the default input.
    fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.0.iter().map(|entry| &*entry.name);
        names.filter(|name| !name.is_empty())
    }

    pub(crate) fn stats(&self) -> Vec<InputStats> {
        let entries = self.0.iter();
        entries.map(|it| it.counters.snapshot(&it.name)).collect()
    }
}
