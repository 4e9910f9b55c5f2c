//! The result of checking a whole queue.

use crate::EntryId;

/// The most problems of one kind that a [`Verification`] lists. It counts all.
const NAMED: usize = 1000;

/// The result of checking a whole queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Events read.
    pub events: u64,
    /// Entries owed, over all targets.
    pub owed: u64,
    /// Dead letters, over all targets.
    pub dead: u64,
    /// Deliveries that are kept, over all targets.
    pub kept: u64,
    /// Entries quarantined earlier because their record was damaged.
    pub quarantined: u64,
    /// Damaged records, the first thousand. A damaged event is quarantined when it is next read.
    pub corrupt: Vec<CorruptEntry>,
    /// How many records are damaged.
    pub corrupt_count: u64,
    /// Contradictions between the tables, the first thousand. None prevents a delivery, unless its
    /// text says so.
    pub disagreements: Vec<String>,
    /// How many contradictions there are.
    pub disagreement_count: u64,
    /// Those of the contradictions, the first thousand, that show damage to the pages of the tables:
    /// the queue should not be opened.
    pub table_damage: Vec<String>,
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
    /// Whether no problem was found. Entries quarantined earlier do not count.
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

    /// As [`disagree`](Verification::disagree), of the pages of the tables.
    pub(crate) fn damage(&mut self, what: String) {
        if self.table_damage.len() < NAMED {
            self.table_damage.push(what.clone());
        }
        self.disagree(what);
    }

    pub(crate) fn disagree(&mut self, what: String) {
        self.disagreement_count += 1;
        if self.disagreements.len() < NAMED {
            self.disagreements.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thousand_problems_of_each_kind_are_listed_and_all_are_counted() {
        let mut found = Verification::default();
        assert!(found.is_whole());
        for number in 0..1001 {
            found.corrupt(number, "damaged".into());
            found.damage(format!("damage {number}"));
        }
        assert!(!found.is_whole());
        assert_eq!(
            (found.corrupt_count, found.disagreement_count),
            (1001, 1001)
        );
        assert_eq!(found.corrupt.len(), 1000);
        assert_eq!(found.corrupt[999].entry, EntryId(999));
        assert_eq!(found.table_damage.len(), 1000);
        assert_eq!(found.disagreements.len(), 1000);
        assert_eq!(found.disagreements[999], "damage 999");

        let mut found = Verification::default();
        found.disagree("harmless".into());
        assert_eq!(found.disagreements, ["harmless"]);
        assert!(found.table_damage.is_empty() && !found.is_whole());
    }
}
