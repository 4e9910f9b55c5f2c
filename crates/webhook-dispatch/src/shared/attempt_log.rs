//! The last attempts of a target, in bounded memory.
//!
//! The target's worker adds an attempt in constant time, without an allocation once the log is as
//! large as it becomes. Its figures are in one ring, and its texts, one after the other, in another.

#[cfg(test)]
mod tests;

use crate::shared::attempt_record::AttemptRecord;
use crate::shared::batch_id::BatchId;
use crate::shared::outcome::Outcome;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use webhook_queue::EventId;

/// Attempts that the log of a target keeps, at most.
pub const ATTEMPTS_KEPT: usize = 1_000;
/// Bytes of texts that the log of a target keeps, at most: enough for 1,000 attempts, unless most of
/// them failed with long answers.
const TEXT_BYTES: usize = 1 << 20;
const KEY_KEPT: usize = AttemptFilter::KEY_KEPT;
/// Bytes of the event's attributes that are kept: longer ones are left out.
const SUMMARY_KEPT: usize = 1024;
/// Bytes of an error or a response that are kept. Both were cut before; a byte that was not UTF-8
/// takes three.
const TEXT_KEPT: usize = 3 * 1024 + 16;

/// The last attempts of a target.
#[derive(Debug)]
pub(crate) struct AttemptLog(Mutex<Ring>);

/// Which attempts of a target to show.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AttemptFilter {
    /// Those at the events of this key; all if `None`.
    pub key: Option<Vec<u8>>,
    /// Those of these outcomes; all if empty.
    pub outcomes: Vec<Outcome>,
    /// Those before the attempt of this number; all if `None`.
    pub before: Option<u64>,
}

impl AttemptFilter {
    /// Bytes of a key that the log keeps.
    pub const KEY_KEPT: usize = 1024;
}

/// Some attempts of a target, the newest first.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AttemptPage {
    /// The attempts.
    pub attempts: Vec<AttemptRecord<'static>>,
    /// Whether the log has older ones that match.
    pub more: bool,
}

/// The figures of an attempt, and the lengths of its texts.
#[derive(Clone, Copy, Debug)]
struct Figures {
    started_at: u64,
    id: EventId,
    took_micros: u32,
    bytes: u32,
    key_bytes: u32,
    attempt: u32,
    /// Of key, summary, error, response and batch.
    lengths: [u16; 5],
    /// 0 without an answer.
    status: u16,
    outcome: Outcome,
}

impl Figures {
    fn text_bytes(&self) -> usize {
        self.lengths.iter().map(|length| usize::from(*length)).sum()
    }
}

#[derive(Debug)]
struct Ring {
    most: usize,
    most_bytes: usize,
    /// The number of the last attempt.
    last: u64,
    figures: VecDeque<Figures>,
    texts: VecDeque<u8>,
}

impl AttemptLog {
    pub(crate) fn new() -> AttemptLog {
        AttemptLog::bounded(ATTEMPTS_KEPT, TEXT_BYTES)
    }

    /// A log of this many attempts, and bytes of texts.
    fn bounded(most: usize, most_bytes: usize) -> AttemptLog {
        AttemptLog(Mutex::new(Ring {
            most,
            most_bytes,
            last: 0,
            figures: VecDeque::new(),
            texts: VecDeque::new(),
        }))
    }

    /// Adds an attempt, and returns its number. Only readers hold the lock besides, while they copy
    /// a page.
    pub(crate) fn add(&self, attempt: &AttemptRecord<'_>) -> u64 {
        self.lock().add(attempt)
    }

    /// Up to `limit` attempts that match, the newest first.
    pub(crate) fn page(&self, filter: &AttemptFilter, limit: usize) -> AttemptPage {
        self.lock().page(filter, limit)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn add(&mut self, attempt: &AttemptRecord<'_>) -> u64 {
        self.last += 1;
        let batch = attempt.batch.map(encode_batch);
        let texts = [
            &attempt.key[..attempt.key.len().min(KEY_KEPT)],
            Some(&*attempt.summary)
                .filter(|summary| summary.len() <= SUMMARY_KEPT)
                .unwrap_or_default(),
            cut(&attempt.error),
            cut(&attempt.response),
            batch.as_ref().map_or(&[][..], |batch| &batch[..]),
        ];
        let figures = Figures {
            started_at: attempt.started_at,
            id: attempt.id,
            took_micros: u32::try_from(attempt.took.as_micros()).unwrap_or(u32::MAX),
            bytes: u32::try_from(attempt.bytes).unwrap_or(u32::MAX),
            key_bytes: u32::try_from(attempt.key_bytes).unwrap_or(u32::MAX),
            attempt: attempt.attempt,
            lengths: texts.map(|text| u16::try_from(text.len()).unwrap_or(u16::MAX)),
            status: attempt.status.unwrap_or(0),
            outcome: attempt.outcome,
        };
        let added = figures.text_bytes();
        while self.figures.len() == self.most || self.texts.len() + added > self.most_bytes {
            let Some(oldest) = self.figures.pop_front() else {
                // Longer than all of the log.
                return self.last;
            };
            self.texts.drain(..oldest.text_bytes());
        }
        self.reserve(added);
        for text in texts {
            self.texts.extend(text);
        }
        self.figures.push_back(figures);
        self.last
    }

    /// Makes room for texts: twice as much as before, but no more than the log may have.
    fn reserve(&mut self, added: usize) {
        let needed = self.texts.len() + added;
        let capacity = self.texts.capacity();
        if needed > capacity {
            let wanted = (2 * capacity).max(needed).min(self.most_bytes);
            self.texts.reserve_exact(wanted - self.texts.len());
        }
    }

    fn page(&self, filter: &AttemptFilter, limit: usize) -> AttemptPage {
        let mut page = AttemptPage::default();
        let mut end = self.texts.len();
        for (figures, back) in self.figures.iter().rev().zip(0..) {
            let begin = end - figures.text_bytes();
            let texts = begin..std::mem::replace(&mut end, begin);
            let number = self.last - back;
            let is_before = filter.before.is_none_or(|before| number < before);
            if !is_before || !self.matches(figures, begin, filter) {
                continue;
            }
            if page.attempts.len() == limit {
                page.more = true;
                break;
            }
            let texts: Vec<u8> = self.texts.range(texts).copied().collect();
            page.attempts.push(record(number, figures, &texts));
        }
        page
    }

    fn matches(&self, figures: &Figures, begin: usize, filter: &AttemptFilter) -> bool {
        let is_of_key = |key: &Vec<u8>| {
            let kept = usize::from(figures.lengths[0]);
            let whole = usize::try_from(figures.key_bytes).unwrap_or(usize::MAX);
            key.len() == whole && self.texts.range(begin..begin + kept).eq(&key[..kept])
        };
        (filter.outcomes.is_empty() || filter.outcomes.contains(&figures.outcome))
            && filter.key.as_ref().is_none_or(is_of_key)
    }
}

/// An attempt of the log.
fn record(number: u64, figures: &Figures, texts: &[u8]) -> AttemptRecord<'static> {
    let mut rest = texts;
    let mut next = |length: u16| {
        let (text, after) = rest.split_at(usize::from(length));
        rest = after;
        text.to_vec()
    };
    let [key, summary, error, response, batch] = figures.lengths.map(&mut next);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_default();
    AttemptRecord {
        number,
        started_at: figures.started_at,
        id: figures.id,
        key: Cow::Owned(key),
        key_bytes: usize::try_from(figures.key_bytes).unwrap_or(usize::MAX),
        summary: Cow::Owned(summary),
        attempt: figures.attempt,
        batch: decode_batch(&batch),
        outcome: figures.outcome,
        status: Some(figures.status).filter(|status| *status != 0),
        error: Cow::Owned(text(error)),
        took: Duration::from_micros(figures.took_micros.into()),
        bytes: usize::try_from(figures.bytes).unwrap_or(usize::MAX),
        response: Cow::Owned(text(response)),
    }
}

/// The id and the number of events of a batch.
fn encode_batch((BatchId(id), events): (BatchId, u32)) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&id);
    bytes[16..].copy_from_slice(&events.to_le_bytes());
    bytes
}

fn decode_batch(bytes: &[u8]) -> Option<(BatchId, u32)> {
    let (id, events) = bytes.split_first_chunk()?;
    Some((BatchId(*id), u32::from_le_bytes(events.try_into().ok()?)))
}

/// The beginning of a text that is kept.
fn cut(text: &str) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(TEXT_KEPT)]
}
