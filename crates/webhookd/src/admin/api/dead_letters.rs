//! `/api/v1/dead-letters`: lists, replays and drops events that were given up.

use super::super::answer::{Changed, Json, blocking, changed};
use super::super::problem::Problem;
use super::request::{Body, Query, finish, json, limit};
use super::selection::{Chosen, KNOWN, Selection, take_filter};
use crate::daemon::Daemon;
use crate::dead_letters::{Filter, Letter, matching};
use axum::extract::{Path, Query as Parts, State};
use axum::http::HeaderMap;
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::Arc;
use webhook_dispatch::Control;
use webhook_queue::{DeadLetter, EntryId, EventId, QueueError, kept_name};

/// Dead letters that are read for one response, and bytes of their events: few enough for 5 ms of
/// processor time, whatever the filter.
const MAX_READ: usize = 250;
const MAX_READ_BYTES: usize = 4 << 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    dead_letters: Vec<Letter>,
    next: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Full {
    dead_letters: Vec<Letter>,
}

#[derive(Serialize)]
pub(super) struct Replayed {
    replayed: u64,
    more: bool,
}

#[derive(Serialize)]
pub(super) struct Dropped {
    dropped: u64,
    more: bool,
}

pub(super) async fn list(
    State(daemon): State<Arc<Daemon>>,
    Parts(mut query): Parts<Query>,
) -> Result<Json<Page>, Problem> {
    let limit = limit(&mut query)?;
    let cursor = Cursor::take(&mut query)?;
    let filter = take_filter(&mut query)?;
    finish(&query, &format!("{KNOWN}, limit, cursor"))?;
    let page = blocking(move || page(&daemon.control, &filter, cursor, limit)).await?;
    page.map(Json::of)
}

/// The last dead letter that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    target: String,
    entry: EntryId,
}

impl Cursor {
    /// Takes the cursor from a query.
    pub(super) fn take(query: &mut Query) -> Result<Option<Cursor>, Problem> {
        let cursor = query.remove("cursor");
        cursor.as_deref().map(Cursor::parse).transpose()
    }

    fn parse(text: &str) -> Result<Cursor, Problem> {
        let parsed = text.rsplit_once(':').and_then(|(target, entry)| {
            Some(Cursor {
                target: target.to_owned(),
                entry: EntryId(entry.parse().ok()?),
            })
        });
        parsed.ok_or_else(|| {
            Problem::bad_request(format!("{text:?} is not a cursor of an earlier page"))
        })
    }
}

fn parse_entry(text: &str) -> Result<EntryId, Problem> {
    let detail =
        || Problem::bad_request(format!("entry={text:?} is not the entry of a dead letter"));
    text.parse().map(EntryId).map_err(|_| detail())
}

fn page(
    control: &Control,
    filter: &Filter,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<Page, Problem> {
    let mut found: Vec<Letter> = Vec::new();
    let next = read(control, filter, cursor, &mut |_, letter| {
        if found.len() == limit {
            return ControlFlow::Break(());
        }
        found.push(Letter::of(letter, filter));
        ControlFlow::Continue(())
    })?;
    Ok(Page {
        dead_letters: found,
        next,
    })
}

/// Visits the dead letters after a cursor that match, as many as are read for one response, or until
/// `visit` does not take one. Returns the cursor of the next page, if there is one.
pub(super) fn read(
    control: &Control,
    filter: &Filter,
    cursor: Option<Cursor>,
    visit: &mut dyn FnMut(&str, &DeadLetter<'_>) -> ControlFlow<()>,
) -> Result<Option<String>, Problem> {
    let (mut count, mut bytes) = (0, 0);
    for target in targets(control, filter)? {
        let mut last = match &cursor {
            Some(cursor) if target < cursor.target => continue,
            Some(cursor) if target == cursor.target => Some(cursor.entry),
            _ => None,
        };
        let mut next = None;
        let name = filter.name_of(&target);
        let read = control.dead_letters(Some(&name), last, &mut |letter| {
            let is_over = count == MAX_READ || bytes >= MAX_READ_BYTES;
            if is_over || filter.matches(&letter) && visit(&target, &letter).is_break() {
                // If none of this target was read, the next page begins with its first.
                let EntryId(first) = letter.owed.entry;
                next = Some(last.unwrap_or(EntryId(first.saturating_sub(1))));
                return ControlFlow::Break(());
            }
            count += 1;
            bytes += letter.owed.body.len();
            last = Some(letter.owed.entry);
            ControlFlow::Continue(())
        });
        read.map_err(|error| Problem::failed(&error))?;
        if let Some(EntryId(entry)) = next {
            return Ok(Some(format!("{target}:{entry}")));
        }
    }
    Ok(None)
}

/// The targets that a filter selects, by name. A target that the queue does not know is rejected,
/// since a misspelled one would match nothing.
fn targets(control: &Control, filter: &Filter) -> Result<Vec<String>, Problem> {
    let statistics = control.queue_statistics();
    let known = statistics.map_err(|error| Problem::failed(&error))?.targets;
    let mut known: Vec<String> = known.into_iter().map(|known| known.target).collect();
    known.sort_unstable();
    let config = control.config();
    let Some(wanted) = filter.target() else {
        return Ok(known);
    };
    if known.iter().any(|known| known == wanted) {
        return Ok(vec![wanted.to_owned()]);
    }
    let mut configured = config.targets().iter();
    if configured.any(|target| target.name().as_str() == wanted) {
        return Ok(Vec::new());
    }
    Err(Problem::not_found(format!(
        "no target {wanted:?}; the queue knows: {}",
        known.join(", ")
    )))
}

pub(super) async fn show(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
    Parts(mut query): Parts<Query>,
) -> Result<Json<Full>, Problem> {
    let target = query.remove("target");
    let entry = query.remove("entry");
    let entry = entry.as_deref().map(parse_entry).transpose()?;
    let filter = take_filter(&mut query)?;
    if !filter.is_empty() {
        let detail = "the parameters here are: target, entry, delivered";
        return Err(Problem::bad_request(detail));
    }
    finish(&query, "target, entry, delivered")?;
    let wanted = id.parse::<EventId>();
    let wanted = wanted.map_err(|error| Problem::bad_request(error.to_string()))?;
    let found = blocking(move || {
        let control = &daemon.control;
        let names = match (target, filter.is_of_delivered()) {
            (Some(target), _) => vec![Some(filter.name_of(&target).into_owned())],
            (None, false) => vec![None],
            (None, true) => {
                let targets = control.queue_statistics()?.targets.into_iter();
                targets.map(|it| Some(kept_name(&it.target))).collect()
            }
        };
        let mut found = Vec::new();
        let after = entry.and_then(|EntryId(entry)| Some(EntryId(entry.checked_sub(1)?)));
        for name in names {
            control.dead_letters(name.as_deref(), after, &mut |letter| {
                if entry.is_some_and(|entry| letter.owed.entry != entry) {
                    return ControlFlow::Break(());
                }
                if letter.owed.id == wanted {
                    found.push(Letter::with_event(&letter, &filter));
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(found)
    });
    let dead_letters = found
        .await?
        .map_err(|error: QueueError| Problem::failed(&error))?;
    if dead_letters.is_empty() {
        let detail = format!("no dead letter has the webhook-id {id}");
        return Err(Problem::not_found(detail));
    }
    Ok(Json::of(Full { dead_letters }))
}

pub(super) async fn replay(
    State(daemon): State<Arc<Daemon>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Changed<Replayed>, Problem> {
    let selection: Selection = json(&headers, body)?;
    let shown = selection.to_string();
    let chosen = selection.chosen()?;
    let what = chosen.what();
    let (replayed, more) =
        blocking(move || change(&daemon.control, &chosen, Control::replay)).await??;
    Ok(changed(
        format!("replayed {replayed} {what} of {shown}"),
        Replayed { replayed, more },
    ))
}

pub(super) async fn drop_them(
    State(daemon): State<Arc<Daemon>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Changed<Dropped>, Problem> {
    let selection: Selection = json(&headers, body)?;
    let shown = selection.to_string();
    let chosen = selection.chosen()?;
    let what = chosen.what();
    let is_of_delivered = chosen.filter.is_of_delivered();
    let dropped = blocking({
        let daemon = Arc::clone(&daemon);
        move || change(&daemon.control, &chosen, Control::drop_dead_letters)
    });
    let (dropped, more) = dropped.await??;
    if !is_of_delivered {
        daemon.note_dropped(dropped);
    }
    Ok(changed(
        format!("dropped {dropped} {what} of {shown}"),
        Dropped { dropped, more },
    ))
}

/// Changes what was chosen, a thousand at a time. Returns the number, and whether the limit was reached
/// before all that match were seen.
fn change(
    control: &Control,
    chosen: &Chosen,
    apply: impl Fn(&Control, &str, &[EntryId]) -> Result<u64, QueueError>,
) -> Result<(u64, bool), Problem> {
    let filter = &chosen.filter;
    let mut left = chosen.limit;
    let mut changed = 0;
    let failed = |changed: u64, error: &QueueError| {
        let problem = Problem::failed(error);
        problem.with("changed", changed)
    };
    for target in targets(control, filter)? {
        let target = filter.name_of(&target);
        if let Some(entries) = &chosen.entries {
            changed += apply(control, &target, entries).map_err(|it| failed(changed, &it))?;
            continue;
        }
        let mut after = None;
        loop {
            let (mut entries, last) = matching(filter, |visit| {
                control.dead_letters(Some(&target), after, visit)
            })
            .map_err(|it| failed(changed, &it))?;
            let is_over = entries.len() > left;
            entries.truncate(left);
            left -= entries.len();
            changed += apply(control, &target, &entries).map_err(|it| failed(changed, &it))?;
            if is_over {
                return Ok((changed, true));
            }
            if last.is_none() {
                break;
            }
            after = last;
        }
    }
    Ok((changed, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_parsed_and_another_text_is_rejected() {
        let cursor = Cursor::parse("audit:7").unwrap();
        assert_eq!(
            (cursor.target.as_str(), cursor.entry),
            ("audit", EntryId(7))
        );
        for bad in ["", "audit", "audit:", "audit:x", ":"] {
            assert!(Cursor::parse(bad).is_err(), "{bad}");
        }
    }
}
