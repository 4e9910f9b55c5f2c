//! What is known of a key.

use serde_json::Value;

/// A key of one of the file's objects.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    /// What it means; the lines of its doc comment.
    pub(crate) doc: &'static [&'static str],
    pub(crate) presence: Presence,
}

/// What holds where a key is absent or null.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Presence {
    Required,
    /// Absent means something that no value says.
    Optional,
    Default(Value),
}

impl Field {
    /// The description in one line.
    pub(crate) fn description(&self) -> String {
        self.doc
            .iter()
            .map(|line| line.trim())
            .collect::<Vec<_>>()
            .join(" ")
    }
}
