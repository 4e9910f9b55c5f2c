//! The room of a queue: how much appends may use, and how much is reserved for settlements.
//!
//! These rules hold for every queue, whatever is stored in it (`tests/queue/room.rs`):
//! - What is admitted fits: LMDB has room for each append that [`Capacity::admit`] lets through.
//! - Any settlement fits: each settlement of a full queue can be committed alone. A group of them may
//!   change more pages than are reserved, and is then committed in parts.
//! - The data file is never larger than [`Capacity::max`], unless it was written with a larger bound.

use heed::{AnyTls, RoTxn};

use super::fault::Fault;
use super::pieces::PIECE;
use super::record;
use super::tables::Tables;
use crate::{DuplicateWindow, Event, LastState, QueueError, has_room_to_keep};

/// The smallest queue.
const MIN_BYTES: u64 = 1 << 20;

/// The largest reserve for settlements.
const MAX_RESERVE: u64 = 64 << 20;

/// The largest event that the format can store: the length of a key has 31 bits.
const MAX_EVENT: u64 = i32::MAX as u64;

/// The most bytes that settling an owed entry may add: its dead letter without a note, or its
/// attempts. Twice the size on a full page.
const SETTLEMENT: u64 = 64;

/// Bytes of an event besides its record: its entries in the index by key and in `shares`.
const PER_EVENT: u64 = 80;

/// Bytes of an event for each target: its entry in `owed`, and what settling it may add.
const PER_TARGET: u64 = 48 + SETTLEMENT;

/// Bytes of a known idempotency key in its two tables.
const PER_KEY: u64 = 160;

/// Bytes of a last state in its two tables, besides the state, and of one with the longest state. Rows
/// are removed everywhere from `changed`, and LMDB merges pages that are a quarter full.
const PER_STATE: u64 = 191;
const PER_LONGEST_STATE: u64 = PER_STATE + LastState::MAX_BYTES as u64 * 8 / 5;

/// Last states may use this fraction of the queue, as a divisor.
const STATES_PART: u64 = 16;

/// Known keys may use this fraction of the queue, as a divisor. It is less than what the largest
/// allowed event leaves free in an empty queue.
const KEYS_PART: u64 = 16;

/// Bytes of a piece: a page of the smallest size that LMDB uses, and its entry in a table.
const PIECE_PAGE: u64 = 4096 + 40;

/// The room of a queue, bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// The largest size of the data file.
    pub(super) max: u64,
    /// Bytes that appends leave free for settlements: a transaction copies each page that it
    /// changes before the old one is free.
    reserve: u64,
}

impl Capacity {
    pub(super) fn new(max_bytes: u64) -> Capacity {
        // LMDB needs whole pages, and the system's page size varies.
        let max = max_bytes
            .clamp(MIN_BYTES, i64::MAX as u64 / 2)
            .next_multiple_of(1 << 16);
        Capacity {
            max,
            reserve: (max / 4).min(MAX_RESERVE),
        }
    }

    /// Bytes that appends may use.
    fn room(&self) -> u64 {
        self.max - self.reserve
    }

    /// The size of LMDB's map for a queue with `used` bytes in use: `max`, or more if the queue was
    /// written with a larger bound, so that its entries can still be settled.
    pub(super) fn map_size(&self, used: u64) -> usize {
        let size = match used.saturating_add(self.reserve / 2) {
            least if least <= self.max => self.max,
            _ => used
                .saturating_add(self.reserve)
                .checked_next_multiple_of(1 << 16)
                .unwrap_or(u64::MAX),
        };
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// The window in force if `asked` is configured: keys may use a fraction of the queue only.
    pub(super) fn window(&self, asked: DuplicateWindow) -> DuplicateWindow {
        DuplicateWindow {
            keys: asked.keys.min(self.max / KEYS_PART / PER_KEY),
            ..asked
        }
    }

    /// The number of last states in force if `asked` is configured, likewise.
    pub(super) fn max_states(&self, asked: u64) -> u64 {
        asked.min(self.max / STATES_PART / PER_LONGEST_STATE)
    }

    /// Checks that events of these sizes fit. Returns the bytes that are free once they are stored.
    pub(super) fn admit(
        &self,
        tables: &Tables,
        txn: &RoTxn<'_, AnyTls>,
        sizes: impl Iterator<Item = u64>,
    ) -> Result<u64, Fault> {
        let used = self.charged(tables, txn)?;
        self.check(used, sizes).map_err(Fault::Refused)
    }

    /// Checks that events of these sizes fit beside `used` bytes. Returns the bytes left free.
    fn check(&self, used: u64, sizes: impl Iterator<Item = u64>) -> Result<u64, QueueError> {
        let room = self.room();
        // An empty queue, too, has some pages in use.
        let max = (room - room / 8).min(MAX_EVENT);
        let mut need = 0_u64;
        for size in sizes {
            if size > max {
                return Err(QueueError::TooLarge { size, max });
            }
            need = need.saturating_add(size);
        }
        let needed = used.saturating_add(need);
        if need > 0 && needed > room {
            return Err(QueueError::Full { used, max: room });
        }
        Ok(room.saturating_sub(needed))
    }

    /// The error of an append that no target has room for.
    pub(super) fn full(
        &self,
        tables: &Tables,
        txn: &RoTxn<'_, AnyTls>,
    ) -> heed::Result<QueueError> {
        Ok(QueueError::Full {
            used: self.charged(tables, txn)?,
            max: self.room(),
        })
    }

    /// Whether deliveries are kept. Keeping one takes no more than was charged for its settlement.
    pub(super) fn has_room_to_keep(
        &self,
        tables: &Tables,
        txn: &RoTxn<'_, AnyTls>,
    ) -> heed::Result<bool> {
        Ok(has_room_to_keep(self.charged(tables, txn)?, self.room()))
    }

    /// Whether the note of a dead letter fits: notes may use half of the reserve.
    pub(super) fn fits_note(
        &self,
        tables: &Tables,
        txn: &RoTxn<'_, AnyTls>,
        note: usize,
    ) -> heed::Result<bool> {
        Ok(self.has_room_for_note(self.charged(tables, txn)?, note))
    }

    fn has_room_for_note(&self, used: u64, note: usize) -> bool {
        used.saturating_add(pages(note as u64)) <= self.max - self.reserve / 2
    }

    /// Bytes in use up to which appends are admitted, as long as what is owed stays the same.
    pub(super) fn usable(&self, tables: &Tables, txn: &RoTxn<'_, AnyTls>) -> heed::Result<u64> {
        Ok(self.room().saturating_sub(to_settle(tables, txn)?))
    }

    /// Bytes in use, plus those that settling all owed entries may add.
    fn charged(&self, tables: &Tables, txn: &RoTxn<'_, AnyTls>) -> heed::Result<u64> {
        Ok(tables.used(txn)?.saturating_add(to_settle(tables, txn)?))
    }
}

/// Bytes that settling all owed entries may add.
fn to_settle(tables: &Tables, txn: &RoTxn<'_, AnyTls>) -> heed::Result<u64> {
    Ok(tables.owed.len(txn)?.saturating_mul(SETTLEMENT))
}

/// An upper bound of the bytes that an event takes.
pub(super) fn size(event: &Event) -> u64 {
    let last_state = event.last_state.as_deref();
    let appended = last_state.map_or(0, LastState::most_appended);
    let record = (record::event_len(event) + appended) as u64;
    let state = last_state.map_or(0, |it| PER_STATE + it.state.len() as u64 * 8 / 5);
    let keys = size_of_key(event) + state;
    match event.targets.len() as u64 {
        // It is not stored.
        0 => keys,
        targets => pages(record)
            .saturating_add(PER_EVENT + keys)
            .saturating_add(PER_TARGET.saturating_mul(targets)),
    }
}

/// An upper bound of the bytes that the idempotency key of an event takes, if it has one.
pub(super) fn size_of_key(event: &Event) -> u64 {
    event.idempotency_key.as_ref().map_or(0, |_| PER_KEY)
}

/// The bytes that an event counts for each of its targets, by the length of its record: an upper
/// bound of what it takes if it has no other target.
pub(super) fn cost(record: usize) -> u32 {
    let bytes = pages(record as u64).saturating_add(PER_EVENT + PER_TARGET);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Bytes that a value takes: it shares a page, or has a page for each piece if it is longer than
/// half a page.
fn pages(value: u64) -> u64 {
    let pieces = value / PIECE as u64;
    let last = match value % PIECE as u64 {
        0 if pieces > 0 => 0,
        short @ 0..1900 => (short + 32) * 5 / 4,
        _ => PIECE_PAGE,
    };
    pieces.saturating_mul(PIECE_PAGE).saturating_add(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DiskQueue, Options, Queue};

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    #[test]
    fn a_quarter_and_at_most_64_mib_is_reserved() {
        let room = |max_bytes| {
            let capacity = Capacity::new(max_bytes);
            (capacity.max, capacity.reserve)
        };
        assert_eq!(room(0), (MIB, 256 * KIB));
        assert_eq!(room(MIB), (MIB, 256 * KIB));
        assert_eq!(room(MIB + 1), (MIB + 64 * KIB, 272 * KIB));
        assert_eq!(room(256 * MIB), (256 * MIB, 64 * MIB));
        assert_eq!(room(512 * MIB), (512 * MIB, 64 * MIB));
        assert!(room(u64::MAX).0 <= i64::MAX as u64);
    }

    #[test]
    fn the_map_is_as_large_as_the_bound_unless_more_is_stored() {
        let capacity = Capacity::new(4 * MIB);
        let size = |used| capacity.map_size(used) as u64;
        // Half of the reserve may be used by notes.
        assert_eq!(size(0), 4 * MIB);
        assert_eq!(size(3 * MIB + 512 * KIB), 4 * MIB);
        assert_eq!(size(3 * MIB + 512 * KIB + 1), 4 * MIB + 576 * KIB);
        assert_eq!(size(10 * MIB), 11 * MIB);
        assert_eq!(size(u64::MAX), u64::MAX);
    }

    #[test]
    fn events_are_admitted_up_to_the_reserve_and_no_further() {
        let capacity = Capacity::new(4 * MIB);
        let room = 3 * MIB;
        let check = |used, sizes: &[u64]| capacity.check(used, sizes.iter().copied());
        // The bytes left free are returned.
        assert_eq!(check(0, &[]).unwrap(), room);
        assert_eq!(check(MIB, &[1000, 24]).unwrap(), 2 * MIB - KIB);
        assert_eq!(check(0, &[MIB, MIB, MIB]).unwrap(), 0);
        assert_eq!(check(MIB, &[MIB, MIB]).unwrap(), 0);
        for (used, sizes) in [
            (MIB, &[MIB, MIB + 1][..]),
            (MIB + 1, &[MIB, MIB]),
            (room, &[1]),
        ] {
            let error = check(used, sizes).unwrap_err();
            assert!(
                matches!(error, QueueError::Full { used: found, max } if (found, max) == (used, room))
            );
        }
        // What stores nothing fits always.
        assert_eq!(check(room + 1, &[]).unwrap(), 0);
        // One event has to leave an eighth of the room.
        let largest = room - room / 8;
        assert!(check(0, &[largest]).is_ok());
        let error = check(0, &[10, largest + 1]).unwrap_err();
        assert!(
            matches!(error, QueueError::TooLarge { size, max } if (size, max) == (largest + 1, largest))
        );
        // A key has at most 31 bits of length.
        let huge = Capacity::new(64 << 30);
        assert!(huge.check(0, [MAX_EVENT].into_iter()).is_ok());
        let error = huge.check(0, [MAX_EVENT + 1].into_iter());
        assert!(matches!(error, Err(QueueError::TooLarge { .. })));
    }

    #[test]
    fn notes_may_use_half_of_the_reserve() {
        let capacity = Capacity::new(4 * MIB);
        let bound = 3 * MIB + 512 * KIB;
        for note in [0, 100, 3000] {
            let last = bound - pages(note as u64);
            assert!(capacity.has_room_for_note(last, note));
            assert!(!capacity.has_room_for_note(last + 1, note));
        }
    }

    #[test]
    fn each_owed_entry_is_charged_for_its_settlement_besides_the_pages_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(4 * MIB)).unwrap();
        let event = event(100, 2, false);
        queue.commit(&vec![event.clone(); 50], &[]).unwrap();
        let (capacity, tables) = (&queue.capacity, &queue.store.tables());
        let txn = &*tables.env.read_txn().unwrap();
        let charged = tables.used(txn).unwrap() + 100 * 64;

        let full = capacity.full(tables, txn).unwrap();
        assert!(
            matches!(full, QueueError::Full { used, max } if (used, max) == (charged, 3 * MIB))
        );
        let free = 3 * MIB - charged;
        let statistics = queue.statistics().unwrap();
        assert_eq!(statistics.usable_bytes - statistics.bytes, free);
        let admit = |events: &[Event]| capacity.admit(tables, txn, events.iter().map(size)).ok();
        assert_eq!(admit(&[]), Some(free));
        assert_eq!(admit(&[event]), Some(free - (136 + 32) * 5 / 4 - 80 - 224));

        // A note of whole pieces takes whole pages, up to half of the reserve.
        let pieces = (free + 512 * KIB) / 4136;
        let fits_note = |pieces| {
            capacity
                .fits_note(tables, txn, pieces as usize * PIECE)
                .unwrap()
        };
        assert!(fits_note(pieces));
        assert!(!fits_note(pieces + 1));
    }

    #[test]
    fn keys_may_use_a_sixteenth() {
        let asked = |keys| DuplicateWindow { age_ms: 5, keys };
        let window = |keys| Capacity::new(256 * MIB).window(asked(keys));
        assert_eq!(window(u64::MAX), asked(104_857));
        assert_eq!(window(7), asked(7));
    }

    fn event(body: usize, targets: usize, has_key: bool) -> Event {
        Event {
            id: crate::EventId([0; 16]),
            key: (*b"task").into(),
            body: vec![0; body].into(),
            accepted_at: 0,
            targets: (0..targets).map(|at| at.to_string().into()).collect(),
            attributes: [].into(),
            idempotency_key: has_key.then(|| (*b"once").into()),
            last_state: None,
        }
    }

    #[test]
    fn an_event_is_charged_for_its_record_its_targets_and_its_key() {
        let charged = |body, targets, has_key| size(&event(body, targets, has_key));
        // A record has 32 bytes, its key and its body.
        assert_eq!(charged(0, 1, false), (36 + 32) * 5 / 4 + 80 + 112);
        assert_eq!(charged(0, 5, false), charged(0, 1, false) + 4 * 112);
        assert_eq!(charged(0, 1, true), charged(0, 1, false) + 160);
        assert_eq!(charged(1000, 1, false), (1036 + 32) * 5 / 4 + 80 + 112);
        // Without a target, it is not stored.
        assert_eq!((charged(1000, 0, false), charged(1000, 0, true)), (0, 160));
        // From half a page on, a record has pages of its own.
        assert_eq!(charged(1863, 1, false), (1899 + 32) * 5 / 4 + 80 + 112);
        assert_eq!(charged(1864, 1, false), 4136 + 80 + 112);
        assert_eq!(charged(4080 - 36, 1, false), 4136 + 80 + 112);
        // A longer one has a page for each piece; a short rest shares one.
        assert_eq!(
            charged(4081 - 36, 1, false),
            4136 + (1 + 32) * 5 / 4 + 80 + 112
        );
        assert_eq!(charged(2 * 4080 - 37, 1, false), 2 * 4136 + 80 + 112);
        assert_eq!(charged(2 * 4080 - 36, 1, false), 2 * 4136 + 80 + 112);
        assert_eq!(charged(700_000, 1, false), 171 * 4136 + 4136 + 80 + 112);
    }

    #[test]
    fn a_last_state_is_charged_with_what_may_be_appended_to_the_attributes() {
        let with = |state: &[u8], append_previous| {
            let key = (*b"k").into();
            size(&Event {
                last_state: Some(Box::new(LastState {
                    key,
                    state: state.into(),
                    append_previous,
                    changes_only: [].into(),
                })),
                ..event(1000, 1, false)
            })
        };
        let without = size(&event(1000, 1, false));
        assert_eq!(with(b"", false), without + 191);
        assert_eq!(with(&[0; 10], false), without + 207);
        assert_eq!(with(b"", true), without + 191 + 260 * 5 / 4);
        let capacity = Capacity::new(256 * MIB);
        let most = capacity.max_states(u64::MAX);
        assert_eq!((capacity.max_states(7), most), (7, 16 * MIB / 600));
        assert!(with(&[0; 256], false) - without <= 16 * MIB / most);
    }

    #[test]
    fn an_empty_value_has_a_header_and_one_of_whole_pieces_has_no_other_page() {
        assert_eq!(pages(0), 40);
        assert_eq!(pages(PIECE as u64), 4136);
        assert_eq!(pages(10 * PIECE as u64), 10 * 4136);
    }

    #[test]
    fn each_target_of_an_event_is_charged_as_if_it_were_the_only_one() {
        for body in [0, 100, 1863, 1864, 10_000] {
            let event = event(body, 1, false);
            let record = record::event_len(&event);
            assert_eq!(u64::from(cost(record)), size(&event));
        }
        assert_eq!(cost(36), (36 + 32) * 5 / 4 + 80 + 112);
        assert_eq!(cost(usize::MAX), u32::MAX);
    }
}
