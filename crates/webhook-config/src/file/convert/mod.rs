//! From the mirror to types that cannot be wrong.

mod credentials;
mod filters;
mod headers;
mod retry;
mod target;

use super::mirror::{ConfigFile, QueueFile, TargetFile};
use super::object::shorten;
use super::read::{Reader, Slot, Spanned, Text};
use super::resolve::Surroundings;
use crate::Config;
use crate::diagnostic::Code;
use crate::json::Span;
use crate::limits::{self, Limits};
use crate::name::TargetName;
use crate::queue::QueueSettings;
use std::collections::HashSet;
use target::convert_target;

/// What conversions need besides the mirror.
pub(crate) struct Context<'a> {
    pub(crate) text: &'a str,
    /// Whether the file ends in an error of syntax, so that a missing key may only be unread.
    pub(crate) is_partial: bool,
    pub(crate) surroundings: &'a Surroundings<'a>,
}

/// The configuration, if nothing is wrong with it. All that is wrong has been reported.
pub(crate) fn config(
    file: ConfigFile,
    target: TargetFile,
    target_keys: &[Span],
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Config> {
    let mut targets = Vec::new();
    match file.targets {
        Slot::Absent | Slot::Null(_) => targets.push(convert_target(target, context, reader)),
        Slot::Bad => {}
        Slot::Given(list) => {
            for key in target_keys {
                let message = "this key belongs to a target, and `targets` is given too";
                let help = "move it into an object of `targets`";
                reader
                    .problems
                    .error(Code::ConflictingKeys, key, message, help);
            }
            if list.value.is_empty() {
                let message = "there is no target";
                reader
                    .problems
                    .error(Code::NoTargets, &list.span, message, "add one");
            }
            check_names(&list.value, reader);
            for target in list.value {
                targets.push(convert_target(target, context, reader));
            }
        }
    }
    let queue = queue(file.queue, context, reader);
    let max_event_bytes = number(
        &file.max_event_bytes,
        limits::MAX_EVENT_BYTES,
        "maxEventBytes",
        reader,
    );
    let mut builder = Config::builder().queue(queue);
    if let Some(bytes) = max_event_bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
        builder = builder.max_event_bytes(bytes);
    }
    for target in targets {
        builder = builder.target(target?);
    }
    // Each of the builder's checks has been made above, with a place.
    builder.build().ok()
}

/// No two targets have the same name; one without a name is called `default`.
fn check_names(targets: &[TargetFile], reader: &mut Reader) {
    let default = TargetName::default();
    let mut seen = HashSet::new();
    for target in targets {
        let (name, span) = match &target.name {
            Slot::Given(Text(name)) => (name.value.as_str(), &name.span),
            Slot::Bad => continue,
            Slot::Absent | Slot::Null(_) => (default.as_str(), &target.span),
        };
        if !seen.insert(name) {
            let message = format!("another target is named `{}` too", shorten(name));
            let help = "give each target a `name` of its own: it keys the queue and the metrics";
            reader
                .problems
                .error(Code::DuplicateName, &place_of(span, target), message, help);
        }
    }
}

/// The name's own place, or the opening brace of a target without one.
fn place_of(span: &Span, target: &TargetFile) -> Span {
    if *span == target.span {
        opening(span)
    } else {
        span.clone()
    }
}

fn opening(object: &Span) -> Span {
    object.start..object.start + 1
}

fn queue(slot: Slot<QueueFile>, context: &Context<'_>, reader: &mut Reader) -> QueueSettings {
    let file = slot.given().unwrap_or_default();
    let default = QueueSettings::default();
    let dir = match &file.dir {
        Slot::Given(Text(dir)) if dir.value.is_empty() || dir.value.contains('\0') => {
            let message = "not the name of a directory";
            reader.problems.error(
                Code::OutOfRange,
                &dir.span,
                message,
                "such as /var/lib/webhook",
            );
            return default;
        }
        Slot::Given(Text(dir)) => context.surroundings.path(&dir.value),
        _ => context.surroundings.dir.join(default.dir()),
    };
    let mut settings = QueueSettings::new(dir);
    if let Some(bytes) = number(&file.max_bytes, limits::QUEUE_BYTES, "maxBytes", reader) {
        settings = settings.with_max_bytes(bytes);
    }
    if let Some(when_full) = file.when_full.as_given() {
        settings = settings.with_when_full(when_full.0);
    }
    settings
}

/// The value of a required key; its absence is reported at the object's brace.
fn required<T>(
    slot: Slot<T>,
    key: &str,
    what: &str,
    brace: &Span,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<T> {
    match slot {
        Slot::Given(value) => return Some(value),
        Slot::Absent if !context.is_partial => {
            let message = format!("the key `{key}` is missing");
            let help = format!("add `{key}`: {what}");
            reader
                .problems
                .error(Code::MissingKey, brace, message, help);
        }
        Slot::Null(span) => {
            let message = format!("`{key}` is null");
            reader
                .problems
                .error(Code::MissingKey, &span, message, format!("give it {what}"));
        }
        Slot::Absent | Slot::Bad => {}
    }
    None
}

/// A number within its limits, if one is given.
fn number(
    slot: &Slot<Spanned<u64>>,
    limits: Limits,
    key: &str,
    reader: &mut Reader,
) -> Option<u64> {
    let Spanned { value, span } = slot.as_given()?;
    if limits.contains(*value) {
        return Some(*value);
    }
    let message = format!("`{key}` is out of range");
    let help = format!("from {} to {}", limits.least, limits.most);
    reader.problems.error(Code::OutOfRange, span, message, help);
    None
}
