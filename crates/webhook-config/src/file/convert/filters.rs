//! Converts a target's filters.

use crate::diagnostic::Code;
use crate::file::object::shorten;
use crate::file::read::{Reader, Spanned, Text};
use crate::file::statuses::StatusList;
use crate::file::suggest::nearest;
use crate::filter::{JobFilter, JobPattern, StatusFilter};
use webhook_model::ScheduleStatus;

pub(super) fn statuses(list: &StatusList, reader: &mut Reader) -> StatusFilter {
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
        let status = ScheduleStatus::from_name(name).filter(|_| item.text.is_some());
        match (status, is_all) {
            (Some(status), false) => only.push(status),
            (_, true) => {
                let message = format!("`{}` has no effect beside `*`", shorten(name));
                let help = "write \"*\" alone, or remove it";
                reader.warning(Code::Ineffective, &item.span, message, help);
            }
            (None, false) => {
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

pub(super) fn jobs(list: &Spanned<Vec<Text>>, reader: &mut Reader) -> JobFilter {
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
        match JobPattern::aurora(&text.value) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let message = format!("`{}` is not a job pattern", shorten(&text.value));
                let help = format!("{error}, such as vagrant/test/*");
                reader.error(Code::InvalidJobPattern, &text.span, message, help);
            }
        }
    }
    JobFilter::Matching(patterns)
}
