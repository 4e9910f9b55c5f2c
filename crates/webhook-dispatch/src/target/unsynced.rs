//! Settlements that were handed to the queue's writer and are not known to be synced.

use hashbrown::HashSet;
use webhook_queue::EntryId;

/// A settlement that the queue has synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    /// This entry is owed no longer.
    Settled(EntryId),
    /// An attempt was noted.
    Noted,
}

/// Settlements that are not known to be synced. A crash delivers their events once more, so the
/// window bounds how many there are.
#[derive(Debug)]
pub(crate) struct Unsynced {
    window: usize,
    /// Owed no longer, though a read of the queue may still show them.
    settled: HashSet<EntryId>,
    /// Failed attempts, noted.
    noted: usize,
}

impl Unsynced {
    pub(crate) fn new(window: usize) -> Unsynced {
        Unsynced {
            window,
            settled: HashSet::new(),
            noted: 0,
        }
    }

    pub(crate) fn set_window(&mut self, window: usize) {
        self.window = window;
    }

    pub(crate) fn settle(&mut self, entry: EntryId) {
        self.settled.insert(entry);
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

    /// Whether an entry that a read of the queue shows is settled.
    pub(crate) fn is_settled(&self, entry: EntryId) -> bool {
        self.settled.contains(&entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.settled.len() + self.noted
    }

    /// How many more attempts may end before a sync.
    pub(crate) fn room(&self) -> usize {
        self.window.saturating_sub(self.len())
    }
}
