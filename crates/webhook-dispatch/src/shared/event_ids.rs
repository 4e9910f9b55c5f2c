//! The ids of events and of batches: `webhook-id` in requests.

use crate::shared::batch_id::BatchId;
use std::sync::atomic::{AtomicU64, Ordering};
use webhook_queue::EventId;

/// Generates ids that are unique over all queues: 64 random bits drawn at the start, and a counter.
#[derive(Debug)]
pub(crate) struct EventIds {
    prefix: u64,
    next: AtomicU64,
}

impl EventIds {
    /// # Errors
    /// The system provides no randomness.
    pub(crate) fn new() -> std::io::Result<EventIds> {
        let mut prefix = [0; 8];
        getrandom::fill(&mut prefix).map_err(std::io::Error::other)?;
        Ok(EventIds {
            prefix: u64::from_be_bytes(prefix),
            next: AtomicU64::new(1),
        })
    }

    pub(crate) fn next(&self) -> EventId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.prefix.to_be_bytes());
        id[8..].copy_from_slice(&count.to_be_bytes());
        EventId(id)
    }
}

/// The id of a batch of these events in this order: the same over retries, restarts and workers, and another
/// one for any other events or order.
pub(crate) fn batch_id(events: impl Iterator<Item = EventId>) -> BatchId {
    let mut hash = hmac_sha256::Hash::new();
    for event in events {
        hash.update(event.0);
    }
    let hash = hash.finalize();
    BatchId(*hash.first_chunk().expect("a hash has 32 bytes"))
}

/// The text of a `webhook-id`, that of an [`EventId`] or of a [`BatchId`], without an allocation.
#[derive(Debug)]
pub(crate) struct WebhookIdText([u8; 36]);

impl WebhookIdText {
    pub(crate) fn new(id: EventId) -> WebhookIdText {
        WebhookIdText::hex(*b"evt_00000000000000000000000000000000", id.0)
    }

    pub(crate) fn of_batch(id: BatchId) -> WebhookIdText {
        WebhookIdText::hex(*b"bat_00000000000000000000000000000000", id.0)
    }

    /// Replaces the zeros by the digits of an id.
    fn hex(mut text: [u8; 36], id: [u8; 16]) -> WebhookIdText {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        for (digits, byte) in text[4..].chunks_exact_mut(2).zip(id) {
            digits[0] = HEX[usize::from(byte >> 4)];
            digits[1] = HEX[usize::from(byte & 15)];
        }
        WebhookIdText(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the prefix and the digits are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_an_id_of_its_own_whose_text_has_no_dot() {
        let ids = EventIds::new().unwrap();
        let (first, second) = (ids.next(), ids.next());
        assert_ne!(first, second);
        for id in [first, second] {
            let text = WebhookIdText::new(id);
            assert!(!text.as_str().contains('.'), "it is signed with dots");
            assert_eq!(text.as_str(), id.to_string());
        }
    }

    #[test]
    fn a_batch_has_an_id_of_its_own_events_in_their_order() {
        let of = |ids: &[u8]| batch_id(ids.iter().map(|id| EventId([*id; 16])));
        assert_eq!(of(&[1, 2]), of(&[1, 2]));
        for others in [&[2, 1][..], &[1], &[1, 2, 3], &[1, 3]] {
            assert_ne!(of(&[1, 2]), of(others));
        }
        // SHA-256 of the ids, so that other workers and versions agree.
        let text = WebhookIdText::of_batch(of(&[1, 2]));
        assert_eq!(text.as_str(), "bat_f03f702d6016a19c16ff011ea60a8f81");
        assert_eq!(text.as_str(), of(&[1, 2]).to_string());
        assert!(text.as_str().parse::<EventId>().is_err());
    }
}
