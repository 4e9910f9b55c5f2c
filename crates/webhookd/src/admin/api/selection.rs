//! Selects dead letters by a body or a query.

use super::super::problem::Problem;
use super::request::Query;
use crate::dead_letters::{Filter, FilterText};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Characters of a selection in the log, at most.
const LONGEST_SHOWN: usize = 512;

/// The body of a request that changes dead letters.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    #[serde(skip_serializing_if = "Option::is_none")]
    all: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl Selection {
    /// The filter; an empty one for `all`.
    pub(super) fn filter(self) -> Result<Filter, Problem> {
        let all = self.all;
        let filter = parse(FilterText {
            target: self.target,
            id: self.id,
            input: self.input,
            task: self.task,
            job: self.job,
            status: self.status,
            since: self.since,
            until: self.until,
        })?;
        match (all, filter.is_empty()) {
            (Some(true), true) | (None, false) => Ok(filter),
            (Some(false), _) => Err(Problem::bad_request("all is either true or omitted")),
            (Some(true), false) => Err(Problem::bad_request(
                "all and a filter exclude each other: omit one of them",
            )),
            (None, true) => Err(Problem::bad_request(
                "say which, by target, id, input, task, job, status, since or until; or all",
            )),
        }
    }
}

/// As the request has it, cut, for the log.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        let shown: String = json.chars().take(LONGEST_SHOWN).collect();
        f.write_str(&shown)
    }
}

/// The parameters of a filter in a query.
pub(super) const KNOWN: &str = "target, id, input, task, job, status, since, until";

/// Takes the filter out of a query.
pub(super) fn take_filter(query: &mut Query) -> Result<Filter, Problem> {
    let mut take = |name: &str| query.remove(name);
    parse(FilterText {
        target: take("target"),
        id: take("id"),
        input: take("input"),
        task: take("task"),
        job: take("job"),
        status: take("status"),
        since: take("since"),
        until: take("until"),
    })
}

fn parse(text: FilterText) -> Result<Filter, Problem> {
    Filter::parse(text).map_err(Problem::bad_request)
}
