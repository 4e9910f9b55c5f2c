//! Settlements handed to the queue's writer and not yet synced.

use hashbrown::HashMap;
use webhook_queue::{Claim, EntryId};

/// A settlement that the queue has synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    /// This entry was delivered or given up.
    Settled(EntryId),
    /// A failed attempt was recorded.
    Noted,
}

/// Settlements not yet synced. After a crash their events are delivered once more, so the window
/// bounds their number.
#[derive(Debug)]
pub(crate) struct Unsynced {
    window: usize,
    /// Settled entries that a read of the queue may still show, and the claims under which they were
    /// delivered.
    settled: HashMap<EntryId, Claim>,
    /// The number of recorded failed attempts.
    noted: usize,
}

impl Unsynced {
    pub(crate) fn new(window: usize) -> Unsynced {
        Unsynced {
            window,
            settled: HashMap::new(),
            noted: 0,
        }
    }

    pub(crate) fn set_window(&mut self, window: usize) {
        self.window = window;
    }

    pub(crate) fn settle(&mut self, entry: EntryId, claim: Claim) {
        self.settled.insert(entry, claim);
    }

    pub(crate) fn note(&mut self) {
        self.noted += 1;
    }

    pub(crate) fn synced(&mut self, synced: Synced) {
        match synced {
            Synced::Settled(entry) => {
                self.settled.remove(&entry);
            }
            Synced::Noted => self.noted = self.noted.saturating_sub(1),
        }
    }

    /// The claim under which an entry was settled that a read of the queue may still show. Under
    /// another claim, the settlement may have no effect.
    pub(crate) fn settled_under(&self, entry: EntryId) -> Option<Claim> {
        self.settled.get(&entry).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.settled.len() + self.noted
    }

    /// How many more attempts may end before a sync.
    pub(crate) fn room(&self) -> usize {
        self.window.saturating_sub(self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settlements_and_notes_take_room_until_they_are_synced() {
        let mut unsynced = Unsynced::new(3);
        unsynced.settle(EntryId(1), Claim::SOLE);
        unsynced.note();
        unsynced.note();
        assert_eq!((unsynced.len(), unsynced.room()), (3, 0));
        unsynced.set_window(2);
        assert_eq!(unsynced.room(), 0);
        unsynced.set_window(5);
        assert_eq!(unsynced.room(), 2);
        assert_eq!(unsynced.settled_under(EntryId(1)), Some(Claim::SOLE));
        unsynced.synced(Synced::Settled(EntryId(1)));
        assert_eq!(unsynced.settled_under(EntryId(1)), None);
        unsynced.synced(Synced::Noted);
        assert_eq!((unsynced.len(), unsynced.room()), (1, 4));
    }
}
