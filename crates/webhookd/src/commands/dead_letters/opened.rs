//! Dead letters of a queue that this process has open.

use super::change::Change;
use crate::dead_letters::{Filter, Letter, matching};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::ControlFlow;
use webhook_queue::{EventId, Queue};

/// Rejects a target that the queue does not know, since a misspelled one would match nothing.
fn check_target(queue: &dyn Queue, filter: &Filter) -> Result<()> {
    let known = queue.statistics().context("cannot read the queue")?.targets;
    let known: Vec<&str> = known.iter().map(|known| known.target.as_str()).collect();
    if let Some(wanted) = filter.target()
        && !known.contains(&wanted)
    {
        bail!(
            "no target {wanted:?} in this queue; it knows: {}",
            known.join(", ")
        );
    }
    Ok(())
}

/// Visits the dead letters that match, until `visit` breaks.
pub(super) fn list(
    queue: &dyn Queue,
    filter: &Filter,
    visit: &mut dyn FnMut(Letter) -> ControlFlow<()>,
) -> Result<()> {
    check_target(queue, filter)?;
    queue
        .dead_letters(filter.target(), None, &mut |letter| {
            if filter.matches(&letter) {
                visit(Letter::of(&letter))
            } else {
                ControlFlow::Continue(())
            }
        })
        .context("cannot read the dead letters")
}

/// The dead letters of one event, one for each target, with the event.
pub(super) fn find(queue: &dyn Queue, wanted: EventId) -> Result<Vec<Letter>> {
    let mut found = Vec::new();
    queue.dead_letters(None, None, &mut |letter| {
        if letter.owed.id == wanted {
            found.push(Letter::with_event(&letter));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Replays or drops all that match, a thousand at a time. Returns their number.
pub(super) fn change(queue: &dyn Queue, filter: &Filter, change: Change) -> Result<u64> {
    check_target(queue, filter)?;
    let targets = queue.statistics()?.targets;
    let bar = ProgressBar::new(targets.iter().map(|target| target.dead).sum()).with_style(
        ProgressStyle::with_template("{bar:30} {pos} of {len} checked, {msg}")
            .expect("the template is valid"),
    );
    let mut changed = 0;
    for target in targets {
        if filter
            .target()
            .is_some_and(|wanted| wanted != target.target)
        {
            continue;
        }
        let mut after = None;
        loop {
            let (entries, last) = matching(filter, |visit| {
                queue.dead_letters(Some(&target.target), after, &mut |letter| {
                    bar.inc(1);
                    visit(letter)
                })
            })?;
            let done = match change {
                Change::Replay => queue.replay(&target.target, &entries),
                Change::Drop => queue.drop_dead(&target.target, &entries),
            };
            changed +=
                done.with_context(|| format!("{changed} were {} before it failed", change.done()))?;
            bar.set_message(format!("{changed} {}", change.done()));
            if last.is_none() {
                break;
            }
            after = last;
        }
    }
    bar.finish_and_clear();
    Ok(changed)
}
