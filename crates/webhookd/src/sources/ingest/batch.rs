//! Several events in one body, a line each.

use super::Ingest;
use super::answer::{Answer, Complaint, is_false, is_passing, json_held};
use super::body::Pieces;
use super::budget::Held;
use super::given::Given;
use super::handover::{Pending, Tried};
use crate::sources::splitter::{Line, Splitter};
use hyper::StatusCode;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use webhook_dispatch::{Receipt, webhook_id};

/// Lines of one body that are looked at.
const MOST_LINES: usize = 100_000;
/// Refused lines after which the rest of a body is not looked at: it will be more of the same.
const MOST_REFUSED: usize = 1_000;
/// Bytes that the answer to a line takes.
const ANSWER_BYTES: usize = 192;
/// Characters of an error that are told.
const MOST_CHARS: usize = 300;

/// What came of the lines so far.
pub(super) struct Batch<'a> {
    ingest: &'a Ingest,
    given: &'a Given,
    told: Vec<Told>,
    /// Lines that are not told yet, since one before them is awaited.
    waiting: VecDeque<(u64, Fate)>,
    /// Memory for what is told.
    held: Held,
    refused: usize,
    stopped: Option<Stopped>,
}

/// What becomes of a line.
enum Fate {
    Awaited(Pending),
    Known(Complaint),
}

/// What came of a line.
struct Told {
    line: u64,
    result: Result<Receipt, Complaint>,
}

/// Why, and before which line, reading has stopped.
struct Stopped {
    line: u64,
    why: Complaint,
}

#[derive(Serialize)]
struct Answered<'a> {
    accepted: usize,
    refused: usize,
    lines: Vec<AnsweredLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<AnsweredStop<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum AnsweredLine<'a> {
    Accepted {
        line: u64,
        id: String,
        targets: usize,
        reliable: usize,
        #[serde(skip_serializing_if = "is_false")]
        duplicate: bool,
    },
    Refused {
        line: u64,
        status: u16,
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        byte: Option<usize>,
        retry: bool,
    },
}

/// From this line on nothing was looked at.
#[derive(Serialize)]
struct AnsweredStop<'a> {
    line: u64,
    error: &'a str,
}

impl<'a> Batch<'a> {
    pub(super) fn new(ingest: &'a Ingest, given: &'a Given) -> Batch<'a> {
        Batch {
            ingest,
            given,
            told: Vec::new(),
            waiting: VecDeque::new(),
            held: Held::default(),
            refused: 0,
            stopped: None,
        }
    }

    /// Hands over each line as soon as it has come.
    pub(super) async fn take(&mut self, pieces: &mut Pieces) {
        let mut splitter = Splitter::new(self.ingest.max_event_bytes);
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
            if self
                .ingest
                .budget
                .add(&mut partial, piece.len())
                .await
                .is_err()
            {
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

    /// Hands over the lines of a body that was read already.
    pub(super) async fn take_whole(&mut self, body: &[u8]) {
        let mut splitter = Splitter::new(self.ingest.max_event_bytes);
        // The memory of all of it is held.
        let mut none = Held::default();
        self.lines(body, &mut splitter, &mut none).await;
        if self.stopped.is_none()
            && let Some(line) = splitter.last()
        {
            self.line(line, &mut none).await;
        }
    }

    /// Hands over the lines that end in `piece`.
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
        let number = match line {
            Line::Text(number, _) | Line::TooLong(number) => number,
        };
        if self.told.len() + self.waiting.len() >= MOST_LINES {
            let why = format!("a body may have {MOST_LINES} lines; send the rest in another");
            return self.stop(number, Complaint::new(StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        let room = self.ingest.budget.add(&mut self.held, ANSWER_BYTES).await;
        if room.is_err() {
            return self.stop(number, Complaint::busy());
        }
        match line {
            Line::TooLong(_) => {
                let why = self.ingest.event_too_long();
                self.refuse(number, why);
            }
            Line::Text(_, text) => {
                let held = Arc::new(partial.split(text.len()));
                self.event(number, Arc::from(text), held).await;
            }
        }
        if self.refused >= MOST_REFUSED && self.stopped.is_none() {
            let why = format!("{MOST_REFUSED} lines were refused; the rest was not looked at");
            self.stop(number + 1, Complaint::new(StatusCode::BAD_REQUEST, why));
        }
    }

    /// Hands over one event. While there is no room, those before it are waited for.
    async fn event(&mut self, number: u64, mut event: Arc<[u8]>, mut held: Arc<Held>) {
        loop {
            match self
                .ingest
                .handover
                .try_once(event, held, self.given, Some(number))
            {
                Tried::Pending(pending) => {
                    return self.waiting.push_back((number, Fate::Awaited(pending)));
                }
                Tried::Refused(why) => return self.refuse(number, why),
                Tried::Full(back) => (event, held) = (back.event, back.held),
            }
            if let Some(why) = self.to_be_sent_again() {
                // What was handed over with it may pass it; nothing that follows does.
                return self.stop(number, why);
            }
            if !self.await_first().await {
                match self
                    .ingest
                    .handover
                    .hand_over(event, held, self.given, Some(number))
                    .await
                {
                    Ok(pending) => self.waiting.push_back((number, Fate::Awaited(pending))),
                    // What follows must not overtake it.
                    Err(why) => self.stop(number, why),
                }
                return;
            }
        }
    }

    fn refuse(&mut self, line: u64, why: Complaint) {
        self.refused += 1;
        self.ingest.note(&format!("line {line}: {}", why.error));
        self.waiting.push_back((line, Fate::Known(why)));
    }

    /// Waits for the fate of the first line that is not told yet; false if there is none.
    async fn await_first(&mut self) -> bool {
        let Some((line, fate)) = self.waiting.pop_front() else {
            return false;
        };
        let result = match fate {
            Fate::Known(why) => Err(why),
            Fate::Awaited(pending) => {
                let result = pending.fate().await;
                self.refused += usize::from(result.is_err());
                result
            }
        };
        self.told.push(Told { line, result });
        true
    }

    /// Whether the last line that is told is to be sent again, and why what follows is not taken.
    fn to_be_sent_again(&self) -> Option<Complaint> {
        let last = self.told.last()?;
        let refused = last.result.as_ref().err()?;
        let why = format!("line {} is to be sent again, and this after it", last.line);
        refused
            .may_retry()
            .then(|| Complaint::new(refused.status, why))
    }

    fn stop(&mut self, line: u64, why: Complaint) {
        self.stopped = Some(Stopped { line, why });
    }

    /// Waits for all that was handed over, and tells of it.
    pub(super) async fn finish(mut self) -> Answer {
        while self.await_first().await {}
        let held = std::mem::take(&mut self.held);
        json_held(self.status(), &self.answered(), held)
    }

    /// 2xx only if nothing of the body is to be sent again.
    fn status(&self) -> StatusCode {
        if let Some(stopped) = &self.stopped {
            return stopped.why.status;
        }
        let refused = self
            .told
            .iter()
            .filter_map(|told| told.result.as_ref().err());
        let statuses = refused.map(|complaint| complaint.status);
        let Some(worst) = statuses.max_by_key(|status| (is_passing(*status), *status)) else {
            return StatusCode::OK;
        };
        if is_passing(worst) || self.refused == self.told.len() {
            worst
        } else {
            StatusCode::MULTI_STATUS
        }
    }

    fn answered(&self) -> Answered<'_> {
        Answered {
            accepted: self.told.len() - self.refused,
            refused: self.refused,
            lines: self.told.iter().map(Told::answered).collect(),
            stopped: self.stopped.as_ref().map(|stopped| AnsweredStop {
                line: stopped.line,
                error: &stopped.why.error,
            }),
        }
    }
}

impl Told {
    fn answered(&self) -> AnsweredLine<'_> {
        match &self.result {
            Ok(receipt) => AnsweredLine::Accepted {
                line: self.line,
                id: webhook_id(receipt.id),
                targets: receipt.targets,
                reliable: receipt.reliable,
                duplicate: receipt.duplicate,
            },
            Err(why) => AnsweredLine::Refused {
                line: self.line,
                status: why.status.as_u16(),
                error: beginning(&why.error),
                byte: why.byte,
                retry: why.may_retry(),
            },
        }
    }
}

fn beginning(text: &str) -> &str {
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
