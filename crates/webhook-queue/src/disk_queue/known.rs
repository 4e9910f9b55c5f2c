//! Which idempotency keys are known, on the disk: as [`RecentKeys`](crate::RecentKeys) does it in
//! memory.

use heed::{AnyTls, PutFlags, RoTxn, RwTxn};

use super::record::{self, Known};
use super::tables::Tables;
use crate::duplicates::FORGOTTEN_AT_ONCE;
use crate::{DuplicateWindow, EventId};

/// The name of the event that came with this key, if it is known at the time `now`.
pub(super) fn find(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    print: &[u8; 16],
    (window, now): (DuplicateWindow, u64),
) -> heed::Result<Option<EventId>> {
    let known = tables.known.get(txn, print)?;
    let known = known.and_then(|value| record::read_known(print, value));
    Ok(known
        .filter(|known| window.covers(known.learnt_at, now))
        .map(|known| known.id))
}

/// Knows the key of an event from now on, and forgets some of the oldest ones that there is no
/// room for, or whose time is over.
pub(super) fn learn(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    print: &[u8; 16],
    id: EventId,
    (window, now): (DuplicateWindow, u64),
) -> heed::Result<()> {
    if window.keys == 0 {
        return Ok(());
    }
    let last = tables.learnt.last(txn)?;
    let last = last.and_then(|(key, _)| record::number_of_learnt(key));
    let number = last.map_or(0, |last| last.saturating_add(1));
    let known = Known {
        number,
        learnt_at: now,
        id,
    };
    let value = record::known_value(print, known);
    tables.known.put(txn, print, &value)?;
    tables
        .learnt
        .put_with_flags(txn, PutFlags::APPEND, &number.to_be_bytes(), print)?;
    for _ in 0..FORGOTTEN_AT_ONCE {
        if !forget_oldest(tables, txn, (window, Some(now)))? {
            break;
        }
    }
    Ok(())
}

/// Forgets up to `limit` of the oldest keys that a smaller bound has no room for; whether there
/// may be more.
pub(super) fn trim(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    window: DuplicateWindow,
    limit: usize,
) -> heed::Result<bool> {
    for _ in 0..limit {
        if !forget_oldest(tables, txn, (window, None))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the oldest had to go, for want of room or since its time is over, and did.
fn forget_oldest(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    (window, now): (DuplicateWindow, Option<u64>),
) -> heed::Result<bool> {
    let Some((key, print)) = tables.learnt.first(txn)? else {
        return Ok(false);
    };
    let over = tables.learnt.len(txn)? > window.keys;
    if !over && now.is_none() {
        return Ok(false);
    }
    let (key, print) = (key.to_vec(), print.to_vec());
    let value = tables.known.get(txn, &print)?;
    let known = value.and_then(|value| record::read_known(&print, value));
    // A key that was learnt anew since has a later place, which counts.
    let later = known.is_some_and(|known| Some(known.number) != record::number_of_learnt(&key));
    let covered = |known: Known| now.is_none_or(|now| window.covers(known.learnt_at, now));
    if !over && !later && known.is_some_and(covered) {
        return Ok(false);
    }
    if !later {
        // One whose record is damaged goes as well.
        tables.known.delete(txn, &print)?;
    }
    tables.learnt.delete(txn, &key)?;
    Ok(true)
}
