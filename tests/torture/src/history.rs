//! What happened, in little memory: of a body only its hash is kept.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::time::Instant;

/// A `webhook-id`: the 128 bits behind `evt_`.
pub(crate) type Id = u128;

/// Counts the starts of webhookd, or what was done to workers that share a queue, from 0.
pub(crate) type RunNumber = u16;

/// A body, as far as it is compared: 64 bits of SipHash and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Body {
    hash: u64,
    length: u32,
}

impl Body {
    pub(crate) fn of(bytes: &[u8]) -> Body {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(bytes);
        Body {
            hash: hasher.finish(),
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Reads an id as webhookd writes it: `evt_` and 32 hexadecimal digits.
pub(crate) fn parse_id(text: &str) -> Option<Id> {
    parse(text, "evt_")
}

/// Reads the id of a batch: `bat_` and 32 hexadecimal digits.
pub(crate) fn parse_batch_id(text: &str) -> Option<Id> {
    parse(text, "bat_")
}

fn parse(text: &str, prefix: &str) -> Option<Id> {
    let digits = text.strip_prefix(prefix)?;
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Id::from_str_radix(digits, 16).ok()
}

/// All that the oracle needs to know.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The targets; at most 32.
    pub(crate) targets: Vec<Limits>,
    /// The events that were written to webhookd's input, in the order first written.
    pub(crate) sent: Vec<Sent>,
    /// What was acknowledged, in the order in which it was accepted.
    pub(crate) acks: Vec<Ack>,
    /// Of each target, what arrived there, in order.
    pub(crate) arrivals: Vec<Vec<Arrival>>,
    /// The dead letters once nothing was pending.
    pub(crate) dead: Vec<Dead>,
    /// The runs that ended by themselves, with nothing pending.
    pub(crate) clean: BTreeSet<RunNumber>,
    /// The runs within which deliveries may be repeated, since a worker or the database of a shared
    /// queue was ended or stopped.
    pub(crate) disturbed: BTreeSet<RunNumber>,
    /// The run before which every dead letter was replayed.
    pub(crate) replay: Option<RunNumber>,
    /// The runs in which receivers answered some tasks with failures alone, and all others with
    /// successes.
    pub(crate) poisoned: Vec<PoisonedRun>,
}

/// A run with poisoned tasks.
#[derive(Clone, Debug)]
pub(crate) struct PoisonedRun {
    pub(crate) run: RunNumber,
    /// When webhookd was killed.
    pub(crate) ended: Instant,
    /// Of each target, the poisoned tasks.
    pub(crate) poisons: Vec<Poison>,
}

/// The tasks that a receiver answers with one failure, chosen by a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poison {
    /// The share of the tasks, in a hundred.
    pub(crate) percent: u32,
    /// The status that it answers.
    pub(crate) status: u16,
    /// Gives other tasks in each run.
    pub(crate) seed: u32,
}

impl Poison {
    /// Whether a task is poisoned.
    pub(crate) fn hits(self, task: u32) -> bool {
        let hash = (task ^ self.seed).wrapping_mul(0x9E37_79B1);
        (hash >> 16) % 100 < self.percent
    }
}

impl History {
    /// Whether what succeeded in one run may be delivered again in another.
    pub(crate) fn may_repeat(&self, run: RunNumber, again: RunNumber) -> bool {
        let within = run == again && !self.disturbed.contains(&run);
        !within && !self.clean.contains(&run)
    }

    /// Whether an acknowledged event is to arrive at a target.
    pub(crate) fn is_owed(&self, ack: &Ack, target: usize) -> bool {
        self.sent[ack.event].wanted & !ack.over_quota & (1 << target) != 0
    }
}

/// A target, as far as it bounds what may happen.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) name: &'static str,
    /// The most deliveries that one kill may cause to be made again.
    pub(crate) most_repeated: usize,
    /// Whether it has a bound on attempts.
    pub(crate) gives_up: bool,
    /// Whether it gets no events while it is owed too much.
    pub(crate) has_quota: bool,
    /// Whether several events may share a request.
    pub(crate) has_batches: bool,
}

/// An event that was written to webhookd's input.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Its task.
    pub(crate) task: u32,
    pub(crate) body: Body,
    /// The targets that want it: bit *n* is target *n*.
    pub(crate) wanted: u32,
    /// How often it was written.
    pub(crate) times: u32,
}

/// An event was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    /// Its place in [`History::sent`].
    pub(crate) event: usize,
    pub(crate) id: Id,
    /// The run of webhookd that acknowledged it.
    pub(crate) run: RunNumber,
    pub(crate) at: Instant,
    /// The targets that will not get it, since they are over their quotas: bit *n* is target *n*.
    pub(crate) over_quota: u32,
}

/// An event of a whole request arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// `None` if the request named none that reads as one.
    pub(crate) id: Option<Id>,
    /// The id and the whole body of its request, if that is a batch.
    pub(crate) batch: Option<(Id, Body)>,
    pub(crate) body: Body,
    /// The run of webhookd that sent it.
    pub(crate) run: RunNumber,
    pub(crate) at: Instant,
    pub(crate) answer: Answer,
}

/// What a receiver answered, as far as it bounds what the sender may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing that could be taken for a success.
    Failure,
    /// 400, 413 or 422 to the event alone: no further attempt.
    Refusal,
    /// A 2xx that broke off, or was slow: the sender may take it for a success or not.
    MaybeSuccess,
    /// A whole 2xx, in good time.
    Success,
}

/// A dead letter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dead {
    /// Its place in [`History::targets`].
    pub(crate) target: usize,
    pub(crate) id: Id,
    pub(crate) reason: Reason,
}

/// The reason that a dead letter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Refused,
    AttemptsExhausted,
    /// A reason that no receiver gives cause for.
    Other,
}
