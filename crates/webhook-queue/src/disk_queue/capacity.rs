//! The room of a queue: how much appends may use, and how much is reserved for settlements.

use heed::{AnyTls, RoTxn};

use super::fault::Fault;
use super::record;
use super::tables::Tables;
use crate::{DuplicateWindow, Event, QueueError};

/// The smallest queue.
const MIN_BYTES: u64 = 1 << 20;

/// The largest reserve for settlements.
const MAX_RESERVE: u64 = 64 << 20;

/// The largest event that LMDB and the format can store.
const MAX_EVENT: u64 = u32::MAX as u64;

/// The most bytes that settling an owed entry may add: its dead letter without a note, or its
/// attempts. Twice the size on a full page.
const SETTLEMENT: u64 = 64;

/// Bytes of an event besides its record: its entries in the index by key and in `shares`.
const PER_EVENT: u64 = 80;

/// Bytes of an event for each target: its entry in `owed`, and what settling it may add.
const PER_TARGET: u64 = 48 + SETTLEMENT;

/// Bytes of a known idempotency key in its two tables.
const PER_KEY: u64 = 160;

/// Known keys may use this fraction of the queue, as a divisor. It is less than what the largest
/// allowed event leaves free in an empty queue.
const KEYS_PART: u64 = 16;

/// A page of the smallest size that LMDB uses.
const PAGE: u64 = 4096;

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

    /// The size of LMDB's map for a queue with `used` bytes in use. It is larger than `max` if the
    /// queue was written with a larger bound, so that its entries can still be settled.
    pub(super) fn map_size(&self, used: u64) -> usize {
        let least = used.saturating_add(self.reserve).next_multiple_of(1 << 16);
        usize::try_from(least.max(self.max)).unwrap_or(usize::MAX)
    }

    /// The window in force if `asked` is configured: keys may use a fraction of the queue only.
    pub(super) fn window(&self, asked: DuplicateWindow) -> DuplicateWindow {
        DuplicateWindow {
            keys: asked.keys.min(self.max / KEYS_PART / PER_KEY),
            ..asked
        }
    }

    /// Checks that the events fit.
    pub(super) fn admit<'e>(
        &self,
        tables: &Tables,
        txn: &RoTxn<'_, AnyTls>,
        events: impl Iterator<Item = &'e Event>,
    ) -> Result<(), Fault> {
        let room = self.max - self.reserve;
        let mut need = 0_u64;
        for event in events {
            let size = size(event);
            // An empty queue, too, has some pages in use.
            if size > room - room / 8 || size > MAX_EVENT {
                return Err(Fault::Refused(QueueError::TooLarge {
                    size,
                    max: room - room / 8,
                }));
            }
            need = need.saturating_add(size);
        }
        let used = self.charged(tables, txn)?;
        if used.saturating_add(need) > room {
            return Err(Fault::Refused(QueueError::Full { used, max: room }));
        }
        Ok(())
    }

    /// Whether the note of a dead letter fits: notes may use half of the reserve.
    pub(super) fn fits_note(
        &self,
        tables: &Tables,
        txn: &RoTxn<'_, AnyTls>,
        note: usize,
    ) -> heed::Result<bool> {
        let used = self.charged(tables, txn)?;
        Ok(used.saturating_add(pages(note as u64)) <= self.max - self.reserve / 2)
    }

    /// Bytes in use, plus those that settling all owed entries may add.
    fn charged(&self, tables: &Tables, txn: &RoTxn<'_, AnyTls>) -> heed::Result<u64> {
        let to_settle = tables.owed.len(txn)?.saturating_mul(SETTLEMENT);
        Ok(tables.used(txn)?.saturating_add(to_settle))
    }
}

/// An upper bound of the bytes that an event takes.
fn size(event: &Event) -> u64 {
    let record = record::event_len(event) as u64;
    let key = event.idempotency_key.as_ref().map_or(0, |_| PER_KEY);
    pages(record)
        .saturating_add(PER_EVENT + key)
        .saturating_add(PER_TARGET.saturating_mul(event.targets.len() as u64))
}

/// Bytes that a value takes: it shares a page, or has pages of its own if it is longer than half a
/// page.
fn pages(value: u64) -> u64 {
    match value {
        0..1900 => (value + 32) * 5 / 4,
        _ => value
            .saturating_add(16)
            .next_multiple_of(PAGE)
            .saturating_add(40),
    }
}
