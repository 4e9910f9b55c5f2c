//! Selects dead letters by a body or a query.

use super::super::problem::Problem;
use super::request::Query;
use crate::dead_letters::{Filter, FilterText};
use serde::Deserialize;

/// The body of a request that changes dead letters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    all: Option<bool>,
    target: Option<String>,
    id: Option<String>,
    input: Option<String>,
    task: Option<String>,
    job: Option<String>,
    status: Option<String>,
    since: Option<String>,
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
