//! When the events of an attempt are retried, and which of them together.

use super::attempt::{Attempt, millis};
use super::lanes::{BatchTag, Lanes};
use crate::delivery::Verdict;
use crate::shared::Outcome;
use crate::shared::clock::Moment;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Failed attempts after which a batch is halved: the receiver may fail at one of its events.
const HALVED_AFTER: u32 = 3;

/// How events that failed together are retried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) wake: Instant,
    pub(super) wait: Duration,
    /// The time of the retry, epoch milliseconds.
    pub(super) not_before: u64,
    pub(super) batch: Option<BatchTag>,
}

impl Plan {
    /// A retry at `wake`; for a target with batches, under a tag that no other batch has.
    pub(super) fn new(wake: Instant, at: Moment, lanes: &mut Lanes, batches: bool) -> Plan {
        let wait = wake.saturating_duration_since(at.now);
        let not_before = at.epoch_ms().saturating_add(millis(wait));
        let batch = BatchTag::new(not_before).filter(|_| batches);
        let batch = batch.map(|tag| lanes.take_tag(tag, at.epoch_ms()));
        Plan {
            wake,
            wait,
            not_before: batch.map_or(not_before, BatchTag::get),
            batch,
        }
    }

    /// The same for the other half of a batch.
    pub(super) fn other_half(&self, at: Moment, lanes: &mut Lanes) -> Plan {
        let batch = self.batch.map(BatchTag::next);
        let batch = batch.map(|tag| lanes.take_tag(tag, at.epoch_ms()));
        Plan {
            not_before: batch.map_or(self.not_before, BatchTag::get),
            batch,
            ..*self
        }
    }
}

/// Whether a batch failed for what some of its events are, or for their number. Then it is halved, and
/// its halves again, until those events are alone: at once if the receiver refuses it (400, 413, 422,
/// 431), and from the third failure on, or the last answer that `most` attempts allow, if the receiver fails
/// to take it otherwise.
pub(super) fn is_spoilt(attempt: &Attempt, is_down: bool, most: Option<NonZeroU32>) -> bool {
    let result = &attempt.result;
    if attempt.batch.len() == 1 {
        return false;
    }
    match result.verdict {
        Verdict::Refused => return true,
        Verdict::Delivered | Verdict::Gone | Verdict::Unsendable => return false,
        Verdict::Failed => {}
    }
    if result.status == Some(431) {
        // The ids of the events are in the head.
        return true;
    }
    let may_be_spoilt = match result.outcome {
        // The receiver asks for a pause.
        _ if matches!(result.status, Some(408 | 429 | 503)) => false,
        Outcome::Connect | Outcome::Token => false,
        // The receiver has named the events that failed.
        Outcome::RecordError => result.taken.is_empty(),
        _ => true,
    };
    let attempts = attempt.batch.first.delivery.attempts.saturating_add(1);
    // Without an answer, events may have arrived, which `most` attempts bound.
    let most = most.filter(|_| result.status.is_some());
    let halved_after = most.map_or(HALVED_AFTER, |most| most.get().min(HALVED_AFTER));
    may_be_spoilt && attempts >= halved_after && !is_down
}
