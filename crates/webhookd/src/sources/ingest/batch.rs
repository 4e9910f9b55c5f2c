//! Several events in one body, one per line.

use super::answer::{Answer, Complaint, is_passing, json_held};
use super::batch_answer::{Answered, AnsweredStop, Done};
use super::body::Pieces;
use super::budget::{Budget, Held};
use super::charset::Charset;
use super::handover::{Handover, Pending, Request, Submitted};
use super::request_ids::LineId;
use crate::sources::documents::{Document, NotUnderstood};
use crate::sources::splitter::{Line, Splitter};
use hyper::StatusCode;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Lines of one body, at most.
const MOST_LINES: usize = 100_000;
/// Refused lines after which the rest of a body is not read.
const MOST_REFUSED: usize = 1_000;
/// Bytes that the response takes for each line.
const ANSWER_BYTES: usize = 192;
/// Bytes of a line, as far as memory for the response is reserved. For shorter ones it must be found
/// later.
const LINE_BYTES: usize = 256;
/// How long a batch waits for memory beyond its reservation.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a piece of a body, and more.
const PIECE_BYTES: usize = 64 << 10;

/// The lines of a body so far, and their results.
pub(super) struct Batch<'a> {
    handover: &'a Handover,
    request: Request<'a>,
    done: Vec<Done>,
    /// Lines after those in `done`, in their order.
    waiting: VecDeque<(u64, State)>,
    charset: Charset,
    /// Whether a line was transcoded.
    transcoded: bool,
    /// Memory for lines that are incomplete or not committed.
    window: Budget,
    /// Memory for the response.
    held: Held,
    refused: usize,
    stopped: Option<Stopped>,
}

/// The state of a line that is not in `done` yet.
enum State {
    Pending(Pending),
    Refused(Complaint),
}

/// Why reading has stopped, and at which line.
struct Stopped {
    line: u64,
    why: Complaint,
}

/// The memory that a body of lines needs. All of it is reserved before the body is read.
pub(super) struct Needs {
    /// For the whole body, if it must be read before its lines are used.
    whole: usize,
    window: usize,
    answers: usize,
}

impl Needs {
    /// For a body of up to `longest` bytes, of which `whole` are read before its lines are used. Of
    /// each line, `copies` are in memory until it is submitted.
    pub(super) fn of(
        handover: &Handover,
        longest: usize,
        whole: usize,
        (charset, copies): (Charset, usize),
    ) -> Needs {
        let all = handover.budget.bytes();
        let event = handover.max_event_bytes * copies;
        let whole = whole.min(all);
        let lines = (longest / LINE_BYTES + 64).min(MOST_LINES);
        let answers = (lines * ANSWER_BYTES).min((all - whole) / 8);
        let lines = charset.longest(longest).max(1) * copies;
        let window = (event + PIECE_BYTES.max(event / 2)).min(lines);
        Needs {
            whole,
            window: window.min(all - whole - answers),
            answers,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.whole + self.window + self.answers
    }

    /// Takes the memory for lines and that for their answers from what is held.
    pub(super) fn share(&self, held: &mut Held) -> (Budget, Held) {
        let window = held.split(self.window);
        (Budget::within(window), held.split(self.answers))
    }
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        handover: &'a Handover,
        request: Request<'a>,
        (window, held): (Budget, Held),
        charset: Charset,
    ) -> Batch<'a> {
        Batch {
            handover,
            request,
            done: Vec::new(),
            waiting: VecDeque::new(),
            charset,
            transcoded: false,
            window,
            held,
            refused: 0,
            stopped: None,
        }
    }

    /// Submits each line as soon as it has arrived.
    pub(super) async fn take(&mut self, pieces: &mut Pieces) {
        let mut splitter = Splitter::new(self.handover.max_event_bytes);
        // For the line that is not complete yet.
        let mut partial = Held::default();
        while self.stopped.is_none() {
            let piece = match pieces.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    if let Some(line) = splitter.last() {
                        self.line(line, &mut partial).await;
                    }
                    break;
                }
                Err(why) => {
                    self.stop(splitter.number(), why);
                    break;
                }
            };
            // The lines before it release memory when they are committed.
            let patience = self.handover.sync_timeout;
            let room = self.window.add(&mut partial, piece.len(), patience).await;
            if room.is_err() {
                self.stop(splitter.number(), Complaint::busy());
                break;
            }
            let before = splitter.number();
            self.lines(&piece, &mut splitter, &mut partial).await;
            partial.keep(splitter.kept());
            if splitter.number() != before {
                pieces.begin_event();
            }
        }
    }

    /// Submits the lines of a body that was read whole.
    pub(super) async fn take_whole(&mut self, body: &[u8]) {
        let mut splitter = Splitter::new(self.handover.max_event_bytes);
        // The memory for the whole body is held already; that for copies of lines is taken for each.
        let mut none = Held::default();
        self.lines(body, &mut splitter, &mut none).await;
        if self.stopped.is_none()
            && let Some(line) = splitter.last()
        {
            self.line(line, &mut none).await;
        }
    }

    /// Submits the lines that end in `piece`.
    async fn lines(&mut self, piece: &[u8], splitter: &mut Splitter, partial: &mut Held) {
        let mut rest = piece;
        while let Some(line) = splitter.next(&mut rest) {
            self.line(line, partial).await;
            if self.stopped.is_some() {
                return;
            }
        }
    }

    async fn line(&mut self, line: Line<'_>, partial: &mut Held) {
        let (Line::Text(number, _) | Line::TooLong(number, _)) = line;
        if !self.has_room_for(number).await {
            return;
        }
        match line {
            Line::TooLong(_, beginning) => {
                self.too_long(number, (Arc::from(beginning), None)).await;
            }
            Line::Text(_, text) => {
                let mut held = partial.split(text.len());
                let (text, transcoded) = self.charset.decode(Arc::from(text));
                self.transcoded |= transcoded;
                if text.len() > self.handover.max_event_bytes {
                    let length = Some(text.len() as u64);
                    self.too_long(number, (text, length)).await;
                } else {
                    let more = text.len() - held.bytes();
                    let patience = self.handover.sync_timeout;
                    if more > 0 && self.window.add(&mut held, more, patience).await.is_err() {
                        return self.stop(number, Complaint::busy());
                    }
                    self.document(number, text, held).await;
                }
            }
        }
        if self.refused >= MOST_REFUSED && self.stopped.is_none() {
            let why = format!("{MOST_REFUSED} lines were refused; the rest was not read");
            self.stop(number + 1, Complaint::new(StatusCode::BAD_REQUEST, why));
        }
    }

    /// Refuses a line that is too long, or keeps it as a reject.
    async fn too_long(&mut self, number: u64, body: (Arc<[u8]>, Option<u64>)) {
        let why = self.handover.event_too_long();
        match self.request.input.keeps_unknown() {
            true => self.keep(number, &why, body).await,
            false => self.refuse(number, why.into()),
        }
    }

    /// Whether one more event may be submitted; else it stops before this line.
    async fn has_room_for(&mut self, number: u64) -> bool {
        if self.done.len() + self.waiting.len() >= MOST_LINES {
            let why = format!("a body may have {MOST_LINES} lines; send the rest in another");
            self.stop(number, Complaint::new(StatusCode::PAYLOAD_TOO_LARGE, why));
            return false;
        }
        if !self.has_room_to_answer().await {
            self.stop(number, Complaint::busy());
            return false;
        }
        true
    }

    /// Submits the events of a line.
    async fn document(&mut self, number: u64, text: Arc<[u8]>, held: Held) {
        let schema = self.request.input.schema();
        let document = match Document::read(schema, text) {
            Ok(document) => document,
            Err((bytes, why)) => {
                if !self.request.input.keeps_unknown() {
                    return self.refuse(number, why.into());
                }
                let length = Some(bytes.len() as u64);
                return self.keep(number, &why, (bytes, length)).await;
            }
        };
        if document.several().is_none() {
            let held = Arc::new(held);
            return self.event((number, None), document.event(0), held).await;
        }
        // The memory for the line is held until its last event is submitted.
        for element in 0..document.len() {
            if self.stopped.is_some() || !self.has_room_for(number).await {
                return;
            }
            let (mut copy, bytes) = (Held::default(), document.bytes(element).len());
            let patience = self.handover.sync_timeout;
            if self.window.add(&mut copy, bytes, patience).await.is_err() {
                return self.stop(number, Complaint::busy());
            }
            let event = document.event(element);
            self.event((number, Some(element)), event, Arc::new(copy))
                .await;
        }
    }

    /// Keeps a line as a reject.
    async fn keep(&mut self, number: u64, why: &NotUnderstood, body: (Arc<[u8]>, Option<u64>)) {
        let handover = self.handover;
        let kept = handover
            .keep(self.request, &why.why, body, Arc::default())
            .await;
        match kept {
            Ok(pending) => self.waiting.push_back((number, State::Pending(pending))),
            Err(why) => self.stop(number, why),
        }
    }

    /// Whether there is memory for the answer about one more line.
    async fn has_room_to_answer(&mut self) -> bool {
        let needed = (self.done.len() + self.waiting.len() + 1) * ANSWER_BYTES;
        let Some(more) = needed
            .checked_sub(self.held.bytes())
            .filter(|more| *more > 0)
        else {
            return true;
        };
        let budget = &self.handover.budget;
        budget.add(&mut self.held, more, PATIENCE).await.is_ok()
    }

    /// Submits one event. While there is no room, it waits for those before it.
    async fn event(
        &mut self,
        (number, element): (u64, Option<usize>),
        mut event: Arc<[u8]>,
        mut held: Arc<Held>,
    ) {
        let line = Some(LineId {
            number,
            element,
            place: self.done.len() + self.waiting.len(),
        });
        loop {
            match self.handover.try_submit(self.request, event, held, line) {
                Submitted::Pending(pending) => {
                    return self.waiting.push_back((number, State::Pending(pending)));
                }
                Submitted::Refused(why) => return self.refuse(number, why),
                Submitted::Full(back) => (event, held) = (back.event, back.held),
            }
            if let Some(why) = self.to_be_sent_again() {
                // Lines submitted before may be accepted although this one waits for the sender to
                // repeat it; lines after it are not submitted.
                return self.stop(number, why);
            }
            if !self.await_first().await {
                match self.handover.submit(self.request, event, held, line).await {
                    Ok(pending) => self.waiting.push_back((number, State::Pending(pending))),
                    // Later lines must not overtake it.
                    Err(why) => self.stop(number, why),
                }
                return;
            }
        }
    }

    fn refuse(&mut self, line: u64, why: Complaint) {
        self.refused += 1;
        self.note(line, &why);
        self.waiting.push_back((line, State::Refused(why)));
    }

    fn note(&self, line: u64, why: &Complaint) {
        let text = format!("line {line}: {}", why.error);
        let Request { input, peer, .. } = self.request;
        self.handover.note(&text, Some(input), peer);
    }

    /// Waits for the result of the first line in `waiting`. Returns false if there is none.
    async fn await_first(&mut self) -> bool {
        let Some((line, state)) = self.waiting.pop_front() else {
            return false;
        };
        let result = match state {
            State::Refused(why) => Err(why),
            State::Pending(pending) => {
                let result = self.handover.committed(self.request, pending).await;
                if let Err(why) = &result {
                    self.refused += 1;
                    if !why.may_retry() {
                        self.note(line, why);
                    }
                }
                result
            }
        };
        self.done.push(Done { line, result });
        true
    }

    /// If the last result is a refusal for now, the error for the lines after it.
    fn to_be_sent_again(&self) -> Option<Complaint> {
        let last = self.done.last()?;
        let refused = last.result.as_ref().err()?;
        let why = format!("line {} must be sent again first", last.line);
        refused
            .may_retry()
            .then(|| Complaint::new(refused.status, why))
    }

    fn stop(&mut self, line: u64, why: Complaint) {
        self.stopped = Some(Stopped { line, why });
    }

    /// Waits for the results of all lines, and responds.
    pub(super) async fn finish(mut self) -> Answer {
        while self.await_first().await {}
        if let Some(Stopped { line, why }) = &self.stopped {
            self.note(*line, why);
        }
        let held = std::mem::take(&mut self.held);
        let answer = json_held(self.status(), &self.answered(), held);
        super::answer::transcoded(answer, self.transcoded)
    }

    /// 2xx only if no line must be sent again.
    fn status(&self) -> StatusCode {
        if let Some(stopped) = &self.stopped {
            return stopped.why.status;
        }
        let refused = self
            .done
            .iter()
            .filter_map(|done| done.result.as_ref().err());
        let statuses = refused.map(|complaint| complaint.status);
        let Some(worst) = statuses.max_by_key(|status| (is_passing(*status), *status)) else {
            return StatusCode::OK;
        };
        if is_passing(worst) || self.refused == self.done.len() {
            worst
        } else {
            StatusCode::MULTI_STATUS
        }
    }

    fn answered(&self) -> Answered<'_> {
        Answered {
            accepted: self.done.len() - self.refused,
            refused: self.refused,
            lines: self.done.iter().map(Done::answered).collect(),
            stopped: self.stopped.as_ref().map(|stopped| AnsweredStop {
                line: stopped.line,
                error: &stopped.why.error,
            }),
        }
    }
}
