//! Selects dead letters by a body or a query.

use super::super::problem::Problem;
use super::request::Query;
use crate::dead_letters::{Filter, FilterText};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use webhook_queue::EntryId;

/// Characters of a selection in the log, at most.
const LONGEST_SHOWN: usize = 512;

/// Dead letters that a request names by their entries, and that it changes with a `limit`, at most.
const MOST: usize = 10_000;

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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    delivered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<BTreeSet<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

/// What a request changes.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) filter: Filter,
    /// These alone, of the target in the filter.
    pub(super) entries: Option<Vec<EntryId>>,
    pub(super) limit: usize,
}

impl Chosen {
    /// What is changed, for the log.
    pub(super) fn what(&self) -> &'static str {
        match self.filter.is_of_delivered() {
            false => "dead letters",
            true => "kept deliveries",
        }
    }
}

impl Selection {
    /// What to change, and how many.
    pub(super) fn chosen(mut self) -> Result<Chosen, Problem> {
        let limit = self.limit.take();
        if limit.is_some_and(|limit| !(1..=MOST).contains(&limit)) {
            let detail = format!("limit is a number from 1 to {MOST}");
            return Err(Problem::bad_request(detail));
        }
        let entries = self.entries.take();
        let has_target = self.target.is_some();
        let filter = self.filter()?;
        if let Some(entries) = &entries {
            if !has_target || filter.parts() > 1 || limit.is_some() {
                return Err(Problem::bad_request(
                    "entries are those of one target: say which, and nothing else",
                ));
            }
            if entries.len() > MOST {
                let detail = format!("entries has more than {MOST} numbers");
                return Err(Problem::bad_request(detail));
            }
        }
        Ok(Chosen {
            filter,
            entries: entries.map(|it| it.into_iter().map(EntryId).collect()),
            limit: limit.unwrap_or(usize::MAX),
        })
    }

    /// The filter; an empty one for `all`.
    fn filter(self) -> Result<Filter, Problem> {
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
            delivered: self.delivered,
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
pub(super) const KNOWN: &str = "target, id, input, task, job, status, since, until, delivered";

/// Takes the filter out of a query.
pub(super) fn take_filter(query: &mut Query) -> Result<Filter, Problem> {
    let mut take = |name: &str| query.remove(name);
    let delivered = match take("delivered").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let detail = format!("delivered={other:?} is neither true nor false");
            return Err(Problem::bad_request(detail));
        }
    };
    parse(FilterText {
        delivered,
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
