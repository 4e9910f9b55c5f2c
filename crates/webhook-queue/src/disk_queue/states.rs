//! The last states of keys on the disk, as [`LastStates`](crate::LastStates) keeps them in memory.

use heed::{AnyTls, PutFlags, RoTxn, RwTxn};

use super::record::checksum;
use super::tables::StateTables;

/// A row of `states`: the number of the key's last change in `changed`, and the state.
struct State<'t> {
    number: u64,
    state: &'t [u8],
}

/// The row of the key with this fingerprint.
fn write(print: &[u8; 16], number: u64, state: &[u8]) -> Vec<u8> {
    let number = number.to_le_bytes();
    let rest = [&number[..], state].concat();
    [&checksum(print, &rest).to_le_bytes()[..], &rest].concat()
}

/// The state of the row under `print`; `None` if the row is damaged.
fn read<'t>(print: &[u8], row: &'t [u8]) -> Option<State<'t>> {
    let (sum, rest) = row.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != checksum(print, rest) {
        return None;
    }
    let (number, state) = rest.split_first_chunk()?;
    let number = u64::from_le_bytes(*number);
    Some(State { number, state })
}

/// The number of a key in `changed`.
fn number_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

fn find<'t>(
    tables: &StateTables,
    txn: &'t RoTxn<'_, AnyTls>,
    print: &[u8; 16],
) -> heed::Result<Option<State<'t>>> {
    let row = tables.states.get(txn, print)?;
    Ok(row.and_then(|row| read(print, row)))
}

/// The last state of a key, if it is known.
pub(super) fn get<'t>(
    tables: &StateTables,
    txn: &'t RoTxn<'_, AnyTls>,
    print: &[u8; 16],
) -> heed::Result<Option<&'t [u8]>> {
    Ok(find(tables, txn, print)?.map(|found| found.state))
}

/// Replaces the last state of a key, and forgets the one that was not changed for longest if there
/// are more than `max`.
pub(super) fn set(
    tables: &StateTables,
    txn: &mut RwTxn<'_>,
    print: &[u8; 16],
    state: &[u8],
    max: u64,
) -> heed::Result<()> {
    if max == 0 {
        return Ok(());
    }
    if let Some(before) = find(tables, txn, print)?.map(|found| found.number) {
        tables.changed.delete(txn, &before.to_be_bytes())?;
    }
    let last = tables.changed.last(txn)?;
    let last = last.and_then(|(key, _)| number_of(key));
    let number = last.map_or(0, |last| last.saturating_add(1));
    let (changed, key) = (&tables.changed, number.to_be_bytes());
    changed.put_with_flags(txn, PutFlags::APPEND, &key, print)?;
    tables
        .states
        .put(txn, print, &write(print, number, state))?;
    forget_oldest(tables, txn, max)
}

/// Forgets up to `limit` states over the bound.
pub(super) fn trim(
    tables: &StateTables,
    txn: &mut RwTxn<'_>,
    max: u64,
    limit: usize,
) -> heed::Result<()> {
    for _ in 0..limit {
        forget_oldest(tables, txn, max)?;
    }
    Ok(())
}

/// Forgets the state that was not changed for longest, if there are too many.
fn forget_oldest(tables: &StateTables, txn: &mut RwTxn<'_>, max: u64) -> heed::Result<()> {
    if tables.changed.len(txn)? <= max {
        return Ok(());
    }
    let Some((key, print)) = tables.changed.first(txn)? else {
        return Ok(());
    };
    let (key, print) = (key.to_vec(), print.to_vec());
    let row = tables.states.get(txn, &print)?;
    // The row of a change before a damaged one may remain after the key has changed again.
    let later = row.and_then(|row| read(&print, row));
    if later.is_none_or(|state| Some(state.number) == number_of(&key)) {
        tables.states.delete(txn, &print)?;
    }
    tables.changed.delete(txn, &key)?;
    Ok(())
}

/// How many rows are damaged, and how many others have no row in `changed`.
pub(super) fn problems(tables: &StateTables, txn: &RoTxn<'_, AnyTls>) -> heed::Result<(u64, u64)> {
    let (mut damaged, mut lost) = (0, 0);
    for item in tables.states.iter(txn)? {
        let (print, row) = item?;
        match read(print, row) {
            None => damaged += 1,
            Some(state) => {
                let found = tables.changed.get(txn, &state.number.to_be_bytes())?;
                lost += u64::from(found != Some(print));
            }
        }
    }
    Ok((damaged, lost))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_format_is_the_documented_one() {
        let row = write(&[9; 16], 5, b"LOST");
        assert_eq!(row[4..], *b"\x05\0\0\0\0\0\0\0LOST");
        let sum = crc32fast::hash(&[&[9; 16][..], &row[4..]].concat());
        assert_eq!(row[..4], sum.to_le_bytes());
    }

    proptest! {
        #[test]
        fn a_row_reads_as_it_was_written_and_a_flipped_bit_is_found(
            print: [u8; 16], number: u64, state: Vec<u8>, at: prop::sample::Index, bit in 0..8_u32,
        ) {
            let mut row = write(&print, number, &state);
            let found = read(&print, &row).map(|found| (found.number, found.state));
            prop_assert_eq!(found, Some((number, &state[..])));
            let index = at.index(row.len());
            row[index] ^= 1_u8 << bit;
            prop_assert!(read(&print, &row).is_none());
        }
    }
}
