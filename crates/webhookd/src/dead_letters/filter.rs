//! A filter of dead letters.

use super::moment::parse_moment;
use super::status::Status;
use webhook_config::JobPattern;
use webhook_dispatch::{FailureRecord, parse_webhook_id, rfc3339, webhook_id};
use webhook_model::EventHeader;
use webhook_queue::{DeadLetter, EventId};

/// Matches dead letters for which all of this is true.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Which ones (all of these must be true)")]
pub(crate) struct Filter {
    /// With this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,

    /// With this webhook-id
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    id: Option<EventId>,

    /// With this task id
    #[arg(long, value_name = "TASK")]
    task: Option<String>,

    /// With a job that matches this pattern, as in the configuration: its parts joined by /, with *
    /// and **
    #[arg(long, value_name = "PATTERN", value_parser = parse_pattern)]
    job: Option<JobPattern>,

    /// With one of these statuses: of the receiver's last response (503, 5xx), or the task's new
    /// state (FAILED)
    ///
    /// Separated by commas; may be repeated.
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = Status::parse)]
    status: Vec<Status>,

    /// Given up at this time or later: 2026-11-22, 2026-11-22T10:00:00Z, or 2h or 7d for that long
    /// ago
    ///
    /// A time without an offset is in UTC.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    since: Option<u64>,

    /// Given up before this time
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    until: Option<u64>,
}

/// The text of a filter, each part as on the command line.
#[derive(Debug, Default)]
pub(crate) struct FilterText {
    pub(crate) target: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) job: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
}

/// Parses a part, if there is one; an error names it.
fn part<T>(
    name: &str,
    text: Option<String>,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let parse = |text: String| parse(&text).map_err(|why| format!("{name} {text:?}: {why}"));
    text.map(parse).transpose()
}

impl Filter {
    /// Parses a filter of the admin API.
    pub(crate) fn parse(text: FilterText) -> Result<Filter, String> {
        Ok(Filter {
            target: text.target,
            id: part("id", text.id, parse_id)?,
            task: text.task,
            job: part("job", text.job, parse_pattern)?,
            status: part("status", text.status, parse_statuses)?.unwrap_or_default(),
            since: part("since", text.since, parse_moment)?,
            until: part("until", text.until, parse_moment)?,
        })
    }

    pub(crate) fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Whether it has no parts, and matches everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.pairs().is_empty()
    }

    /// Its parts, as parameters of the admin API.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        // Every part has a pair: one without would be ignored by a running program.
        let Filter {
            target,
            id,
            task,
            job,
            status,
            since,
            until,
        } = self;
        let time = |at: u64| i64::try_from(at).ok().and_then(rfc3339);
        let statuses: Vec<String> = status.iter().map(Status::to_string).collect();
        let pairs = [
            ("target", target.clone()),
            ("id", id.map(webhook_id)),
            ("task", task.clone()),
            ("job", job.as_ref().map(|job| job.as_str().to_owned())),
            ("status", (!statuses.is_empty()).then(|| statuses.join(","))),
            ("since", since.and_then(time)),
            ("until", until.and_then(time)),
        ];
        pairs
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)))
            .collect()
    }

    pub(crate) fn matches(&self, letter: &DeadLetter<'_>) -> bool {
        let owed = &letter.owed;
        self.target
            .as_deref()
            .is_none_or(|name| name == letter.target)
            && self.id.is_none_or(|id| id == owed.id)
            && self
                .task
                .as_deref()
                .is_none_or(|task| task.as_bytes() == owed.key)
            && self.since.is_none_or(|since| letter.died_at >= since)
            && self.until.is_none_or(|until| letter.died_at < until)
            && self.matches_header(letter)
    }

    /// Matches the parts for which the event must be parsed.
    fn matches_header(&self, letter: &DeadLetter<'_>) -> bool {
        if self.status.is_empty() && self.job.is_none() {
            return true;
        }
        let answered = self.status.iter().any(|status| status.is_of_response())
            && FailureRecord::from_note(letter.note)
                .ok()
                .and_then(|note| note.status)
                .is_some_and(|found| self.status.iter().any(|it| it.matches_response(found)));
        let has_status = answered || self.status.is_empty();
        if has_status && self.job.is_none() {
            return true;
        }
        let Ok(header) = EventHeader::read(letter.owed.body) else {
            return false;
        };
        let in_state = || {
            let new_state = header.new_state.as_ref();
            new_state.is_some_and(|state| self.status.iter().any(|it| it.matches_state(state)))
        };
        (has_status || in_state())
            && self.job.as_ref().is_none_or(|job| {
                let parts = [&header.role, &header.environment, &header.job_name];
                job.matches(&parts.map(|part| part.as_deref().unwrap_or_default()))
            })
    }
}

fn parse_id(text: &str) -> Result<EventId, String> {
    parse_webhook_id(text)
        .ok_or_else(|| "a webhook-id is evt_ and 32 hexadecimal digits".to_owned())
}

fn parse_pattern(text: &str) -> Result<JobPattern, String> {
    text.parse()
        .map_err(|error: webhook_config::InvalidJobPattern| error.to_string())
}

/// Parses statuses that are separated by commas.
fn parse_statuses(text: &str) -> Result<Vec<Status>, String> {
    text.split(',').map(Status::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_id_is_rejected_and_does_not_match_nothing() {
        let id = format!("evt_{}", "0a".repeat(16));
        assert_eq!(parse_id(&id), Ok(EventId([10; 16])));
        assert!(parse_id("0a0a").is_err());
    }
}
