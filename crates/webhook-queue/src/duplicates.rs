//! Remembers idempotency keys in memory. The queue on the disk behaves the same.

use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::EventId;

/// How long idempotency keys are known. A key is forgotten when it reaches the first of the two
/// bounds. Its age is measured by the events' `accepted_at`: a clock that is set back makes keys
/// live longer, never shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by callers, `..Default::default()`"
)]
pub struct DuplicateWindow {
    /// Milliseconds for which a key is known after its event was accepted.
    pub age_ms: u64,
    /// The most keys that are known; a new one replaces the oldest. 0 turns the detection of
    /// duplicates off.
    pub keys: u64,
}

impl DuplicateWindow {
    /// 24 hours and 1,000,000 keys.
    pub const DEFAULT: DuplicateWindow = DuplicateWindow {
        age_ms: 24 * 3_600_000,
        keys: 1_000_000,
    };

    /// Whether a key that was learnt at `learnt_at` is still known at `now`, both epoch
    /// milliseconds.
    pub(crate) fn covers(&self, learnt_at: u64, now: u64) -> bool {
        now.saturating_sub(learnt_at) < self.age_ms
    }
}

impl Default for DuplicateWindow {
    /// [`DEFAULT`](DuplicateWindow::DEFAULT).
    fn default() -> DuplicateWindow {
        DuplicateWindow::DEFAULT
    }
}

/// The most old keys that are forgotten for each new one, which bounds the cost of an event.
pub(crate) const FORGOTTEN_AT_ONCE: usize = 4;

/// A secret for [`fingerprint`] and [`body_hash`].
pub(crate) fn random_secret() -> [u8; 16] {
    let mut secret = [0; 16];
    // Without randomness, only keys that a client chose to collide are confused.
    getrandom::fill(&mut secret).ok();
    secret
}

/// The fingerprint that stands for a key: its SipHash-2-4 of 128 bits under a secret. Without the
/// secret a client cannot choose keys that collide, and a collision by chance is negligible.
pub(crate) fn fingerprint(secret: &[u8; 16], key: &[u8]) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(key);
    hasher.finish128().as_bytes()
}

/// The hash that tells bodies of one idempotency key apart: its SipHash-1-3 under a secret.
pub(crate) fn body_hash(secret: &[u8; 16], body: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(secret);
    hasher.write(body);
    hasher.finish()
}

/// The idempotency keys of the latest events, about 100 bytes each. They are lost when the process
/// ends.
///
/// ```
/// use webhook_queue::{DuplicateWindow, EventId, RecentKeys};
///
/// let mut keys = RecentKeys::new(DuplicateWindow::DEFAULT);
/// let (id, now) = (EventId([7; 16]), 1_464_992_060_258);
/// assert_eq!(keys.find(b"order-17", now), None);
/// keys.learn(b"order-17", b"{}", id, now);
/// assert_eq!(keys.find(b"order-17", now + 1_000), Some(id));
/// assert!(!keys.is_repetition(b"order-17", b"another body"));
/// ```
#[derive(Clone, Debug)]
pub struct RecentKeys {
    window: DuplicateWindow,
    secret: [u8; 16],
    /// The number of the next key.
    next: u64,
    /// Fingerprints in the order learnt; the last one has the number before `next`.
    order: VecDeque<[u8; 16]>,
    known: HashMap<[u8; 16], Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    number: u64,
    learnt_at: u64,
    id: EventId,
    body_hash: u64,
}

impl RecentKeys {
    /// Starts without keys.
    #[must_use]
    pub fn new(window: DuplicateWindow) -> RecentKeys {
        RecentKeys {
            window,
            secret: random_secret(),
            next: 0,
            order: VecDeque::new(),
            known: HashMap::new(),
        }
    }

    /// The id of the event that had this key, if the key is known at the time `now`, epoch
    /// milliseconds.
    #[must_use]
    pub fn find(&self, key: &[u8], now: u64) -> Option<EventId> {
        let known = self.known.get(&fingerprint(&self.secret, key))?;
        self.window.covers(known.learnt_at, now).then_some(known.id)
    }

    /// Whether the event that had this key had this body, or the key is not known.
    #[must_use]
    pub fn is_repetition(&self, key: &[u8], body: &[u8]) -> bool {
        let known = self.known.get(&fingerprint(&self.secret, key));
        known.is_none_or(|known| known.body_hash == body_hash(&self.secret, body))
    }

    /// Remembers the key and the body of an event, and forgets the oldest keys that are past a
    /// bound.
    pub fn learn(&mut self, key: &[u8], body: &[u8], id: EventId, now: u64) {
        if self.window.keys == 0 {
            return;
        }
        let print = fingerprint(&self.secret, key);
        let known = Known {
            number: self.next,
            learnt_at: now,
            id,
            body_hash: body_hash(&self.secret, body),
        };
        self.known.insert(print, known);
        self.order.push_back(print);
        self.next += 1;
        for _ in 0..FORGOTTEN_AT_ONCE {
            if !self.forget_oldest(now) {
                return;
            }
        }
    }

    /// Forgets the key of an event that was not accepted after all.
    pub fn forget(&mut self, key: &[u8], id: EventId) {
        let print = fingerprint(&self.secret, key);
        if self.known.get(&print).is_some_and(|known| known.id == id) {
            // It leaves `order` when it is the oldest there.
            self.known.remove(&print);
        }
    }

    /// Forgets the oldest key if it is past a bound; whether it was.
    fn forget_oldest(&mut self, now: u64) -> bool {
        let Some(oldest) = self.order.front() else {
            return false;
        };
        let number = self.next - self.order.len() as u64;
        // A key that was learnt again has a later place in `order`.
        let known = self.known.get(oldest);
        let current = known.filter(|known| known.number == number);
        let over = self.order.len() as u64 > self.window.keys;
        if !over && current.is_some_and(|known| self.window.covers(known.learnt_at, now)) {
            return false;
        }
        if current.is_some() {
            self.known.remove(oldest);
        }
        self.order.pop_front();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(age_ms: u64, keys: u64) -> RecentKeys {
        RecentKeys::new(DuplicateWindow { age_ms, keys })
    }

    #[test]
    fn a_key_is_known_for_its_time_and_no_longer() {
        let mut recent = keys(10, 100);
        recent.learn(b"a", b"body", EventId([1; 16]), 1_000);
        assert_eq!(recent.find(b"a", 1_009), Some(EventId([1; 16])));
        assert_eq!(recent.find(b"a", 1_010), None);
        assert_eq!(
            recent.find(b"a", 0),
            Some(EventId([1; 16])),
            "a clock set back"
        );
        assert_eq!(recent.find(b"b", 1_000), None);
    }

    #[test]
    fn a_known_key_tells_its_body_from_others() {
        let mut recent = keys(10, 100);
        recent.learn(b"a", b"body", EventId([1; 16]), 0);
        assert!(recent.is_repetition(b"a", b"body"));
        assert!(!recent.is_repetition(b"a", b"other"));
        assert!(recent.is_repetition(b"unknown", b"other"));
    }

    #[test]
    fn a_new_key_replaces_the_oldest() {
        let mut recent = keys(u64::MAX, 2);
        for (at, key) in [b"a", b"b", b"c"].into_iter().enumerate() {
            recent.learn(key, b"body", EventId([at as u8; 16]), 0);
        }
        assert_eq!(recent.find(b"a", 0), None);
        assert_eq!(recent.find(b"b", 0), Some(EventId([1; 16])));
        assert_eq!(recent.find(b"c", 0), Some(EventId([2; 16])));
    }

    #[test]
    fn a_key_that_is_learnt_again_is_known_for_longer() {
        let mut recent = keys(10, 2);
        recent.learn(b"a", b"body", EventId([1; 16]), 0);
        recent.learn(b"a", b"body", EventId([2; 16]), 50);
        recent.learn(b"b", b"body", EventId([3; 16]), 50);
        assert_eq!(recent.find(b"a", 55), Some(EventId([2; 16])));
    }

    #[test]
    fn expired_keys_are_forgotten_as_new_ones_are_learnt() {
        let mut recent = keys(10, 1_000);
        for number in 0..1_000_u64 {
            recent.learn(&number.to_le_bytes(), b"body", EventId([0; 16]), number);
        }
        assert!(recent.order.len() <= 11, "{}", recent.order.len());
        assert_eq!(recent.order.len(), recent.known.len());
    }

    #[test]
    fn each_new_key_forgets_some_that_are_past_a_bound_and_no_others() {
        let mut recent = keys(10, 100);
        let mut known_after = |key: u8, now| {
            recent.learn(&[key], b"body", EventId([key; 16]), now);
            assert_eq!(recent.order.len(), recent.known.len());
            recent.order.len()
        };
        for key in 1..=10 {
            assert_eq!(known_after(key, 0), usize::from(key));
        }
        assert_eq!(known_after(11, 20), 11 - 4);
        assert_eq!(known_after(12, 20), 8 - 4);
        assert_eq!(known_after(13, 20), 5 - 2);
        assert_eq!(known_after(14, 20), 4);
    }

    #[test]
    fn no_two_queues_have_the_same_secret() {
        assert_ne!(random_secret(), random_secret());
    }

    #[test]
    fn a_window_of_no_keys_knows_none() {
        let mut recent = keys(10, 0);
        recent.learn(b"a", b"body", EventId([1; 16]), 0);
        assert_eq!(recent.find(b"a", 0), None);
    }

    #[test]
    fn the_key_of_an_event_that_was_not_accepted_is_forgotten() {
        let mut recent = keys(10, 10);
        recent.learn(b"a", b"body", EventId([1; 16]), 0);
        recent.forget(b"a", EventId([2; 16]));
        assert!(recent.find(b"a", 0).is_some(), "it was another event");
        recent.forget(b"a", EventId([1; 16]));
        assert_eq!(recent.find(b"a", 0), None);
    }
}
