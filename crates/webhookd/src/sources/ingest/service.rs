//! Handles requests.

use super::access::{Access, Keys};
use super::answer::{self, Answer, Complaint, closing};
use super::batch::{Batch, Needs};
use super::body::Pieces;
use super::budget::Held;
use super::charset::Charset;
use super::content_kind::ContentKind;
use super::handover::Handover;
use super::request_ids::RequestIds;
use crate::http::{Activity, Hosts, Peer, is_cross_origin, is_cross_site};
use hyper::body::Incoming;
use hyper::http::Extensions;
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an event that needs no memory of the budget. Such events are bounded by the number of
/// connections, and are accepted however much memory other requests hold.
const SMALL: usize = 16 << 10;
/// Bytes that are allocated because of the peer's Content-Length, at most.
const READ_AHEAD: usize = 1 << 20;

/// Refuses requests of web pages of other sites, which any browser would send from here.
fn check_origin(head: &Parts, hosts: Option<&Hosts>) -> Result<(), Complaint> {
    let refuse = |why| Err(Complaint::new(StatusCode::FORBIDDEN, why));
    if is_cross_origin(&head.headers) || is_cross_site(&head.headers) {
        return refuse("the request comes from another origin, a page of another site");
    }
    if hosts.is_some_and(|hosts| !hosts.accept(&head.headers)) {
        return refuse(
            "the request's Host is a name that --listen-host does not allow; a foreign web page may \
             have sent it",
        );
    }
    Ok(())
}

/// The client of a request.
fn peer_of(extensions: &Extensions) -> Peer {
    extensions.get().copied().unwrap_or(Peer::Unknown)
}

/// Accepts events over HTTP.
pub(super) struct Ingest {
    pub(super) handover: Handover,
    pub(super) access: Arc<Access>,
    pub(super) max_body: usize,
    /// Bytes of a signed body of lines, at most: with its response it must fit into the budget.
    pub(super) max_signed: usize,
    pub(super) body_timeout: Duration,
    /// Whether a body that is not UTF-8 is ISO-8859-1.
    pub(super) latin1: bool,
}

impl Ingest {
    pub(super) async fn answer(&self, request: Request<Incoming>, hosts: Option<&Hosts>) -> Answer {
        let peer = peer_of(request.extensions());
        let activity = request.extensions().get::<Arc<Activity>>();
        let activity = Arc::clone(activity.expect("the server adds it to each request"));
        let (head, body) = request.into_parts();
        let budget = self.handover.budget.clone();
        let mut pieces = Pieces::new(body, Arc::clone(&activity), budget, self.body_timeout);
        let answer = match check_origin(&head, hosts) {
            Ok(()) => self.handle(&head, &mut pieces).await,
            Err(complaint) => Err(complaint),
        };
        let answer = answer.unwrap_or_else(|complaint| {
            // A probe of an unknown path is no input.
            if complaint.status != StatusCode::NOT_FOUND || head.method == Method::POST {
                let Complaint { status, error, .. } = &complaint;
                self.handover.note(&format!("{status}: {error}"), peer);
            }
            complaint.answer()
        });
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.handover.note_unauthorized(peer);
        }
        if !pieces.is_unread() {
            return answer;
        }
        activity.leaves_unread();
        closing(answer)
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
        let keys = self.access.keys();
        if let Err(answer) = keys.check_head(&head.headers) {
            return Ok(*answer);
        }
        let ids = RequestIds::of(&head.headers, keys.needs_signature())?;
        let charset = Charset::of(&head.headers, self.latin1)?;
        match ContentKind::of(&head.headers)? {
            ContentKind::Event => {
                pieces.allow(self.handover.max_event_bytes)?;
                let mut held = Held::default();
                let event = self.read_whole(pieces, &mut held, charset).await?;
                if let Err(answer) = keys.check_body(&head.headers, &event) {
                    return Ok(*answer);
                }
                let (event, transcoded) = charset.decode(event);
                held.keep(event.len());
                let answer = self.one_event(event, held, &ids).await?;
                Ok(answer::transcoded(answer, transcoded))
            }
            // Boxed, since its large state would be moved with each single event.
            ContentKind::Lines => Box::pin(self.lines(head, pieces, &keys, &ids, charset)).await,
        }
    }

    async fn lines(
        &self,
        head: &Parts,
        pieces: &mut Pieces,
        keys: &Keys,
        ids: &RequestIds,
        charset: Charset,
    ) -> Result<Answer, Complaint> {
        // A signed body is read whole before its lines are copied.
        let most = match keys.needs_signature() {
            true => self.max_body.min(self.max_signed),
            false => self.max_body,
        };
        pieces.allow(most)?;
        let longest = pieces.longest();
        let whole = match keys.needs_signature() {
            true => longest,
            false => 0,
        };
        let needs = Needs::of(&self.handover, longest, whole, charset);
        let mut held = Held::default();
        self.reserve(pieces, &mut held, needs.bytes()).await?;
        let peer = peer_of(&head.extensions);
        let memory = needs.share(&mut held);
        let mut batch = Batch::new(&self.handover, ids, peer, memory, charset);
        if !keys.needs_signature() {
            batch.take(pieces).await;
            return Ok(batch.finish().await);
        }
        // The signature covers the whole body.
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next().await? {
            whole.extend_from_slice(&piece);
        }
        if let Err(answer) = keys.check_body(&head.headers, &whole) {
            return Ok(*answer);
        }
        batch.take_whole(&whole).await;
        drop((whole, held));
        Ok(batch.finish().await)
    }

    /// Reserves memory for a body, before it is read.
    async fn reserve(
        &self,
        pieces: &mut Pieces,
        held: &mut Held,
        bytes: usize,
    ) -> Result<(), Complaint> {
        let budget = &self.handover.budget;
        let reserved = budget.add(held, bytes, self.body_timeout).await;
        reserved.map_err(|_| Complaint::busy())?;
        pieces.is_reserved();
        Ok(())
    }

    async fn one_event(
        &self,
        event: Arc<[u8]>,
        held: Held,
        ids: &RequestIds,
    ) -> Result<Answer, Complaint> {
        if event.trim_ascii().is_empty() {
            return Err(Complaint::new(
                StatusCode::BAD_REQUEST,
                "the body is empty; send an event as JSON",
            ));
        }
        let pending = self
            .handover
            .submit(event, Arc::new(held), ids, None)
            .await?;
        let receipt = pending.committed().await?;
        Ok(answer::accepted(&receipt))
    }

    /// Reads a body to its end. If it is long, memory for it in UTF-8 is held.
    async fn read_whole(
        &self,
        pieces: &mut Pieces,
        held: &mut Held,
        charset: Charset,
    ) -> Result<Arc<[u8]>, Complaint> {
        let longest = pieces.longest();
        let needed = charset.longest(longest);
        let mut is_bounded = longest <= SMALL;
        if !is_bounded && pieces.has_length() {
            self.reserve(pieces, held, needed).await?;
            is_bounded = true;
        }
        let Some(first) = pieces.next().await? else {
            return Ok(Arc::from([]));
        };
        if pieces.is_complete() {
            return Ok(Arc::from(&first[..]));
        }
        // More than this is allocated as it arrives.
        let ahead = match pieces.has_length() {
            true => pieces.longest().min(READ_AHEAD),
            false => 0,
        };
        let mut whole = Vec::with_capacity(first.len() + ahead);
        whole.extend_from_slice(&first);
        while let Some(piece) = pieces.next().await? {
            if !is_bounded && whole.len() + piece.len() > SMALL {
                // Its length is not known.
                self.reserve(pieces, held, needed).await?;
                is_bounded = true;
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Arc::from(whole))
    }
}
