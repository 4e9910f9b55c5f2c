//! Handles requests.

use super::access::{Access, Keys};
use super::answer::{self, Answer, Complaint, closing};
use super::batch::{Batch, Needs};
use super::body::{self, Pieces};
use super::budget::{Budget, Held};
use super::charset::Charset;
use super::cloud_events::{self, Mode};
use super::content_kind::ContentKind;
use super::document;
use super::handover::{Handover, Request};
use super::request_ids::RequestIds;
use crate::http::{Activity, Hosts, Peer, is_cross_origin, is_cross_site};
use crate::otlp::Spans;
use crate::sources::documents::Document;
use crate::sources::inputs::{Inputs, NamedInput};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::http::Extensions;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use webhook_event::{Encoding, Schema};

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

/// A body that cannot be used, and why.
type Returned = (Arc<[u8]>, Complaint);

fn empty() -> Complaint {
    let error = "the body is empty; send an event as JSON";
    Complaint::new(StatusCode::BAD_REQUEST, error)
}

/// The client of a request.
fn peer_of(extensions: &Extensions) -> Peer {
    extensions.get().copied().unwrap_or(Peer::Unknown)
}

/// Accepts events over HTTP.
pub(super) struct Ingest {
    pub(super) handover: Handover,
    pub(super) inputs: Inputs,
    pub(super) access: Arc<Access>,
    pub(super) max_body: usize,
    /// Bytes of a body of several events that is read whole, at most: with copies of its events and
    /// its response it must fit into the budget.
    pub(super) max_whole: usize,
    pub(super) body_timeout: Duration,
    /// Whether a body that is not UTF-8 is ISO-8859-1.
    pub(super) latin1: bool,
    /// Records spans of requests.
    pub(super) spans: Option<Spans>,
}

impl Ingest {
    pub(super) async fn answer(
        &self,
        request: hyper::Request<Incoming>,
        hosts: Option<&Hosts>,
    ) -> Answer {
        let peer = peer_of(request.extensions());
        let activity = request.extensions().get::<Arc<Activity>>();
        let activity = Arc::clone(activity.expect("the server adds it to each request"));
        let (head, body) = request.into_parts();
        let budget = self.handover.budget.clone();
        let mut pieces = Pieces::new(body, Arc::clone(&activity), budget, self.body_timeout);
        let input = self.input(head.uri.path());
        let answer = match (check_origin(&head, hosts), &input) {
            (Ok(()), Ok(input)) => self.handle(input, &head, &mut pieces).await,
            (Err(complaint), _) => Err(complaint),
            (Ok(()), Err(why)) => Err(Complaint::new(StatusCode::NOT_FOUND, why)),
        };
        let answer = answer.unwrap_or_else(|complaint| {
            // A probe of an unknown path is no input.
            if complaint.status != StatusCode::NOT_FOUND || head.method == Method::POST {
                let Complaint { status, error, .. } = &complaint;
                let (why, input) = (format!("{status}: {error}"), input.as_ref().ok());
                self.handover.note(&why, input, peer);
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

    /// The input of a path: `/events/NAME`, or any below it.
    ///
    /// # Errors
    /// There is no such input. The error says where events are sent.
    fn input(&self, path: &str) -> Result<NamedInput, String> {
        let below = path.strip_prefix("/events/");
        let name = match path {
            "/" | "/events" => "",
            _ => below
                .and_then(|below| below.split('/').next())
                .unwrap_or("/"),
        };
        // No input has an empty name or a slash in it.
        let name = if below.is_some() && name.is_empty() {
            "/"
        } else {
            name
        };
        self.inputs.find(name).map_err(|_| {
            let error = "events are sent to / or /events".to_owned();
            let names = self.inputs.names().into_iter();
            let paths: Vec<String> = names.map(|name| format!("/events/{name}")).collect();
            match paths.is_empty() {
                true => error,
                false => format!("{error}, those of other inputs: {}", paths.join(", ")),
            }
        })
    }

    async fn handle(
        &self,
        input: &NamedInput,
        head: &Parts,
        pieces: &mut Pieces,
    ) -> Result<Answer, Complaint> {
        if head.method == Method::OPTIONS
            && input.has_cloud_events()
            && let Some(answer) = cloud_events::permission(&head.headers)
        {
            return Ok(answer);
        }
        if head.method != Method::POST {
            return Ok(answer::method_not_allowed());
        }
        let keys = self.access.keys();
        if let Err(answer) = keys.check_head(&head.headers) {
            return Ok(*answer);
        }
        let mut ids = RequestIds::of(&head.headers, keys.needs_signature())?;
        let span = self.spans.as_ref().map(|spans| ids.begin(spans));
        let answer = self.accept((input, &ids), head, pieces, &keys).await;
        if let Some(span) = span {
            let status = match &answer {
                Ok(answer) => answer.status(),
                Err(complaint) => complaint.status,
            };
            span.end(head.uri.path(), &input.name, status.as_u16());
        }
        answer
    }

    /// Accepts the events of a request whose sender may send.
    async fn accept(
        &self,
        (input, ids): (&NamedInput, &RequestIds),
        head: &Parts,
        pieces: &mut Pieces,
        keys: &Keys,
    ) -> Result<Answer, Complaint> {
        let peer = peer_of(&head.extensions);
        let request = Request { input, ids, peer };
        let charset = Charset::of(&head.headers, self.latin1)?;
        let any_type = !input.schema().is_aurora() || input.keeps_unknown();
        // In binary mode the Content-Type is that of the data.
        let is_binary =
            input.has_cloud_events() && matches!(Mode::of(&head.headers), Ok(Mode::Binary));
        // Boxed, since a large state would be moved with each single event of Aurora's.
        match ContentKind::of(&head.headers, any_type)? {
            ContentKind::Event if input.takes_auroras_documents() => {
                self.event(request, head, pieces, keys, charset).await
            }
            ContentKind::Lines if !is_binary => {
                Box::pin(self.lines(request, head, pieces, keys, charset)).await
            }
            _ => Box::pin(self.document(request, head, pieces, keys, charset)).await,
        }
    }

    /// A body that is one event of Aurora's.
    async fn event(
        &self,
        request: Request<'_>,
        head: &Parts,
        pieces: &mut Pieces,
        keys: &Keys,
        charset: Charset,
    ) -> Result<Answer, Complaint> {
        pieces.allow(self.handover.max_event_bytes)?;
        let mut held = Held::default();
        let needed = charset.longest(pieces.longest());
        let event = self.read_whole(pieces, &mut held, needed).await?;
        if let Err(answer) = keys.check_body(&head.headers, &event) {
            return Ok(*answer);
        }
        let (event, transcoded) = charset.decode(event);
        held.keep(event.len());
        if event.trim_ascii().is_empty() {
            return Err(empty());
        }
        let answer = self.one_event(request, event, held).await?;
        Ok(answer::transcoded(answer, transcoded))
    }

    /// A body that is one document, with any number of events.
    async fn document(
        &self,
        request: Request<'_>,
        head: &Parts,
        pieces: &mut Pieces,
        keys: &Keys,
        charset: Charset,
    ) -> Result<Answer, Complaint> {
        let (input, headers) = (request.input, &head.headers);
        let schema = input.schema();
        let mode = match input.has_cloud_events() {
            true => Mode::of(headers)?,
            false => Mode::Structured,
        };
        // The events of a longer document may be short enough.
        let most = match input.may_split() || schema.omits() {
            true => self.max_body.min(self.max_whole),
            false => self.handover.max_event_bytes,
        };
        match input.keeps_unknown() {
            true => pieces.allow_beginning(most),
            false => pieces.allow(most)?,
        }
        let needs = self.needs(input, mode, charset, pieces.longest());
        let mut held = Held::default();
        let body = self
            .read_whole(pieces, &mut held, needs.0 + needs.1)
            .await?;
        if let Some(more) = pieces.discarded() {
            if keys.needs_signature() {
                return Err(body::too_long(most));
            }
            let why = match input.may_split() || schema.omits() {
                true => body::too_long(most).error,
                false => self.handover.event_too_long().why,
            };
            let length = Some((body.len() + more) as u64);
            return self.keep(request, &why, (body, length), held).await;
        }
        if let Err(answer) = keys.check_body(headers, &body) {
            return Ok(*answer);
        }
        let window = held.split(needs.1);
        let (document, transcoded) = match self.read(schema, mode, headers, charset, body) {
            Ok(read) => read,
            Err((body, why)) if input.keeps_unknown() => {
                let length = Some(body.len() as u64);
                return self.keep(request, &why.error, (body, length), held).await;
            }
            Err((_, why)) => return Err(why),
        };
        let answer = if document.several().is_some() {
            let window = (window.bytes() > 0).then(|| Budget::within(window));
            document::submit_all(&self.handover, request, &document, window).await?
        } else {
            let event = document.event(0);
            drop(document);
            held.keep(event.len());
            self.one_event(request, event, held).await?
        };
        Ok(answer::transcoded(answer, transcoded))
    }

    /// The memory for a document of up to `longest` bytes, and that for copies of its events.
    fn needs(
        &self,
        input: &NamedInput,
        mode: Mode,
        charset: Charset,
        longest: usize,
    ) -> (usize, usize) {
        if longest <= SMALL {
            return (longest, 0);
        }
        let forms = match (mode, input.schema().encoding()) {
            // Each byte that is not UTF-8 becomes three.
            (_, Encoding::Replace) => 4,
            (Mode::Binary, _) => 3,
            _ => 1,
        };
        let body = charset.longest(longest).saturating_mul(forms);
        let body = body.min(self.handover.budget.bytes());
        let copies = match input.may_split() {
            true => (2 * self.handover.max_event_bytes).min(longest),
            false => 0,
        };
        (body, copies.min(self.handover.budget.bytes() - body))
    }

    /// The document in a body, in UTF-8, and whether it was transcoded.
    fn read(
        &self,
        schema: &Schema,
        mode: Mode,
        headers: &HeaderMap,
        charset: Charset,
        body: Arc<[u8]>,
    ) -> Result<(Document, bool), Returned> {
        let (body, transcoded) = match mode {
            Mode::Binary => match cloud_events::structured(headers, charset, &body) {
                Ok(document) => (Arc::from(document), false),
                Err(why) => return Err((body, why)),
            },
            _ => charset.decode(body),
        };
        if body.trim_ascii().is_empty() {
            return Err((body, empty()));
        }
        let document = Document::read(schema, body);
        let document = document.map_err(|(body, why)| (body, Complaint::from(why)))?;
        Ok((document, transcoded))
    }

    /// Keeps a body as a reject.
    async fn keep(
        &self,
        request: Request<'_>,
        why: &str,
        body: (Arc<[u8]>, Option<u64>),
        held: Held,
    ) -> Result<Answer, Complaint> {
        let pending = self
            .handover
            .keep(request, why, body, Arc::new(held))
            .await?;
        let settled = self.handover.committed(request, pending).await?;
        Ok(answer::settled(&settled))
    }

    async fn lines(
        &self,
        request: Request<'_>,
        head: &Parts,
        pieces: &mut Pieces,
        keys: &Keys,
        charset: Charset,
    ) -> Result<Answer, Complaint> {
        // A signed body is read whole before its lines are copied.
        let most = match keys.needs_signature() {
            true => self.max_body.min(self.max_whole),
            false => self.max_body,
        };
        pieces.allow(most)?;
        let longest = pieces.longest();
        let whole = match keys.needs_signature() {
            true => longest,
            false => 0,
        };
        // A line, and the events that are copied out of it.
        let copies = 1 + usize::from(request.input.may_split());
        let needs = Needs::of(&self.handover, longest, whole, (charset, copies));
        let mut held = Held::default();
        self.reserve(pieces, &mut held, needs.bytes()).await?;
        let memory = needs.share(&mut held);
        let mut batch = Batch::new(&self.handover, request, memory, charset);
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
        request: Request<'_>,
        event: Arc<[u8]>,
        held: Held,
    ) -> Result<Answer, Complaint> {
        let pending = self
            .handover
            .submit(request, event, Arc::new(held), None)
            .await?;
        let settled = self.handover.committed(request, pending).await?;
        Ok(answer::settled(&settled))
    }

    /// Reads a body to its end. If it is long, the `needed` memory is held.
    async fn read_whole(
        &self,
        pieces: &mut Pieces,
        held: &mut Held,
        needed: usize,
    ) -> Result<Arc<[u8]>, Complaint> {
        let longest = pieces.longest();
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
