//! Where events come from.

pub(crate) mod acks;
mod feeder;
mod intake;
pub(crate) mod lines;

pub(crate) use feeder::Feeder;
pub(crate) use intake::{Intake, Read};

use crate::signals::Signals;
use crate::wiring::News;
use anyhow::{Context, Result};
use crossbeam_channel::Sender;
use lines::Lines;
use std::sync::Arc;

/// Feeds lines to the dispatcher on a thread of its own, which says so when they have ended.
///
/// # Errors
/// The system refuses a thread.
pub(crate) fn start(
    lines: Lines,
    mut feeder: Feeder,
    signals: Arc<Signals>,
    news: Sender<News>,
) -> Result<()> {
    std::thread::Builder::new()
        .name("source-lines".to_owned())
        .spawn(move || {
            let name = lines.name().to_owned();
            let read = feeder.feed(lines, &signals);
            let read = read.with_context(|| format!("cannot read on in {name}"));
            // Nobody listens any more once the program ends.
            drop(news.send(News::SourceEnded(read)));
        })
        .context("cannot start a thread")?;
    Ok(())
}
