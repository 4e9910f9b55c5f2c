//! An alert that holds now.

use serde::Serialize;

/// A documented condition that holds, as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Alert {
    pub(crate) name: &'static str,
    pub(crate) severity: &'static str,
    /// Describes the condition, in a sentence.
    pub(crate) summary: String,
    /// What to do: a heading of the documentation.
    pub(crate) runbook: String,
    /// When the condition began to hold, RFC 3339.
    pub(crate) since: String,
}
