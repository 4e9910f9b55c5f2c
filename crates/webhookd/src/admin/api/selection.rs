//! Which dead letters are meant.

use super::super::problem::Problem;
use super::request::Query;
use crate::dead_letters::{Filter, Words};
use serde::Deserialize;

/// The body of a request that changes dead letters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    all: Option<bool>,
    target: Option<String>,
    id: Option<String>,
    task: Option<String>,
    job: Option<String>,
    status: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl Selection {
    /// The filter; that of all says nothing.
    pub(super) fn filter(self) -> Result<Filter, Problem> {
        let all = self.all;
        let filter = parse(Words {
            target: self.target,
            id: self.id,
            task: self.task,
            job: self.job,
            status: self.status,
            since: self.since,
            until: self.until,
        })?;
        match (all, filter.is_empty()) {
            (Some(true), true) | (None, false) => Ok(filter),
            (Some(false), _) => Err(Problem::bad_request("all is true, or left out")),
            (Some(true), false) => Err(Problem::bad_request(
                "all and a filter contradict each other: leave one out",
            )),
            (None, true) => Err(Problem::bad_request(
                "say which, by target, id, task, job, status, since or until; or all",
            )),
        }
    }
}

/// What a filter may say in a query.
pub(super) const KNOWN: &str = "target, id, task, job, status, since, until";

/// Takes the filter out of a query.
pub(super) fn take_filter(query: &mut Query) -> Result<Filter, Problem> {
    let mut take = |name: &str| query.remove(name);
    parse(Words {
        target: take("target"),
        id: take("id"),
        task: take("task"),
        job: take("job"),
        status: take("status"),
        since: take("since"),
        until: take("until"),
    })
}

fn parse(words: Words) -> Result<Filter, Problem> {
    Filter::parse(words).map_err(Problem::bad_request)
}
