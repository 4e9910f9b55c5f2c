//! The produce request of Confluent's REST proxy, v2, and its receipt.
//!
//! Records are keyed by the event's key, so that a task's events share a partition. What the receipt has for a
//! record that was taken and for one that failed differs:
//!
//! | proxy | taken | failed |
//! |---|---|---|
//! | Confluent | `partition`, `offset`; `error_code` and `error` are null | `error_code`, `error`; `partition` and `offset` are null |
//! | Strimzi | `partition`, `offset` | `error_code`, `message` (once `error`) |
//! | Karapace | `partition`, `offset` (-1 if it is not known) | `error_code`, `error` |
//! | Redpanda | `partition`, `offset` of the first record | `partition`, `error_code`, `offset` of -1 |
//!
//! The first three have an element for each record, in the order of the request. Redpanda has one for each
//! partition, in no order: it says how many partitions failed, and not which records.

#[cfg(test)]
mod tests;

use crate::delivery::event_parts::{EventParts, RequestEvent};
use crate::http::transport::Answer;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashSet;
use webhook_model::EventHeader;

/// The least bytes around an event's key and body in a record.
const AROUND: usize = 40;

/// Makes the request of these events.
pub(super) fn records(events: &[RequestEvent<'_>]) -> Vec<u8> {
    let events = events.iter().map(|event| event.parts);
    let sizes = events
        .clone()
        .map(|event| event.body.len() + 2 * event.key.len());
    let mut body = Vec::with_capacity(AROUND * (events.len() + 1) + sizes.sum::<usize>());
    for (at, event) in events.enumerate() {
        let start: &[u8] = match at {
            0 => br#"{"records":[{"key":"#,
            _ => br#",{"key":"#,
        };
        body.extend_from_slice(start);
        serde_json::to_writer(&mut body, &key(event)).expect("a string is always JSON");
        body.extend_from_slice(br#","value":"#);
        body.extend_from_slice(event.body);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    body
}

/// The key of an event's record.
fn key(event: EventParts<'_>) -> Option<Cow<'_, str>> {
    if event.attributes.is_empty() {
        let header = EventHeader::read(event.body).ok();
        return header.and_then(|header| header.task_id);
    }
    Some(String::from_utf8_lossy(event.key)).filter(|key| !key.is_empty())
}

/// Why a 2xx answer is a failure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FailedReceipt {
    /// What is wrong, as text.
    pub(crate) detail: String,
    /// Whether each record was taken, if some were and the answer says which; else empty.
    pub(crate) taken: Vec<bool>,
}

impl FailedReceipt {
    fn of_all(detail: String) -> FailedReceipt {
        FailedReceipt {
            detail,
            taken: Vec::new(),
        }
    }
}

/// Checks the receipt for so many records.
pub(super) fn check_receipt(answer: &Answer, records: usize) -> Result<(), FailedReceipt> {
    let receipt: Receipt = serde_json::from_slice(&answer.body).map_err(|error| {
        let end = if answer.complete {
            ""
        } else {
            "; its end is missing, since it is longer than `maxResponseBytes` or was not sent"
        };
        let detail = format!("the answer is not a Kafka REST receipt: {error}{end}");
        FailedReceipt::of_all(detail)
    })?;
    let offsets = &receipt.offsets;
    let of_partitions = are_of_partitions(offsets, records);
    if offsets.len() != records && !of_partitions {
        let found = offsets.len();
        let detail =
            format!("the answer does not fit the request: {found} offsets, {records} records");
        return Err(FailedReceipt::of_all(detail));
    }
    let failures: Vec<Option<String>> = offsets.iter().map(Offset::failure).collect();
    let count = failures.iter().flatten().count();
    let Some((first, why)) = failures
        .iter()
        .enumerate()
        .find_map(|(at, failure)| Some((at, failure.as_ref()?)))
    else {
        return Ok(());
    };
    if of_partitions {
        let all = offsets.len();
        let detail =
            format!("{count} of {all} partitions rejected their records, the first with {why}");
        return Err(FailedReceipt::of_all(detail));
    }
    if records == 1 {
        return Err(FailedReceipt::of_all(format!(
            "the record was rejected: {why}"
        )));
    }
    let detail =
        format!("{count} of {records} records were rejected, the first at index {first}: {why}");
    let taken = if count < records {
        failures.iter().map(Option::is_none).collect()
    } else {
        Vec::new()
    };
    Err(FailedReceipt { detail, taken })
}

/// Whether the elements are those of partitions, of which each may have taken several records. With as many
/// elements as records, it matters only once a partition failed: the elements have no order then.
fn are_of_partitions(offsets: &[Offset], records: usize) -> bool {
    let mut seen = HashSet::with_capacity(offsets.len());
    let is_distinct = |offset: &Offset| offset.partition.is_some_and(|it| seen.insert(it));
    records > 1
        && !offsets.is_empty()
        && offsets.len() <= records
        && offsets.iter().all(is_distinct)
}

#[derive(Deserialize)]
struct Receipt {
    #[serde(default)]
    offsets: Vec<Offset>,
}

#[derive(Deserialize)]
struct Offset {
    #[serde(default)]
    partition: Option<i64>,
    #[serde(default)]
    error_code: Option<i64>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Offset {
    /// Why the record was not taken; `None` if it was.
    fn failure(&self) -> Option<String> {
        let why = self.error.as_ref().or(self.message.as_ref());
        match (self.error_code, why) {
            (None, None) => None,
            (None, Some(why)) => Some(why.clone()),
            (Some(code), None) => Some(format!("error_code {code}")),
            (Some(code), Some(why)) => Some(format!("error_code {code}: {why}")),
        }
    }
}
