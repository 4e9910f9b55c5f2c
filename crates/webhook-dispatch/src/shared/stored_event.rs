//! An event in the queue: its ordering key and its attributes.
//!
//! Events of the default input are queued under their key as it is, as in all earlier versions.
//! A named input's name goes before the key, each after a byte that occurs in no UTF-8 text, so
//! that two inputs never share a lane, whatever their keys are.

use std::sync::Arc;
use webhook_event::{Attributes, Schema};
use webhook_queue::Owed;

/// Occurs in no UTF-8 text.
const MARK: u8 = 0xff;

/// The ordering key of an event in the queue; the name of the default input is empty.
pub(crate) fn queue_key(input: &str, key: &str) -> Arc<[u8]> {
    if input.is_empty() {
        return Arc::from(key.as_bytes());
    }
    let mark: &[u8] = &[MARK];
    Arc::from([mark, input.as_bytes(), mark, key.as_bytes()].concat())
}

/// An event's own key: the ordering key that the queue shows ([`Owed::key`](webhook_queue::Owed)),
/// without the name of the event's input.
#[must_use]
pub fn event_key(queue_key: &[u8]) -> &[u8] {
    let named = queue_key.strip_prefix(&[MARK]);
    let key = named.and_then(|named| named.splitn(2, |byte| *byte == MARK).nth(1));
    key.unwrap_or(queue_key)
}

/// The input, states, job and time of an event in the queue: as they were read when it was
/// submitted, or read from its body if it is one of Aurora's. `None` if that cannot be read.
#[must_use]
pub fn event_attributes(owed: &Owed<'_>) -> Option<Attributes> {
    Attributes::decode(owed.attributes).or_else(|| {
        let read = Schema::default().read(owed.body).ok()??;
        Some(Attributes::of("", &read))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_key_is_found_in_its_queue_key() {
        for key in ["", "task-1", "a/b", "ÿ"] {
            let plain = queue_key("", key);
            assert_eq!(&plain[..], key.as_bytes());
            let named = queue_key("nomad", key);
            assert_ne!(named, plain);
            assert_ne!(named, queue_key("noma", &format!("d{key}")));
            for queue_key in [plain, named] {
                assert_eq!(event_key(&queue_key), key.as_bytes());
            }
        }
        // Keys of earlier versions are any bytes.
        for odd in [&b"\xff"[..], b"\xffx", b"x\xffy\xffz"] {
            assert_eq!(event_key(odd), odd);
        }
    }
}
