//! The event of a test delivery, for `webhookd send` and the admin API.

use crate::sources::{Document, check_cloud_event};
use anyhow::{Context, Result, anyhow, bail};
use webhook_config::Config;
use webhook_dispatch::{ParsedEvent, Submission, TargetRoute, dry_run};
use webhook_event::Schema;

/// Reads the only event of a document, and asks each target's filters. `name` is the document's, for
/// errors; the name of the default input is empty.
///
/// # Errors
/// There are several events or none, or the input does not understand the event or ignores it.
pub(crate) fn read_one(
    config: &Config,
    (input, schema): (&str, &Schema),
    document: &Document,
    name: &str,
) -> Result<(ParsedEvent, Vec<TargetRoute>)> {
    if document.len() != 1 {
        bail!("{name} has {} events; send one of them", document.len());
    }
    check_cloud_event(schema, document.bytes(0)).map_err(|why| anyhow!("{name}: {why}"))?;
    let submission = Submission::new(document.event(0)).input(input);
    let read = dry_run(config, &submission).with_context(|| format!("{name} is not an event"))?;
    match read.event {
        Some(event) => Ok((event, read.routes)),
        None => bail!("{name} is an event that its input ignores"),
    }
}
