//! Remembers the last state of each key in memory. The queue on the disk behaves the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::duplicates::{fingerprint, random_secret};

/// The last states of keys, some 200 bytes each. They are lost when the process ends.
///
/// ```
/// use webhook_queue::LastStates;
///
/// let mut states = LastStates::new(1_000);
/// states.set(b"hello-0", b"RUNNING"[..].into());
/// assert_eq!(states.get(b"hello-0").as_deref(), Some(&b"RUNNING"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct LastStates {
    max: u64,
    secret: [u8; 16],
    /// The number of the next change.
    next: u64,
    /// Each key's last change and state, by the key's fingerprint.
    states: HashMap<[u8; 16], (u64, Arc<[u8]>)>,
    /// Fingerprints by the last change of their key.
    changed: BTreeMap<u64, [u8; 16]>,
}

impl LastStates {
    /// Knows the states of `max` keys at most: those that changed last.
    #[must_use]
    pub fn new(max: u64) -> LastStates {
        LastStates {
            max,
            secret: random_secret(),
            next: 0,
            states: HashMap::new(),
            changed: BTreeMap::new(),
        }
    }

    /// The last state of a key, if it is known.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Arc<[u8]>> {
        let (_, state) = self.states.get(&fingerprint(&self.secret, key))?;
        Some(Arc::clone(state))
    }

    /// Changes the bound.
    pub fn set_max(&mut self, max: u64) {
        self.max = max;
        self.forget_oldest();
    }

    /// Replaces the last state of a key, and forgets the state that was not changed for longest if
    /// there are too many.
    pub fn set(&mut self, key: &[u8], state: Arc<[u8]>) {
        let print = fingerprint(&self.secret, key);
        if let Some((before, _)) = self.states.insert(print, (self.next, state)) {
            self.changed.remove(&before);
        }
        self.changed.insert(self.next, print);
        self.next += 1;
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        while self.len() > self.max
            && let Some((_, oldest)) = self.changed.pop_first()
        {
            self.states.remove(&oldest);
        }
    }

    /// How many states are known.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.states.len() as u64
    }

    /// Whether no state is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_that_was_not_changed_for_longest_is_forgotten() {
        let mut states = LastStates::new(2);
        assert!(states.is_empty());
        for (key, state) in [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"c", b"4")] {
            states.set(key, Arc::from(&state[..]));
        }
        let found = [b"a", b"b", b"c"].map(|key| states.get(key));
        assert_eq!(found[0].as_deref(), Some(&b"3"[..]));
        assert_eq!(found[1], None);
        assert_eq!(found[2].as_deref(), Some(&b"4"[..]));
        assert_eq!((states.len(), states.changed.len()), (2, 2));
        assert!(!states.is_empty());
        states.set_max(1);
        assert!(states.get(b"a").is_none() && states.get(b"c").is_some());
    }

    #[test]
    fn a_bound_of_no_states_knows_none() {
        let mut states = LastStates::new(0);
        states.set(b"a", Arc::from(&b"1"[..]));
        assert_eq!(states.get(b"a"), None);
        assert!(states.is_empty());
    }
}
