//! How keys and values lie in the tables. `docs/queue-format.md` is the reference; only the
//! functions here write and read the format.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::{Claim, EntryId, Event, EventId, Owed, TargetHold};

/// Bytes of an event record before its key.
const EVENT_HEADER: usize = 32;

/// The bit in the length of the key that says that a length and attributes are between the key and
/// the body.
const HAS_ATTRIBUTES: u32 = 1 << 31;

/// Bytes of a target's row before its name.
const ROW_HEADER: usize = 16;

/// The number of events in a segment of the index by key, as a power of two. With fewer, a commit
/// touches fewer pages; with more, finding the entries of a key reads fewer segments.
const SEGMENT_BITS: u32 = 14;

/// The position of an event in its segment.
const SEGMENT_MASK: u64 = (1 << SEGMENT_BITS) - 1;

/// The key of an event: big-endian, so that events are sorted in the order accepted.
pub(super) fn event_key(seq: u64) -> [u8; 8] {
    seq.to_be_bytes()
}

/// The key of a piece of an event's record in `pieces`. The first, in `events`, has number 0.
pub(super) fn piece_key(seq: u64, number: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&seq.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The entry of a key made by [`piece_key`].
pub(super) fn seq_of_piece_key(key: &[u8]) -> Option<u64> {
    key.first_chunk().map(|seq| u64::from_be_bytes(*seq))
}

/// The key of an entry at a target, in `owed` and in `dead`.
pub(super) fn target_key(target: u32, seq: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&target.to_be_bytes());
    key[4..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// The entry of a key made by [`target_key`].
pub(super) fn seq_of_target_key(key: &[u8]) -> Option<u64> {
    key.get(4..12)?.try_into().ok().map(u64::from_be_bytes)
}

/// The target of a key made by [`target_key`].
pub(super) fn target_of_target_key(key: &[u8]) -> Option<u32> {
    key.get(..4)?.try_into().ok().map(u32::from_be_bytes)
}

/// The key of an event in the index by key: its segment, the hash of its key, its position in the
/// segment. Events accepted together are adjacent, so a commit touches few pages however many keys
/// there are.
pub(super) fn by_key_key(hash: u32, seq: u64) -> [u8; 14] {
    let mut key = [0; 14];
    key[..8].copy_from_slice(&segment(seq).to_be_bytes());
    key[8..12].copy_from_slice(&hash.to_be_bytes());
    key[12..].copy_from_slice(&((seq & SEGMENT_MASK) as u16).to_be_bytes());
    key
}

/// The hash of a key in the index by key. It depends on the queue's identity, so that a client
/// cannot choose keys that collide; readers compare the event's key, since different keys may have
/// equal hashes.
pub(super) fn key_hash(identity: [u8; 16], key: &[u8]) -> u32 {
    let mut hasher = SipHasher13::new_with_key(&identity);
    hasher.write(key);
    hasher.finish() as u32
}

/// The hash and the entry of a key made by [`by_key_key`].
pub(super) fn parse_by_key_key(key: &[u8]) -> Option<(u32, u64)> {
    let (segment, rest) = key.split_first_chunk()?;
    let (hash, place) = rest.split_first_chunk()?;
    let place = u64::from(u16::from_be_bytes(place.try_into().ok()?));
    let first = first_of_segment(u64::from_be_bytes(*segment))?;
    Some((u32::from_be_bytes(*hash), first.checked_add(place)?))
}

/// The segment that an event belongs to in the index by key.
pub(super) fn segment(seq: u64) -> u64 {
    seq >> SEGMENT_BITS
}

/// The first entry of a segment, if there is such a segment.
pub(super) fn first_of_segment(segment: u64) -> Option<u64> {
    segment.checked_mul(SEGMENT_MASK + 1)
}

/// The key of a target's row in `meta`.
pub(super) fn row_key(target: u32) -> [u8; 5] {
    let mut key = [b't'; 5];
    key[1..].copy_from_slice(&target.to_be_bytes());
    key
}

/// The key of what a target uses, in `meta`.
pub(super) fn usage_key(target: u32) -> [u8; 5] {
    let mut key = row_key(target);
    key[0] = b'u';
    key
}

/// The target of a key made by [`row_key`].
pub(super) fn target_of_row_key(key: &[u8]) -> Option<u32> {
    key.strip_prefix(b"t")?
        .try_into()
        .ok()
        .map(u32::from_be_bytes)
}

/// The key of a target's hold in `meta`.
pub(super) fn hold_key(target: u32) -> [u8; 5] {
    let mut key = row_key(target);
    key[0] = b'h';
    key
}

/// The value of a target's hold.
pub(super) fn hold_value(until: u64, note: &[u8]) -> Vec<u8> {
    [&until.to_le_bytes()[..], note].concat()
}

/// Reads what [`hold_value`] wrote.
pub(super) fn read_hold(value: &[u8]) -> Option<TargetHold> {
    let (until, note) = value.split_first_chunk()?;
    Some(TargetHold::new(u64::from_le_bytes(*until), note.to_vec()))
}

/// Bytes of the record of `event`.
pub(super) fn event_len(event: &Event) -> usize {
    let attributes = match event.attributes.len() {
        0 => 0,
        length => 4 + length,
    };
    EVENT_HEADER + event.key.len() + attributes + event.body.len()
}

/// Writes the record of `event` over `record`. The whole length has to fit in 32 bits, and that of
/// the key in 31.
pub(super) fn write_event(seq: u64, event: &Event, record: &mut Vec<u8>) {
    record.clear();
    record.extend_from_slice(&[0; 4]);
    let flag = match event.attributes.is_empty() {
        true => 0,
        false => HAS_ATTRIBUTES,
    };
    record.extend_from_slice(&(event.key.len() as u32 | flag).to_le_bytes());
    record.extend_from_slice(&event.accepted_at.to_le_bytes());
    record.extend_from_slice(&event.id.0);
    record.extend_from_slice(&event.key);
    if flag != 0 {
        record.extend_from_slice(&(event.attributes.len() as u32).to_le_bytes());
        record.extend_from_slice(&event.attributes);
    }
    record.extend_from_slice(&event.body);
    let sum = checksum(&event_key(seq), &record[4..]);
    record[..4].copy_from_slice(&sum.to_le_bytes());
}

/// The event of a record, with no attempts; `None` if the record is damaged.
pub(super) fn read_event(seq: u64, record: &[u8]) -> Option<Owed<'_>> {
    let (sum, rest) = record.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != checksum(&event_key(seq), rest) {
        return None;
    }
    let (_, rest) = rest.split_first_chunk::<4>()?;
    let (accepted_at, rest) = rest.split_first_chunk::<8>()?;
    let (id, _) = rest.split_first_chunk::<16>()?;
    let key = key_of_event(record)?;
    let (attributes, body) = match record.get(EVENT_HEADER + key.len()..)? {
        body if length_field(record)? & HAS_ATTRIBUTES == 0 => (&[][..], body),
        rest => {
            let (length, rest) = rest.split_first_chunk()?;
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?
        }
    };
    Some(Owed {
        entry: EntryId(seq),
        id: EventId(*id),
        key,
        body,
        attributes,
        accepted_at: u64::from_le_bytes(*accepted_at),
        attempts: 0,
        not_before: 0,
        claim: Claim::SOLE,
    })
}

/// The key of an event record, without a check of the record.
pub(super) fn key_of_event(record: &[u8]) -> Option<&[u8]> {
    let len = length_field(record)? & !HAS_ATTRIBUTES;
    record
        .get(EVENT_HEADER..)?
        .get(..usize::try_from(len).ok()?)
}

/// The length of an event's key with its flag.
fn length_field(record: &[u8]) -> Option<u32> {
    let field = record.get(4..8)?.try_into().ok()?;
    Some(u32::from_le_bytes(field))
}

/// A value in `owed`: the attempts made, the earliest time of the next one, and the bytes that the
/// entry counts for its target. The value of an entry that was never attempted is the last alone.
pub(super) fn owed_value(attempts: u32, not_before: u64, cost: u32) -> [u8; 16] {
    let mut value = [0; 16];
    value[..4].copy_from_slice(&attempts.to_le_bytes());
    value[4..12].copy_from_slice(&not_before.to_le_bytes());
    value[12..].copy_from_slice(&cost.to_le_bytes());
    value
}

/// The bytes that a value in `owed` counts for its target: 0 for one of an older version.
pub(super) fn cost_of_owed(value: &[u8]) -> u32 {
    match value.len() {
        4 | 16 => value
            .last_chunk()
            .map_or(0, |cost| u32::from_le_bytes(*cost)),
        _ => 0,
    }
}

/// Attempts and earliest time of a value in `owed`.
pub(super) fn read_owed(value: &[u8]) -> (u32, u64) {
    let read = || {
        let (attempts, rest) = value.split_first_chunk()?;
        let not_before = rest.first_chunk()?;
        Some((
            u32::from_le_bytes(*attempts),
            u64::from_le_bytes(*not_before),
        ))
    };
    match value.len() {
        // One of an older version has 12 bytes.
        12 | 16 => read().unwrap_or_default(),
        _ => (0, 0),
    }
}

/// How many targets hold an event, from its value in `shares`: one if it has none.
pub(super) fn read_shares(value: Option<&[u8]>) -> u32 {
    value
        .and_then(|value| value.try_into().ok())
        .map_or(1, u32::from_le_bytes)
}

/// A value in `dead`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dead<'a> {
    pub(super) attempts: u32,
    pub(super) died_at: u64,
    pub(super) note: &'a [u8],
}

/// The record of the dead letter under `key`.
pub(super) fn dead_value(key: &[u8; 12], dead: Dead<'_>) -> Vec<u8> {
    let (attempts, died_at) = (dead.attempts.to_le_bytes(), dead.died_at.to_le_bytes());
    let mut value = [&[0; 4][..], &attempts, &died_at, dead.note].concat();
    let sum = checksum(key, &value[4..]);
    value[..4].copy_from_slice(&sum.to_le_bytes());
    value
}

/// The dead letter of the record under `key`; `None` if the record is damaged.
pub(super) fn read_dead<'a>(key: &[u8], value: &'a [u8]) -> Option<Dead<'a>> {
    let (sum, rest) = value.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != checksum(key, rest) {
        return None;
    }
    let (attempts, rest) = rest.split_first_chunk::<4>()?;
    let (died_at, note) = rest.split_first_chunk::<8>()?;
    let (attempts, died_at) = (u32::from_le_bytes(*attempts), u64::from_le_bytes(*died_at));
    Some(Dead {
        attempts,
        died_at,
        note,
    })
}

/// A target's row in `meta`, and what it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) pending: u64,
    pub(super) dead: u64,
    pub(super) name: String,
    pub(super) owed_bytes: u64,
    pub(super) dead_bytes: u64,
}

impl Row {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(ROW_HEADER + self.name.len());
        value.extend_from_slice(&self.pending.to_le_bytes());
        value.extend_from_slice(&self.dead.to_le_bytes());
        value.extend_from_slice(self.name.as_bytes());
        value
    }

    pub(super) fn read(value: &[u8]) -> Option<Row> {
        let (pending, rest) = value.split_first_chunk()?;
        let (dead, name) = rest.split_first_chunk()?;
        Some(Row {
            pending: u64::from_le_bytes(*pending),
            dead: u64::from_le_bytes(*dead),
            name: String::from_utf8(name.to_vec()).ok()?,
            ..Row::default()
        })
    }

    /// The value of what the target uses: the bytes, and the counts that they belong to.
    pub(super) fn write_usage(&self) -> [u8; 32] {
        let mut value = [0; 32];
        let numbers = [self.pending, self.dead, self.owed_bytes, self.dead_bytes];
        for (to, number) in value.chunks_exact_mut(8).zip(numbers) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        value
    }

    /// Reads a value of [`write_usage`](Row::write_usage). Returns false if it is missing, or
    /// belongs to other counts, since a program that does not know it has changed the queue.
    pub(super) fn read_usage(&mut self, value: Option<&[u8]>) -> bool {
        let mut numbers = value.unwrap_or_default().chunks_exact(8);
        let mut next = || {
            let number = numbers.next()?.try_into().ok();
            number.map(u64::from_le_bytes)
        };
        let counts = (next(), next());
        if counts != (Some(self.pending), Some(self.dead)) {
            return false;
        }
        self.owed_bytes = next().unwrap_or(0);
        self.dead_bytes = next().unwrap_or(0);
        true
    }

    /// Counts one owed entry more.
    pub(super) fn add_owed(&mut self, cost: u32) {
        self.pending += 1;
        self.owed_bytes = self.owed_bytes.saturating_add(u64::from(cost));
    }

    /// Counts owed entries less.
    pub(super) fn remove_owed(&mut self, count: u64, bytes: u64) {
        self.pending = self.pending.saturating_sub(count);
        self.owed_bytes = match self.pending {
            0 => 0,
            _ => self.owed_bytes.saturating_sub(bytes),
        };
    }

    /// Counts one dead letter more.
    pub(super) fn add_dead(&mut self, bytes: u64) {
        self.dead += 1;
        self.dead_bytes = self.dead_bytes.saturating_add(bytes);
    }

    /// Counts one dead letter less.
    pub(super) fn remove_dead(&mut self, bytes: u64) {
        self.dead = self.dead.saturating_sub(1);
        self.dead_bytes = match self.dead {
            0 => 0,
            _ => self.dead_bytes.saturating_sub(bytes),
        };
    }
}

/// A value in `aside`: the targets that held the entry, and its record as found.
pub(super) fn aside_value(targets: &[&str], record: &[u8]) -> Vec<u8> {
    let mut value = (targets.len() as u32).to_le_bytes().to_vec();
    for target in targets {
        value.extend_from_slice(&(target.len() as u32).to_le_bytes());
        value.extend_from_slice(target.as_bytes());
    }
    value.extend_from_slice(record);
    value
}

/// The targets and the record of a value in `aside`.
pub(super) fn read_aside(value: &[u8]) -> Option<(Vec<&str>, &[u8])> {
    let (count, mut rest) = value.split_first_chunk()?;
    let mut targets = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (len, tail) = rest.split_first_chunk()?;
        let (name, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        targets.push(std::str::from_utf8(name).ok()?);
        rest = tail;
    }
    Some((targets, rest))
}

/// Bytes of a value in `known`.
const KNOWN: usize = 44;

/// A value in `known`: the number of an idempotency key in `learnt`, and its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) number: u64,
    pub(super) learnt_at: u64,
    pub(super) id: EventId,
    /// The hash of the event's body; `None` if an earlier version wrote the value.
    pub(super) body_hash: Option<u64>,
}

/// The record of the idempotency key with this fingerprint.
pub(super) fn known_value(print: &[u8], known: Known) -> Vec<u8> {
    let mut value = Vec::with_capacity(KNOWN);
    value.extend_from_slice(&[0; 4]);
    value.extend_from_slice(&known.number.to_le_bytes());
    value.extend_from_slice(&known.learnt_at.to_le_bytes());
    value.extend_from_slice(&known.id.0);
    if let Some(hash) = known.body_hash {
        value.extend_from_slice(&hash.to_le_bytes());
    }
    let sum = checksum(print, &value[4..]);
    value[..4].copy_from_slice(&sum.to_le_bytes());
    value
}

/// The idempotency key of the record under `print`; `None` if the record is damaged.
pub(super) fn read_known(print: &[u8], value: &[u8]) -> Option<Known> {
    let (sum, rest) = value.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != checksum(print, rest) {
        return None;
    }
    let (number, rest) = rest.split_first_chunk()?;
    let (learnt_at, rest) = rest.split_first_chunk()?;
    let (id, hash) = rest.split_first_chunk()?;
    Some(Known {
        number: u64::from_le_bytes(*number),
        learnt_at: u64::from_le_bytes(*learnt_at),
        id: EventId(*id),
        body_hash: match hash {
            [] => None,
            hash => Some(u64::from_le_bytes(hash.try_into().ok()?)),
        },
    })
}

/// The number of a key in `learnt`.
pub(super) fn number_of_learnt(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// The CRC-32 of a record and its key, which also detects a record under the wrong key.
pub(super) fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(rest);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_event_reads_as_it_was_written(
            seq: u64, id: [u8; 16], accepted_at: u64, key: Vec<u8>, body: Vec<u8>,
            attributes in prop_oneof![Just(Vec::new()), any::<Vec<u8>>()],
        ) {
            let targets = [].into();
            let event = Event {
                id: EventId(id), key: key.into(), body: body.into(), accepted_at, targets,
                attributes: attributes.into(),
                idempotency_key: None,
                last_state: None,
            };
            let mut record = Vec::new();
            write_event(seq, &event, &mut record);
            prop_assert_eq!(record.len(), event_len(&event));
            let read = read_event(seq, &record).unwrap();
            prop_assert_eq!(
                (read.entry.0, read.id, read.accepted_at, read.key, read.body),
                (seq, event.id, accepted_at, &*event.key, &*event.body)
            );
            prop_assert_eq!(read.attributes, &*event.attributes);
        }

        #[test]
        fn a_flipped_bit_in_an_event_is_found(body: Vec<u8>, at: prop::sample::Index, bit in 0..8_u32) {
            let event = Event {
                id: EventId([7; 16]),
                key: (*b"key").into(),
                body: body.into(),
                accepted_at: 3,
                targets: [].into(),
                attributes: (*b"more").into(),
                idempotency_key: None,
                last_state: None,
            };
            let mut record = Vec::new();
            write_event(9, &event, &mut record);
            prop_assert!(read_event(8, &record).is_none(), "a record in another's place");
            record[at.index(event_len(&event))] ^= 1_u8 << bit;
            prop_assert!(read_event(9, &record).is_none());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            // A key is no longer than the record.
            prop_assert!(key_of_event(&bytes).is_none_or(|key| key.len() <= bytes.len()));
            prop_assert!(read_event(1, &bytes).is_none());
            prop_assert!(read_dead(&[0; 12], &bytes).is_none());
            prop_assert!(read_known(&[0; 16], &bytes).is_none());
            if !matches!(bytes.len(), 12 | 16) {
                prop_assert_eq!(read_owed(&bytes), (0, 0));
            }
            if !matches!(bytes.len(), 4 | 16) {
                prop_assert_eq!(cost_of_owed(&bytes), 0);
            }
            if let Some((targets, record)) = read_aside(&bytes) {
                prop_assert_eq!(aside_value(&targets, record), bytes.clone());
            }
            if let Some(row) = Row::read(&bytes) {
                prop_assert_eq!(row.write(), bytes);
            }
        }

        #[test]
        fn keys_sort_by_target_and_then_by_entry(a: (u32, u64), b: (u32, u64)) {
            prop_assert_eq!(target_key(a.0, a.1).cmp(&target_key(b.0, b.1)), a.cmp(&b));
            prop_assert_eq!(seq_of_target_key(&target_key(a.0, a.1)), Some(a.1));
            prop_assert_eq!(target_of_target_key(&target_key(a.0, a.1)), Some(a.0));
            prop_assert_eq!(target_of_row_key(&row_key(a.0)), Some(a.0));
            prop_assert_eq!(parse_by_key_key(&by_key_key(b.0, a.1)), Some((b.0, a.1)));
            prop_assert_eq!(parse_by_key_key(&[0xff; 14]), None, "there is no such segment");
        }
    }

    /// A damaged record can count less when it is removed than when it was added.
    #[test]
    fn a_target_without_entries_counts_no_bytes() {
        let mut row = Row::default();
        for cost in [100, 200] {
            row.add_owed(cost);
            row.add_dead(u64::from(cost));
        }
        for left in [290, 0] {
            row.remove_owed(1, 10);
            row.remove_dead(10);
            assert_eq!((row.owed_bytes, row.dead_bytes), (left, left));
        }
    }

    #[test]
    fn the_format_is_the_documented_one() {
        let event = Event {
            id: EventId(*b"0123456789abcdef"),
            key: (*b"task").into(),
            body: (*b"{}").into(),
            accepted_at: 0x0102,
            targets: [].into(),
            attributes: [].into(),
            idempotency_key: None,
            last_state: None,
        };
        let mut record = Vec::new();
        write_event(1, &event, &mut record);
        let rest = b"\x04\0\0\0\x02\x01\0\0\0\0\0\x000123456789abcdeftask{}";
        assert_eq!(record[4..], rest[..]);
        let sum = crc32fast::hash(&[&[0, 0, 0, 0, 0, 0, 0, 1][..], &rest[..]].concat());
        assert_eq!(record[..4], sum.to_le_bytes());
        let event = Event {
            attributes: (*b"more").into(),
            ..event
        };
        write_event(1, &event, &mut record);
        let rest = b"\x04\0\0\x80\x02\x01\0\0\0\0\0\x000123456789abcdeftask\x04\0\0\0more{}";
        assert_eq!(record[4..], rest[..]);
        let owed = owed_value(3, 0x0405, 6);
        assert_eq!(owed, *b"\x03\0\0\0\x05\x04\0\0\0\0\0\0\x06\0\0\0");
        assert_eq!((read_owed(&owed), cost_of_owed(&owed)), ((3, 0x0405), 6));
        assert_eq!(
            (read_owed(&owed[..12]), cost_of_owed(&owed[..12])),
            ((3, 0x0405), 0)
        );
        assert_eq!(
            (read_owed(&owed[12..]), cost_of_owed(&owed[12..])),
            ((0, 0), 6)
        );
        assert_eq!(usage_key(2), *b"u\0\0\0\x02");
        assert_eq!(row_key(2), *b"t\0\0\0\x02");
        let row = Row {
            pending: 1,
            dead: 2,
            name: "a".into(),
            ..Row::default()
        };
        let known = Known {
            number: 5,
            learnt_at: 6,
            id: EventId(*b"0123456789abcdef"),
            body_hash: Some(7),
        };
        let value = known_value(&[9; 16], known);
        assert_eq!(
            value[4..],
            *b"\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\x000123456789abcdef\x07\0\0\0\0\0\0\0"
        );
        assert_eq!(read_known(&[9; 16], &value), Some(known));
        assert_eq!(read_known(&[8; 16], &value), None);
        let earlier = Known {
            body_hash: None,
            ..known
        };
        let value = known_value(&[9; 16], earlier);
        assert_eq!(value.len(), 36, "as before there was a hash");
        assert_eq!(read_known(&[9; 16], &value), Some(earlier));
        assert_eq!(row.write(), b"\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0a");
    }
}
