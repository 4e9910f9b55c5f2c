//! The errors of settings and of events.

use crate::attributes::Attributes;
use webhook_model::ReadError;

/// The settings of a schema, a condition or a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidSchema {
    message: String,
    help: Option<String>,
    /// The words that are allowed there, if only some are.
    choices: Vec<String>,
    /// Whether the last token is a key that there is not.
    is_unknown_key: bool,
    /// The tokens of the way to the setting, innermost first.
    steps: Vec<String>,
}

impl InvalidSchema {
    pub(crate) fn new(message: impl Into<String>) -> InvalidSchema {
        InvalidSchema {
            message: message.into(),
            help: None,
            choices: Vec::new(),
            is_unknown_key: false,
            steps: Vec::new(),
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> InvalidSchema {
        self.help = Some(help.into());
        self
    }

    /// Says which words are allowed.
    pub(crate) fn choices(
        mut self,
        choices: impl IntoIterator<Item: Into<String>>,
    ) -> InvalidSchema {
        self.choices = choices.into_iter().map(Into::into).collect();
        let help = format!("one of {}", self.choices.join(", "));
        self.help(help)
    }

    /// Says that the fault is a key that there is not.
    pub(crate) fn unknown_key(mut self) -> InvalidSchema {
        self.is_unknown_key = true;
        self
    }

    /// Adds a member or an element around the setting.
    pub(crate) fn within(mut self, token: &str) -> InvalidSchema {
        self.steps.push(token.to_owned());
        self
    }

    /// How to mend it.
    #[must_use]
    pub fn how_to_mend(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The words that are allowed instead of an unknown one.
    #[must_use]
    pub fn allowed(&self) -> &[String] {
        &self.choices
    }

    /// Whether the fault is the last name of [`Self::place`] itself: there is no such key.
    #[must_use]
    pub fn is_unknown_key(&self) -> bool {
        self.is_unknown_key
    }

    /// The names and indices on the way to the faulty setting, outermost first.
    pub fn place(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().rev().map(String::as_str)
    }
}

/// The events of one document, at most: each takes memory before it is submitted.
pub(crate) const MOST_EVENTS: usize = 100_000;

/// Why an event is not understood: what was found, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownEvent {
    /// The bytes are not JSON in UTF-8, or not Aurora's.
    #[error(transparent)]
    Malformed(#[from] ReadError),
    /// An event of Aurora without a task.
    #[error("the event has no `task`")]
    NoTask,
    /// A document has more events than one may have.
    #[error(
        "each: the document has more than {MOST_EVENTS} events; send them in several documents"
    )]
    TooMany,
    /// A value that the schema needs is absent or null.
    #[error("{setting}: no value at \"{pointer}\": {found} (byte {at})")]
    Missing {
        /// The setting, such as `key`.
        setting: &'static str,
        /// The pointer of the selector; of several, the one of which most was found.
        pointer: String,
        /// What is there instead.
        found: String,
        /// The byte of the document at which that begins.
        at: usize,
    },
    /// The state is too long to be kept as the last one of its key, which `onlyChanges` needs.
    #[error(
        "state: it has {length} bytes in JSON, and `onlyChanges` keeps at most {}",
        Attributes::LONGEST_STATE
    )]
    LongState {
        /// Its length in JSON, bytes.
        length: usize,
    },
    /// A value has the wrong type.
    #[error("{setting}: expected {expected} at \"{pointer}\", found {found} (byte {at})")]
    Type {
        /// The setting.
        setting: &'static str,
        /// What the schema needs.
        expected: &'static str,
        /// The pointer.
        pointer: String,
        /// What is there.
        found: &'static str,
        /// The byte of the document.
        at: usize,
    },
}
