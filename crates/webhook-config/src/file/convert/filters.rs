//! Converts a target's filters.

use crate::diagnostic::Code;
use crate::file::object::shorten;
use crate::file::read::{Reader, Spanned, Text};
use crate::file::statuses::StatusList;
use crate::file::suggest::nearest;
use crate::filter::{JobFilter, JobPattern, StatusFilter};
use webhook_model::ScheduleStatus;

/// The states that a target gets; of Aurora's events only those that Aurora has.
pub(super) fn statuses(list: &StatusList, is_aurora: bool, reader: &mut Reader) -> StatusFilter {
    let is_all = list
        .items
        .iter()
        .any(|item| item.text.as_deref() == Some("*"));
    if list.items.is_empty() {
        let message = "an empty list of statuses: nothing is ever sent";
        let help = "remove `statuses` to send all";
        reader.warning(Code::NoStatuses, &list.span, message, help);
    }
    let mut only = Vec::new();
    let mut reported = None;
    for item in &list.items {
        // All tokens of a nested list are reported as one element.
        if reported.replace(item.span.clone()).as_ref() == Some(&item.span) {
            continue;
        }
        let name = item.text.as_deref().unwrap_or("null");
        if name == "*" {
            continue;
        }
        let is_known = !is_aurora || ScheduleStatus::from_name(name).is_some();
        // The first token of a nested list or object is its bracket.
        let is_status = item.text.is_some() && !matches!(name, "[" | "{") && is_known;
        match (is_status, is_all) {
            (true, false) => only.push(name),
            (_, true) => {
                let message = format!("`{}` has no effect beside `*`", shorten(name));
                let help = "write \"*\" alone, or remove it";
                reader.warning(Code::Ineffective, &item.span, message, help);
            }
            (false, false) if !is_aurora => {
                let message = "expected a status";
                let help = "write each status as a string";
                reader.error(Code::WrongType, &item.span, message, help);
            }
            (false, false) => {
                let message = format!("unknown status `{}`", shorten(name));
                let known = ScheduleStatus::ALL.iter().map(|status| status.name());
                let help = match nearest(name, known.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("one of {}, or `*`", known.collect::<Vec<_>>().join(", ")),
                };
                reader.error(Code::UnknownStatus, &item.span, message, help);
            }
        }
    }
    if is_all {
        StatusFilter::All
    } else {
        StatusFilter::only(only)
    }
}

/// The jobs whose events a target gets; of Aurora's events by patterns for Aurora's jobs.
pub(super) fn jobs(list: &Spanned<Vec<Text>>, is_aurora: bool, reader: &mut Reader) -> JobFilter {
    if list.value.is_empty() {
        let message = "an empty list of job patterns: nothing is ever sent";
        reader.warning(
            Code::NoJobs,
            &list.span,
            message,
            "remove `jobs` to send all",
        );
    }
    let mut patterns = Vec::new();
    for Text(text) in &list.value {
        let pattern = match is_aurora {
            true => JobPattern::aurora(&text.value),
            false => text.value.parse(),
        };
        match pattern {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let message = format!("`{}` is not a job pattern", shorten(&text.value));
                let example = if is_aurora {
                    "vagrant/test/*"
                } else {
                    "batch/*"
                };
                let help = format!("{error}, such as {example}");
                reader.error(Code::InvalidJobPattern, &text.span, message, help);
            }
        }
    }
    JobFilter::Matching(patterns)
}
