//! The events of one document: all of them are accepted, or the client is told that the document as
//! a whole was not.

use super::answer::{Answer, Complaint, Settled, is_zero, json};
use super::budget::{Budget, Held};
use super::handover::{Handover, Pending, Request, Submitted};
use super::request_ids::LineId;
use crate::sources::documents::{Document, check};
use hyper::StatusCode;
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// The events of a document so far.
struct Elements<'a> {
    handover: &'a Handover,
    request: Request<'a>,
    /// Memory for copies of events that are not committed; `None` if they are small.
    window: Option<Budget>,
    /// Those without a result, in their order.
    waiting: VecDeque<(usize, Pending)>,
    accepted: Accepted,
    until: Instant,
}

/// The response for an accepted document.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    /// All its events, those below included.
    accepted: usize,
    /// Those that the input drops.
    #[serde(skip_serializing_if = "is_zero")]
    ignored: usize,
    /// Those that were accepted before.
    #[serde(skip_serializing_if = "is_zero")]
    duplicates: usize,
    /// Those that were not understood, and are kept as rejects.
    #[serde(skip_serializing_if = "is_zero")]
    unknown: usize,
    /// The targets that are over their quotas and will not get one of the events.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    over_quota: BTreeSet<String>,
}

/// Submits the events of a document in their order, and responds once all of them are durable. With
/// a `window` of memory, no more of them are copied than it has room for.
///
/// # Errors
/// An event was not accepted. If it is not understood, none of the document was; else those before
/// it may have been, and the document is to be sent again as a whole.
pub(super) async fn submit_all(
    handover: &Handover,
    request: Request<'_>,
    document: &Document,
    window: Option<Budget>,
) -> Result<Answer, Complaint> {
    let schema = request.input.schema();
    // What is not understood is known before anything is accepted.
    if !request.input.keeps_unknown() {
        for index in 0..document.len() {
            check(schema, document.bytes(index), handover.max_event_bytes)
                .map_err(|why| Complaint::from(why).of_element(index))?;
        }
    }
    let mut elements = Elements {
        handover,
        request,
        window,
        waiting: VecDeque::new(),
        accepted: Accepted::default(),
        until: Instant::now() + handover.sync_timeout,
    };
    for index in 0..document.len() {
        let submitted = elements.submit(index, document).await;
        submitted.map_err(|why| why.of_element(index))?;
    }
    while elements.await_first().await? {}
    Ok(json(StatusCode::OK, &elements.accepted))
}

impl Elements<'_> {
    /// Submits one event. While there is no room, it waits for those before it.
    async fn submit(&mut self, index: usize, document: &Document) -> Result<(), Complaint> {
        // Its client does not wait for ever, and sends it again.
        if Instant::now() >= self.until {
            return Err(Complaint::busy());
        }
        let mut held = Held::default();
        if let Some(window) = &self.window {
            let bytes = document.bytes(index).len();
            let patience = self.handover.sync_timeout;
            let room = window.add(&mut held, bytes, patience).await;
            room.map_err(|_| Complaint::busy())?;
        }
        let (mut event, mut held) = (document.event(index), Arc::new(held));
        let line = Some(LineId {
            number: index as u64 + 1,
            element: None,
            place: index,
        });
        loop {
            match self.handover.try_submit(self.request, event, held, line) {
                Submitted::Pending(pending) => {
                    self.waiting.push_back((index, pending));
                    return Ok(());
                }
                Submitted::Refused(why) => return Err(why),
                Submitted::Full(back) => (event, held) = (back.event, back.held),
            }
            if !self.await_first().await? {
                let submitted = self.handover.submit(self.request, event, held, line).await;
                self.waiting.push_back((index, submitted?));
                return Ok(());
            }
        }
    }

    /// Waits for the result of the first event in `waiting`. Returns false if there is none.
    async fn await_first(&mut self) -> Result<bool, Complaint> {
        let Some((index, pending)) = self.waiting.pop_front() else {
            return Ok(false);
        };
        let settled = self.handover.committed(self.request, pending).await;
        let accepted = &mut self.accepted;
        accepted.accepted += 1;
        match settled.map_err(|why| why.of_element(index))? {
            Settled::Kept(_) => accepted.unknown += 1,
            Settled::Accepted(receipt) => {
                accepted.ignored += usize::from(receipt.ignored || receipt.unchanged);
                accepted.duplicates += usize::from(receipt.duplicate);
                accepted
                    .over_quota
                    .extend(receipt.over_quota.iter().map(|name| name.to_string()));
            }
        }
        Ok(true)
    }
}
