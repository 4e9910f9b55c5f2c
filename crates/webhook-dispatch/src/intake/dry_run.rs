//! What would become of an event, without submitting it.

use crate::intake::filter::{Candidate, Conditions};
use crate::intake::input_table::InputTable;
use crate::intake::read_event::ReadEvent;
use crate::intake::submission::Submission;
use crate::shared::Refusal;
use std::sync::Arc;
use webhook_config::Config;
use webhook_event::Attributes;

/// What would become of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DryRun {
    /// The event as it was read; `None` if its input ignores it.
    pub event: Option<ParsedEvent>,
    /// One for each target, in the order of the configuration; none for an event that is ignored.
    pub routes: Vec<TargetRoute>,
}

/// An event as the schema of its input reads it. Made by [`dry_run`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParsedEvent {
    /// Orders: events with the same key are delivered one after the other.
    pub key: String,
    /// The idempotency key that was found in the event.
    pub id: Option<String>,
    /// The input, states, job and time.
    pub attributes: Attributes,
    /// The body that would be delivered, before any format.
    pub body: Arc<[u8]>,
    /// The attributes as they would be stored.
    pub(crate) stored: Option<Arc<[u8]>>,
}

/// Whether a target would get an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetRoute {
    /// The target's name.
    pub target: String,
    /// Why not, naming the filter and what was found; `None` if it would get the event.
    pub excluded: Option<String>,
}

/// Reads an event and asks each target's filters, as
/// [`Submitter::submit`](crate::Submitter::submit) does, without submitting it.
///
/// # Errors
/// The event would be refused.
pub fn dry_run(config: &Config, submission: &Submission) -> Result<DryRun, Refusal> {
    let inputs = InputTable::new(config, None);
    let input = inputs.of(submission)?;
    let max = config.max_event_bytes();
    input.check_submitted(submission, max)?;
    let Some(read) = ReadEvent::new(submission, input)? else {
        return Ok(DryRun {
            event: None,
            routes: Vec::new(),
        });
    };
    let conditions = Conditions::of(config.targets().iter());
    // The queue knows whether a state before it is known.
    let is_initial = read.is_initial() && !input.schema.only_changes();
    let routes = read.filtered(is_initial, |fields| {
        let event = Candidate::new(fields);
        let targets = config.targets().iter().enumerate();
        let routes = targets.map(|(index, target)| TargetRoute {
            target: target.name().to_string(),
            excluded: conditions
                .excluded_by(index, target, &event)
                .map(|filter| conditions.explanation(index, target, &event, filter)),
        });
        routes.collect()
    });
    Ok(DryRun {
        event: Some(ParsedEvent {
            key: read.key().to_owned(),
            id: read.id().map(str::to_owned),
            attributes: read.described(),
            body: read.body(max)?,
            stored: read.attributes().map(|it| it.encode().into()),
        }),
        routes,
    })
}
