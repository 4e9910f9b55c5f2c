//! What is done with a request.

use super::Ingest;
use super::answer::{self, Answer, Complaint, closing};
use super::auth::Keys;
use super::batch::Batch;
use super::body::Pieces;
use super::budget::Held;
use super::form::Form;
use super::given::Given;
use crate::http::Activity;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use std::sync::Arc;

/// Bytes of a body that room is made for on the peer's word.
const READ_AHEAD: usize = 1 << 20;

impl Ingest {
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let activity = request.extensions().get::<Arc<Activity>>().cloned();
        let (head, body) = request.into_parts();
        let mut pieces = Pieces::new(body, activity.clone(), self.body_timeout);
        let answer = self.handle(&head, &mut pieces).await;
        let answer = answer.unwrap_or_else(|complaint| {
            self.note(&format!("{}: {}", complaint.status, complaint.error));
            complaint.answer()
        });
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.note("401: a request was not signed, or had no token that is known");
        }
        if !pieces.is_unread() {
            return answer;
        }
        if let Some(activity) = activity {
            activity.leaves_unread();
        }
        closing(answer)
    }

    /// Counts, and tells of, what was not taken: its sender alone would know else.
    pub(super) fn note(&self, why: &str) {
        self.handover.intake.turn_away();
        self.console
            .say_sparingly(&format!("not taken over HTTP: {why}"));
    }

    async fn handle(&self, head: &Parts, pieces: &mut Pieces) -> Result<Answer, Complaint> {
        if !matches!(head.uri.path(), "/" | "/events") {
            return Err(Complaint::new(
                StatusCode::NOT_FOUND,
                "events are sent to / or /events",
            ));
        }
        if head.method != Method::POST {
            return Ok(answer::method_not_allowed());
        }
        let keys = self.auth.keys();
        if let Err(answer) = keys.check_head(&head.headers) {
            return Ok(*answer);
        }
        let given = Given::of(&head.headers)?;
        match Form::of(&head.headers)? {
            Form::Event => {
                pieces.allow(self.max_event_bytes)?;
                let mut held = Held::default();
                let event = self.read_whole(pieces, &mut held).await?;
                if let Err(answer) = keys.check_body(&head.headers, &event) {
                    return Ok(*answer);
                }
                self.one_event(event, held, &given).await
            }
            // What takes the lines of a body is large, and would be moved about with each event.
            Form::Lines => Box::pin(self.lines(head, pieces, &keys, &given)).await,
        }
    }

    async fn lines(
        &self,
        head: &Parts,
        pieces: &mut Pieces,
        keys: &Keys,
        given: &Given,
    ) -> Result<Answer, Complaint> {
        // What is signed is read whole, and each of its lines is copied once.
        let most = match keys.needs_signature() {
            true => self.max_body.min(self.max_signed),
            false => self.max_body,
        };
        pieces.allow(most)?;
        let mut batch = Batch::new(self, given);
        if !keys.needs_signature() {
            batch.take(pieces).await;
            return Ok(batch.finish().await);
        }
        // Only the whole can be told to be genuine.
        let mut held = Held::default();
        let whole = self.read_whole(pieces, &mut held).await?;
        if let Err(answer) = keys.check_body(&head.headers, &whole) {
            return Ok(*answer);
        }
        batch.take_whole(&whole).await;
        Ok(batch.finish().await)
    }

    async fn one_event(
        &self,
        event: Arc<[u8]>,
        held: Held,
        given: &Given,
    ) -> Result<Answer, Complaint> {
        if event.trim_ascii().is_empty() {
            return Err(Complaint::new(
                StatusCode::BAD_REQUEST,
                "the body is empty; send an event as JSON",
            ));
        }
        let pending = self
            .handover
            .hand_over(event, Arc::new(held), given, None)
            .await?;
        let receipt = pending.fate().await?;
        Ok(answer::accepted(&receipt))
    }

    /// Reads a body to its end.
    async fn read_whole(
        &self,
        pieces: &mut Pieces,
        held: &mut Held,
    ) -> Result<Arc<[u8]>, Complaint> {
        let busy = |_| Complaint::busy();
        let Some(first) = pieces.next().await? else {
            return Ok(Arc::from([]));
        };
        if pieces.is_complete() {
            // What comes in one piece has its bound in that of connections: whoever sends small
            // events is served however much memory others take.
            return Ok(Arc::from(&first[..]));
        }
        self.budget.add(held, first.len()).await.map_err(busy)?;
        // The peer says how long it is; more than this is made room for as it comes.
        let mut whole = Vec::with_capacity(first.len() + pieces.remaining().min(READ_AHEAD));
        whole.extend_from_slice(&first);
        while let Some(piece) = pieces.next().await? {
            self.budget.add(held, piece.len()).await.map_err(busy)?;
            whole.extend_from_slice(&piece);
        }
        Ok(Arc::from(whole))
    }

    pub(super) fn event_too_long(&self) -> Complaint {
        Complaint::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "it is longer than maxEventBytes allows, which is {}; nothing of it was sent",
                self.max_event_bytes
            ),
        )
    }
}
