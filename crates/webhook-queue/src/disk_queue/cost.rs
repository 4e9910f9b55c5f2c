//! The bytes that events and dead letters count for their targets.

use heed::{AnyTls, RoTxn};

use super::tables::Tables;
use super::{capacity, pieces};

/// The bytes that an event counts for each of its targets; 0 if it is missing.
pub(super) fn of_event(tables: &Tables, txn: &RoTxn<'_, AnyTls>, seq: u64) -> heed::Result<u32> {
    let length = pieces::record_len(tables, txn, seq)?;
    Ok(length.map_or(0, capacity::cost))
}

/// The bytes that a dead letter counts for its target; `value` is the length of its own record.
pub(super) fn of_dead(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    seq: u64,
    value: usize,
) -> heed::Result<u64> {
    Ok(u64::from(of_event(tables, txn, seq)?) + value as u64)
}
