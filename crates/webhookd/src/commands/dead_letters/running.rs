//! Dead letters of a running program, by its admin API.

use super::change::Change;
use crate::admin::client::{Client, query};
use crate::dead_letters::{Filter, Letter};
use anyhow::Result;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::ops::ControlFlow;
use webhook_queue::EventId;

/// Dead letters in one response, at most.
const PAGE: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    dead_letters: Vec<Letter>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Changed {
    #[serde(alias = "replayed", alias = "dropped")]
    count: u64,
}

/// Visits the dead letters that match, until `visit` breaks.
pub(super) fn list(
    client: &Client,
    filter: &Filter,
    visit: &mut dyn FnMut(Letter) -> ControlFlow<()>,
) -> Result<()> {
    let mut cursor = None;
    loop {
        let mut pairs = filter.pairs();
        pairs.push(("limit", PAGE.to_string()));
        pairs.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page: Page = client.get(&format!("/api/v1/dead-letters{}", query(pairs)))?;
        for letter in page.dead_letters {
            if visit(letter).is_break() {
                return Ok(());
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// The dead letters of one event, one for each target, with the event.
pub(super) fn find(client: &Client, wanted: EventId, filter: &Filter) -> Result<Vec<Letter>> {
    let parameters = query(filter.pairs());
    let path = format!("/api/v1/dead-letters/{}{parameters}", wanted);
    let answer = client.send(Method::GET, &path, None)?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    Ok(answer.json::<Page>()?.dead_letters)
}

/// Replays or drops all that match. Returns their number.
pub(super) fn change(client: &Client, filter: &Filter, change: Change) -> Result<u64> {
    let mut selection: Map<String, Value> = filter
        .pairs()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    if filter.is_of_delivered() {
        selection.insert("delivered".to_owned(), Value::from(true));
    }
    if filter.is_empty() {
        selection.insert("all".to_owned(), Value::from(true));
    }
    let path = format!("/api/v1/dead-letters/{}", change.verb());
    let changed: Changed = client.post(&path, Some(&Value::from(selection)))?.json()?;
    Ok(changed.count)
}
