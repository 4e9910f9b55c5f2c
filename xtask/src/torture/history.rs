//! What happened, in little memory: of a body only its hash is kept.

use std::collections::BTreeSet;
use std::hash::Hasher;

/// A `webhook-id`: the 128 bits behind `evt_`.
pub(super) type Id = u128;

/// Counts the starts of webhookd, from 0.
pub(super) type RunNumber = u16;

/// A body, as far as it is compared: 64 bits of SipHash and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Body {
    hash: u64,
    length: u32,
}

impl Body {
    pub(super) fn of(bytes: &[u8]) -> Body {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(bytes);
        Body {
            hash: hasher.finish(),
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Reads an id as webhookd writes it: `evt_` and 32 hexadecimal digits.
pub(super) fn parse_id(text: &str) -> Option<Id> {
    let digits = text.strip_prefix("evt_")?;
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Id::from_str_radix(digits, 16).ok()
}

/// All that the oracle needs to know.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Who is to receive; at most 32.
    pub(super) targets: Vec<Receiving>,
    /// The events that were written to webhookd's input, in the order first written.
    pub(super) sent: Vec<Sent>,
    /// What was acknowledged, in the order in which it was accepted.
    pub(super) acks: Vec<Ack>,
    /// Of each target, what arrived there, in order.
    pub(super) arrivals: Vec<Vec<Arrival>>,
    /// What was a dead letter once nothing was owed.
    pub(super) dead: Vec<Dead>,
    /// The runs that ended by themselves, with nothing owed.
    pub(super) clean: BTreeSet<RunNumber>,
    /// The run for which every dead letter was made owed again.
    pub(super) replay: Option<RunNumber>,
}

/// A target, as far as it bounds what may happen.
#[derive(Clone, Debug)]
pub(super) struct Receiving {
    pub(super) name: &'static str,
    /// The most deliveries that one kill may cause to be made again.
    pub(super) most_repeated: usize,
    /// Whether events may be given up for want of success.
    pub(super) gives_up: bool,
}

/// An event that was written to webhookd's input.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Its task.
    pub(super) task: u32,
    pub(super) body: Body,
    /// The targets that want it: bit *n* is target *n*.
    pub(super) wanted: u32,
    /// How often it was written.
    pub(super) times: u32,
}

/// An event was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    /// Its place in [`History::sent`].
    pub(super) event: usize,
    pub(super) id: Id,
}

/// A whole request arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// `None` if it had no `webhook-id` that reads as one.
    pub(super) id: Option<Id>,
    pub(super) body: Body,
    /// The run of webhookd that sent it.
    pub(super) run: RunNumber,
    pub(super) answer: Answer,
}

/// What a receiver answered, as far as it bounds what the sender may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing that could be taken for a success.
    No,
    /// 400, 413 or 422: never again.
    Never,
    /// A 2xx that broke off, or was slow: the sender may take it for a success or not.
    Perhaps,
    /// A whole 2xx, in good time.
    Yes,
}

/// A dead letter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dead {
    /// Its place in [`History::targets`].
    pub(super) target: usize,
    pub(super) id: Id,
    pub(super) reason: Reason,
}

/// Why a dead letter was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Refused,
    AttemptsExhausted,
    /// One that nothing in the torture gives cause for.
    Other,
}
