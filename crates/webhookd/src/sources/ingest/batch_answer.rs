//! The answer to several events in one body, as JSON.

use super::answer::{Complaint, Settled, beginning, is_false, over_quota};
use serde::Serialize;

/// A line, and what became of it.
pub(super) struct Done {
    pub(super) line: u64,
    pub(super) result: Result<Settled, Complaint>,
}

/// The result of a body of lines.
#[derive(Serialize)]
pub(super) struct Answered<'a> {
    pub(super) accepted: usize,
    pub(super) refused: usize,
    pub(super) lines: Vec<AnsweredLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stopped: Option<AnsweredStop<'a>>,
}

/// The result of a line.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum AnsweredLine<'a> {
    Accepted {
        line: u64,
        id: String,
        targets: usize,
        reliable: usize,
        #[serde(rename = "overQuota", skip_serializing_if = "Vec::is_empty")]
        over_quota: Vec<&'a str>,
        #[serde(skip_serializing_if = "is_false")]
        duplicate: bool,
        #[serde(skip_serializing_if = "is_false")]
        ignored: bool,
    },
    /// It was not understood, and is kept as a reject.
    Kept {
        line: u64,
        unknown: bool,
        error: &'a str,
    },
    Refused {
        line: u64,
        status: u16,
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        byte: Option<usize>,
        retry: bool,
    },
}

/// The line from which on nothing was read.
#[derive(Serialize)]
pub(super) struct AnsweredStop<'a> {
    pub(super) line: u64,
    pub(super) error: &'a str,
}

impl Done {
    pub(super) fn answered(&self) -> AnsweredLine<'_> {
        match &self.result {
            Ok(Settled::Kept(why)) => AnsweredLine::Kept {
                line: self.line,
                unknown: true,
                error: beginning(why),
            },
            Ok(Settled::Accepted(receipt)) => AnsweredLine::Accepted {
                line: self.line,
                id: receipt.id.to_string(),
                targets: receipt.targets,
                reliable: receipt.reliable,
                over_quota: over_quota(receipt),
                duplicate: receipt.duplicate,
                ignored: receipt.ignored || receipt.unchanged,
            },
            Err(why) => AnsweredLine::Refused {
                line: self.line,
                status: why.status.as_u16(),
                error: beginning(&why.error),
                byte: why.byte,
                retry: why.may_retry(),
            },
        }
    }
}
