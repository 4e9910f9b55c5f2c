//! Converts the mirror into types that are valid by construction.

mod batch;
mod breaker;
mod context;
mod credentials;
mod filters;
mod headers;
mod inputs;
mod notices;
mod oauth2;
mod queue;
mod retain;
mod retry;
mod sources;
mod target;
mod template;
mod url;

use super::mirror::TargetFile;
use super::object::shorten;
use super::read::{Reader, Slot, Text};
use super::root::ConfigFile;
use crate::diagnostic::Code;
use crate::input::Inputs;
use crate::json::Span;
use crate::limits;
use crate::name::TargetName;
use crate::queue::QueueSettings;
use crate::source::Source;
use crate::target::Target;
use context::{number, opening};
use inputs::convert_inputs;
use notices::{check_target, convert_notices};
use queue::convert_queue;
use retain::check_retained;
use sources::convert_sources;
use std::collections::HashSet;
use target::convert_target;

pub(crate) use context::Context;

/// The content of a valid file.
#[derive(Debug)]
pub(crate) struct FileContent {
    /// At least one, with distinct names.
    pub(crate) targets: Vec<Target>,
    pub(crate) inputs: Inputs,
    pub(crate) queue: QueueSettings,
    pub(crate) max_event_bytes: usize,
    /// With distinct names.
    pub(crate) sources: Vec<Source>,
    /// A reliable one of the targets.
    pub(crate) notices: Option<TargetName>,
}

/// Converts the file; `None` if something is wrong, which is then reported.
pub(crate) fn content(
    file: ConfigFile,
    target: TargetFile,
    target_keys: &[Span],
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<FileContent> {
    let mut inputs = convert_inputs(file.events, file.inputs, reader);
    let notices = match file.notices {
        Slot::Given(file) => convert_notices(file, context, reader),
        _ => None,
    };
    if let Some(notices) = &notices {
        inputs.add_notices(notices.value.clone());
    }
    let mut targets = Vec::new();
    let mut retained = Vec::new();
    match file.targets {
        Slot::Absent | Slot::Null(_) => {
            retained.extend(retain::place(&target.retain));
            targets.push(convert_target(target, &mut inputs, context, reader));
        }
        Slot::Bad => {}
        Slot::Given(list) => {
            for key in target_keys {
                let message = "this key belongs to a target, and `targets` is given too";
                let help = "move it into an object of `targets`";
                reader.error(Code::ConflictingKeys, key, message, help);
            }
            if list.value.is_empty() {
                let message = "there is no target";
                reader.error(Code::NoTargets, &list.span, message, "add one");
            }
            check_names(&list.value, reader);
            for target in list.value {
                retained.extend(retain::place(&target.retain));
                targets.push(convert_target(target, &mut inputs, context, reader));
            }
        }
    }
    let notices = notices.map(|name| check_target(&name, &targets, context, reader));
    let queue = convert_queue(file.queue, context, reader);
    let max_event_bytes = number(
        &file.max_event_bytes,
        limits::MAX_EVENT_BYTES,
        "maxEventBytes",
        reader,
    );
    let max_event_bytes = max_event_bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let sources = match file.sources {
        Slot::Given(list) => convert_sources(list, &inputs, context, reader),
        _ => Vec::new(),
    };
    let inputs = inputs.finish(reader);
    let (targets, queue) = (targets.into_iter().collect::<Option<Vec<_>>>()?, queue?);
    check_retained(&targets, &queue, &retained, reader);
    Some(FileContent {
        targets,
        inputs: inputs?,
        queue,
        max_event_bytes: max_event_bytes.unwrap_or(limits::DEFAULT_MAX_EVENT_BYTES),
        sources,
        notices: notices.flatten(),
    })
}

/// Checks that no two targets have the same name; a target without a name is called `default`.
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
            reader.error(Code::DuplicateName, &place_of(span, target), message, help);
        }
    }
}

/// The place of the name, or of the opening brace of a target without a name.
fn place_of(span: &Span, target: &TargetFile) -> Span {
    if *span == target.span {
        opening(span)
    } else {
        span.clone()
    }
}
