//! What is found when all of a queue is read.

use crate::EntryId;

/// Problems that a [`Verification`] names; it counts all.
const NAMED: usize = 1000;

/// What was found in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Events read.
    pub events: u64,
    /// Entries owed, over all targets.
    pub owed: u64,
    /// Dead letters, over all targets.
    pub dead: u64,
    /// Entries quarantined before, since their record was damaged.
    pub quarantined: u64,
    /// Damaged records, the first thousand. An event's will be quarantined when it is met.
    pub corrupt: Vec<CorruptEntry>,
    /// How many there are.
    pub corrupt_count: u64,
    /// Where the tables contradict each other, the first thousand. None of it keeps an event from
    /// being delivered, unless it says so.
    pub disagreements: Vec<String>,
    /// How many there are.
    pub disagreement_count: u64,
}

/// A damaged record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorruptEntry {
    /// The entry.
    pub entry: EntryId,
    /// What is wrong with it.
    pub reason: String,
}

impl Verification {
    /// Whether nothing is wrong now. What was quarantined before does not count.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.corrupt_count == 0 && self.disagreement_count == 0
    }

    pub(crate) fn corrupt(&mut self, seq: u64, reason: String) {
        self.corrupt_count += 1;
        if self.corrupt.len() < NAMED {
            self.corrupt.push(CorruptEntry {
                entry: EntryId(seq),
                reason,
            });
        }
    }

    pub(crate) fn disagree(&mut self, what: String) {
        self.disagreement_count += 1;
        if self.disagreements.len() < NAMED {
            self.disagreements.push(what);
        }
    }
}
