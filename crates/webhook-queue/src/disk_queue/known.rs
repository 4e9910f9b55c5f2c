//! Remembers idempotency keys on the disk, as [`RecentKeys`](crate::RecentKeys) does in memory.

use heed::{AnyTls, PutFlags, RoTxn, RwTxn};

use super::record::{self, Known};
use super::tables::Tables;
use crate::duplicates::FORGOTTEN_AT_ONCE;
use crate::{DuplicateWindow, EventId};

/// The id of the event that had this key, if the key is known at the time `now`.
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

/// Whether the event that had this key had a body with this hash, as far as is known.
pub(super) fn is_repetition(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    print: &[u8; 16],
    body_hash: u64,
) -> heed::Result<bool> {
    let known = tables.known.get(txn, print)?;
    let known = known.and_then(|value| record::read_known(print, value));
    let first = known.and_then(|known| known.body_hash);
    Ok(first.is_none_or(|first| first == body_hash))
}

/// Remembers the key of an event, and forgets some of the oldest keys that are past a bound.
pub(super) fn learn(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    print: &[u8; 16],
    (id, body_hash): (EventId, u64),
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
        body_hash: Some(body_hash),
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

/// Forgets up to `limit` of the oldest keys, if there are more than the bound.
pub(super) fn trim(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    window: DuplicateWindow,
    limit: usize,
) -> heed::Result<()> {
    for _ in 0..limit {
        forget_oldest(tables, txn, (window, None))?;
    }
    Ok(())
}

/// Forgets the oldest key if there are too many or, with a time `now`, if it has expired; whether
/// it was forgotten.
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
    // A key that was learnt again has a later number.
    let later = known.is_some_and(|known| Some(known.number) != record::number_of_learnt(&key));
    let covered = |known: Known| now.is_none_or(|now| window.covers(known.learnt_at, now));
    if !over && !later && known.is_some_and(covered) {
        return Ok(false);
    }
    if !later {
        // This also removes a key whose record is damaged.
        tables.known.delete(txn, &print)?;
    }
    tables.learnt.delete(txn, &key)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DiskQueue, Options};

    #[test]
    fn each_new_key_forgets_some_that_are_past_a_bound_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(1 << 20)).unwrap();
        let tables = queue.store.tables();
        let mut txn = tables.env.write_txn().unwrap();
        let window = DuplicateWindow {
            age_ms: 10,
            keys: 100,
        };
        let mut known_after = |key: u8, now| {
            let id = EventId([key; 16]);
            learn(&tables, &mut txn, &[key; 16], (id, 0), (window, now)).unwrap();
            let listed = tables.learnt.len(&txn).unwrap();
            assert_eq!(tables.known.len(&txn).unwrap(), listed);
            listed
        };
        for key in 1..=10 {
            assert_eq!(known_after(key, 0), u64::from(key));
        }
        assert_eq!(known_after(11, 20), 11 - 4);
        assert_eq!(known_after(12, 20), 8 - 4);
        assert_eq!(known_after(13, 20), 5 - 2);
        assert_eq!(known_after(14, 20), 4);
    }
}
