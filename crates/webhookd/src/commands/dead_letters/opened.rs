//! Dead letters of a queue that this process has open.

use super::change::Change;
use crate::dead_letters::{Filter, Letter, matching};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::ControlFlow;
use webhook_queue::{DeadLetter, EventId, Queue, TargetStatistics};

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
    for_each(queue, filter, &mut |letter| match filter.matches(&letter) {
        true => visit(Letter::of(&letter, filter)),
        false => ControlFlow::Continue(()),
    })
}

/// Visits the letters of the targets that a filter selects, until `visit` breaks.
fn for_each(
    queue: &dyn Queue,
    filter: &Filter,
    visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let mut flow = ControlFlow::Continue(());
    for name in names(queue, filter)? {
        queue
            .dead_letters(Some(&name), None, &mut |letter| {
                flow = visit(letter);
                flow
            })
            .context("cannot read the dead letters")?;
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

/// The names under which the queue has the letters of the targets that a filter selects.
fn names(queue: &dyn Queue, filter: &Filter) -> Result<Vec<String>> {
    let targets = queue.statistics().context("cannot read the queue")?.targets;
    let mut names: Vec<String> = targets.into_iter().map(|known| known.target).collect();
    names.retain(|name| filter.target().is_none_or(|wanted| wanted == name));
    Ok(names
        .iter()
        .map(|name| filter.name_of(name).into_owned())
        .collect())
}

/// The letters of one event, one for each target, with the event.
pub(super) fn find(queue: &dyn Queue, wanted: EventId, filter: &Filter) -> Result<Vec<Letter>> {
    let mut found = Vec::new();
    for_each(queue, filter, &mut |letter| {
        if letter.owed.id == wanted {
            found.push(Letter::with_event(&letter, filter));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Replays or drops all that match, a thousand at a time. Returns their number.
pub(super) fn change(queue: &dyn Queue, filter: &Filter, change: Change) -> Result<u64> {
    check_target(queue, filter)?;
    let targets = queue.statistics()?.targets;
    let count = |target: &TargetStatistics| match filter.is_of_delivered() {
        false => target.dead,
        true => target.kept,
    };
    let bar = ProgressBar::new(targets.iter().map(count).sum()).with_style(
        ProgressStyle::with_template("{bar:30} {pos} of {len} checked, {msg}")
            .expect("the template is valid"),
    );
    let mut changed = 0;
    for name in names(queue, filter)? {
        let mut after = None;
        loop {
            let (entries, last) = matching(filter, |visit| {
                queue.dead_letters(Some(&name), after, &mut |letter| {
                    bar.inc(1);
                    visit(letter)
                })
            })?;
            let done = match change {
                Change::Replay => queue.replay(&name, &entries),
                Change::Drop => queue.drop_dead(&name, &entries),
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
