//! A filter of dead letters.

use super::moment::parse_moment;
use super::status::Status;
use std::borrow::Cow;
use webhook_config::{InputFilter, JobPattern};
use webhook_dispatch::{FailureRecord, event_attributes, event_key, rfc3339};
use webhook_queue::{DeadLetter, EventId, InvalidEventId, kept_name};

/// Matches dead letters for which all of this is true.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Which ones (all of these must be true)")]
pub(crate) struct Filter {
    /// With this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,

    /// With this webhook-id
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    id: Option<EventId>,

    /// Of this input; `default` is the one that has no name
    #[arg(long, value_name = "NAME")]
    input: Option<String>,

    /// With this task id: the event's key
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

    /// Deliveries that are kept by the target's `retain`, instead of dead letters
    ///
    /// --since and --until are of the time of delivery.
    #[arg(long)]
    delivered: bool,
}

/// The text of a filter, each part as on the command line.
#[derive(Debug, Default)]
pub(crate) struct FilterText {
    pub(crate) target: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) input: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) job: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) delivered: bool,
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
            input: text.input,
            task: text.task,
            job: part("job", text.job, parse_pattern)?,
            status: part("status", text.status, parse_statuses)?.unwrap_or_default(),
            since: part("since", text.since, parse_moment)?,
            until: part("until", text.until, parse_moment)?,
            delivered: text.delivered,
        })
    }

    /// The filter that matches all dead letters, or all kept deliveries.
    pub(crate) fn all(delivered: bool) -> Filter {
        Filter {
            delivered,
            ..Filter::default()
        }
    }

    pub(crate) fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Whether it is of kept deliveries, and not of dead letters.
    pub(crate) fn is_of_delivered(&self) -> bool {
        self.delivered
    }

    /// The name under which the queue has the letters of a target that it is of.
    pub(crate) fn name_of<'t>(&self, target: &'t str) -> Cow<'t, str> {
        match self.delivered {
            false => Cow::Borrowed(target),
            true => Cow::Owned(kept_name(target)),
        }
    }

    /// Whether it has no parts, and matches all that it is of.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts() == 0
    }

    /// How many parts it has.
    pub(crate) fn parts(&self) -> usize {
        self.pairs().len() - usize::from(self.delivered)
    }

    /// Its parts, as parameters of the admin API.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        // Every part has a pair: one without would be ignored by a running program.
        let Filter {
            target,
            id,
            input,
            task,
            job,
            status,
            since,
            until,
            delivered,
        } = self;
        let time = |at: u64| i64::try_from(at).ok().and_then(rfc3339);
        let statuses: Vec<String> = status.iter().map(Status::to_string).collect();
        let pairs = [
            ("target", target.clone()),
            ("id", id.map(|id| id.to_string())),
            ("input", input.clone()),
            ("task", task.clone()),
            ("job", job.as_ref().map(|job| job.as_str().to_owned())),
            ("status", (!statuses.is_empty()).then(|| statuses.join(","))),
            ("since", since.and_then(time)),
            ("until", until.and_then(time)),
            ("delivered", delivered.then(|| "true".to_owned())),
        ];
        pairs
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)))
            .collect()
    }

    /// Whether a letter matches that was read under its [name](Filter::name_of).
    pub(crate) fn matches(&self, letter: &DeadLetter<'_>) -> bool {
        let owed = &letter.owed;
        self.target
            .as_deref()
            .is_none_or(|name| name == letter.target)
            && self.id.is_none_or(|id| id == owed.id)
            && self
                .task
                .as_deref()
                .is_none_or(|task| task.as_bytes() == event_key(owed.key))
            && self.since.is_none_or(|since| letter.died_at >= since)
            && self.until.is_none_or(|until| letter.died_at < until)
            && self.matches_attributes(letter)
    }

    /// Matches the parts for which the event's attributes are needed.
    fn matches_attributes(&self, letter: &DeadLetter<'_>) -> bool {
        let answered = self.status.iter().any(Status::is_of_response)
            && FailureRecord::from_note(letter.note)
                .ok()
                .and_then(|note| note.status)
                .is_some_and(|found| self.status.iter().any(|it| it.matches_response(found)));
        let has_status = answered || self.status.is_empty();
        if has_status && self.job.is_none() && self.input.is_none() {
            return true;
        }
        let Some(attributes) = event_attributes(&letter.owed) else {
            return false;
        };
        let in_state = || {
            let state = attributes.state.as_deref();
            state.is_some_and(|state| self.status.iter().any(|it| it.matches_state(state)))
        };
        (has_status || in_state())
            && self
                .job
                .as_ref()
                .is_none_or(|job| job.matches(&attributes.job))
            && self
                .input
                .as_ref()
                .is_none_or(|name| InputFilter::only([name]).accepts(&attributes.input))
    }
}

fn parse_id(text: &str) -> Result<EventId, String> {
    text.parse()
        .map_err(|error: InvalidEventId| error.to_string())
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
    use webhook_event::Attributes;
    use webhook_queue::{EntryId, Owed};

    /// Whether a filter of one part matches.
    fn matches(letter: &DeadLetter<'_>, name: &str, value: &str) -> bool {
        let text = Some(value.to_owned());
        let mut filter = FilterText::default();
        match name {
            "input" => filter.input = text,
            "task" => filter.task = text,
            "job" => filter.job = text,
            _ => filter.status = text,
        }
        Filter::parse(filter).unwrap().matches(letter)
    }

    #[test]
    fn an_event_of_a_named_input_is_found_by_what_was_read_of_it() {
        let mut attributes = Attributes::default();
        attributes.input = "nomad".to_owned();
        attributes.state = Some("failed".to_owned());
        attributes.job = vec!["default".to_owned(), "web".to_owned()];
        let named = attributes.encode();
        let aurora = br#"{"task":{"assignedTask":{"taskId":"1","task":{"job":{"role":"default",
            "environment":"test","name":"web"}}},"status":"FAILED"}}"#;
        let letter = |key, body, attributes| DeadLetter {
            target: "a",
            owed: Owed {
                entry: EntryId(1),
                id: EventId([0; 16]),
                key,
                body,
                attributes,
                accepted_at: 0,
                attempts: 1,
                not_before: 0,
                claim: webhook_queue::Claim::SOLE,
            },
            died_at: 0,
            note: b"",
        };
        let named = letter(&b"\xffnomad\xff1"[..], &b"{}"[..], &named[..]);
        let aurora = letter(b"1", aurora, b"");
        for (name, value, expected) in [
            ("input", "nomad", (true, false)),
            ("input", "default", (false, true)),
            ("task", "1", (true, true)),
            ("task", "nomad", (false, false)),
            ("job", "default/web", (true, false)),
            ("job", "default/**", (true, true)),
            ("job", "*/test/*", (false, true)),
            ("status", "failed", (true, true)),
            ("status", "503,lost", (false, false)),
        ] {
            let found = [&named, &aurora].map(|letter| matches(letter, name, value));
            assert_eq!(found, <[bool; 2]>::from(expected), "{name} {value}");
        }
    }

    #[test]
    fn an_invalid_id_is_rejected_and_does_not_match_nothing() {
        let id = format!("evt_{}", "0a".repeat(16));
        assert_eq!(parse_id(&id), Ok(EventId([10; 16])));
        assert!(parse_id("0a0a").is_err());
    }
}
