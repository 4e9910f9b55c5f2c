//! Checks every record of a queue, and that its tables agree.

use std::collections::BTreeMap;
use std::ops::Bound;

use heed::{RoTxn, WithoutTls};

use super::change::{NEXT, read_next};
use super::cost;
use super::fault::{is_damage, storage};
use super::pieces;
use super::record;
use super::states;
use super::tables::{Table, Tables};
use super::target_rows::{Rows, read_rows};
use crate::{QueueError, Verification, target_of_kept};

/// The most events, and bytes of events, that are read from one snapshot: while it is held, no
/// freed space is reused.
const EVENTS_AT_ONCE: usize = 1024;
const BYTES_AT_ONCE: usize = 8 << 20;

/// How much of a queue is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The tables with their references to each other. Takes a second for a million events.
    Tables,
    /// The content of the events, too.
    Events,
}

/// Checks the tables as they are now, even if they change meanwhile. One snapshot shows whether the
/// tables agree; the events are read from many.
pub(super) fn read_all(
    tables: &Tables,
    identity: [u8; 16],
    depth: Depth,
) -> Result<Verification, QueueError> {
    let mut found = Verification::default();
    let mut check = || {
        let Some(last) = check_tables(tables, depth, &mut found)? else {
            return Ok(());
        };
        let mut from = record::event_key(0).to_vec();
        while let Some(next) = check_some_events(tables, identity, (&from, &last), &mut found)? {
            // A damaged page may lead back to one before it.
            if next <= from {
                found.damage("the entries of `events` are not in order".into());
                break;
            }
            from = next;
        }
        Ok(())
    };
    match check() {
        Err(error) if is_damage(&error) => {
            found.damage(format!("the tables cannot be read to their end: {error}"));
            Ok(found)
        }
        checked => checked
            .map(|()| found)
            .map_err(|error| storage("verify", error)),
    }
}

/// Checks everything but the content of the events; returns the key of the last event, if they are
/// to be read.
fn check_tables(
    tables: &Tables,
    depth: Depth,
    found: &mut Verification,
) -> heed::Result<Option<Vec<u8>>> {
    let txn = tables.env.read_txn()?;
    for (name, table) in tables.named() {
        check_order((name, table), &txn, found)?;
    }
    let rows = read_rows(tables, &txn)?;
    check_targets(tables, &txn, &rows, found)?;
    check_known(tables, &txn, found)?;
    check_states(tables, &txn, found)?;
    found.quarantined = tables.aside.len(&txn)?;
    let (indexed, events) = (tables.by_key.len(&txn)?, tables.events.len(&txn)?);
    if indexed > events {
        let stale = indexed - events;
        found.disagree(format!(
            "{stale} entries of the index by key have no event: this is harmless"
        ));
    } else if indexed < events {
        let missing = events - indexed;
        found.damage(format!("{missing} events are not in the index by key"));
    }
    check_holders(tables, &txn, found)?;
    check_pieces(tables, &txn, found)?;
    let last = tables.events.last(&txn)?.map(|(key, _)| key.to_vec());
    let next = read_next(tables.meta.get(&txn, NEXT)?)?;
    if last
        .as_ref()
        .is_some_and(|last| last[..] >= record::event_key(next)[..])
    {
        found.damage(format!(
            "the next event would get number {next}, which another has: no event is accepted"
        ));
    }
    match depth {
        Depth::Events => Ok(last),
        Depth::Tables => {
            found.events = events;
            Ok(None)
        }
    }
}

/// Checks that all pieces belong to an event.
fn check_pieces(
    tables: &Tables,
    txn: &RoTxn<'_, WithoutTls>,
    found: &mut Verification,
) -> heed::Result<()> {
    let (mut last, mut lost) = (None, 0_u64);
    for item in tables.pieces.iter(txn)? {
        let seq = record::seq_of_piece_key(item?.0);
        if last == Some(seq) {
            continue;
        }
        last = Some(seq);
        let key = record::event_key(seq.unwrap_or(0));
        let is_used =
            tables.events.get(txn, &key)?.is_some() || tables.aside.get(txn, &key)?.is_some();
        lost += u64::from(!is_used);
    }
    if lost > 0 {
        found.disagree(format!(
            "pieces of {lost} events remain without their event: they take room and are otherwise \
             harmless"
        ));
    }
    Ok(())
}

/// Checks that a table has as many entries as it counts, in the order of their keys. A damaged page
/// can end it early without an error.
fn check_order(
    (name, table): (&str, Table),
    txn: &RoTxn<'_, WithoutTls>,
    found: &mut Verification,
) -> heed::Result<()> {
    let mut entries = 0;
    let mut before: Option<&[u8]> = None;
    for item in table.iter(txn)? {
        let (key, _) = item?;
        if before.is_some_and(|before| before >= key) {
            found.damage(format!("the entries of `{name}` are not in order"));
            break;
        }
        before = Some(key);
        entries += 1;
    }
    let counted = table.len(txn)?;
    if entries != counted {
        found.damage(format!(
            "{entries} of {counted} entries of `{name}` can be read"
        ));
    }
    Ok(())
}

/// Checks that targets hold as many entries as the events count.
fn check_holders(
    tables: &Tables,
    txn: &RoTxn<'_, WithoutTls>,
    found: &mut Verification,
) -> heed::Result<()> {
    let mut counted = tables.events.len(txn)?;
    for item in tables.shares.iter(txn)? {
        let shares = u64::from(record::read_shares(Some(item?.1)));
        counted = counted.saturating_add(shares).saturating_sub(1);
    }
    let held = found.owed + found.dead + found.kept;
    if counted != held {
        found.disagree(format!(
            "the events count {counted} entries at targets, and there are {held}"
        ));
    }
    Ok(())
}

/// Checks that `known` and `learnt` agree.
fn check_known(
    tables: &Tables,
    txn: &RoTxn<'_, WithoutTls>,
    found: &mut Verification,
) -> heed::Result<()> {
    let (mut damaged, mut lost) = (0_u64, 0_u64);
    for item in tables.known.iter(txn)? {
        let (print, value) = item?;
        match record::read_known(print, value) {
            None => damaged += 1,
            Some(known) => {
                let place = tables.learnt.get(txn, &known.number.to_be_bytes())?;
                lost += u64::from(place != Some(print));
            }
        }
    }
    if damaged > 0 {
        found.disagree(format!(
            "{damaged} idempotency keys do not match their checksum: repeated events of these \
             keys are accepted again"
        ));
    }
    if lost > 0 {
        found.disagree(format!(
            "{lost} idempotency keys are missing in `learnt`: they take room and are otherwise harmless"
        ));
    }
    Ok(())
}

/// Checks the last states.
fn check_states(
    tables: &Tables,
    txn: &RoTxn<'_, WithoutTls>,
    found: &mut Verification,
) -> heed::Result<()> {
    let Some(tables) = &tables.states else {
        return Ok(());
    };
    let (damaged, lost) = states::problems(tables, txn)?;
    if damaged > 0 {
        found.disagree(format!(
            "{damaged} last states do not match their checksum: the next event of each of these keys \
             counts as a change"
        ));
    }
    if lost > 0 {
        found.disagree(format!(
            "{lost} last states are missing in `changed`: they take room and are otherwise harmless"
        ));
    }
    Ok(())
}

/// Checks that each entry at a target has an event, and that the targets' counts are right.
fn check_targets(
    tables: &Tables,
    txn: &RoTxn<'_, WithoutTls>,
    rows: &Rows,
    found: &mut Verification,
) -> heed::Result<()> {
    let mut counts: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
    let mut bytes: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
    for (place, table) in [&tables.owed, &tables.dead].into_iter().enumerate() {
        for item in table.iter(txn)? {
            let (key, value) = item?;
            let Some((target, seq)) =
                record::target_of_target_key(key).zip(record::seq_of_target_key(key))
            else {
                found.disagree(format!("an entry has the key {key:?}"));
                continue;
            };
            counts.entry(target).or_default()[place] += 1;
            bytes.entry(target).or_default()[place] += match place {
                0 => u64::from(record::cost_of_owed(value)),
                _ => cost::of_dead(tables, txn, seq, value.len())?,
            };
            if tables.events.get(txn, &record::event_key(seq))?.is_none() {
                found.corrupt(seq, "its event is missing".into());
            }
            if place == 1 && record::read_dead(key, value).is_none() {
                found.corrupt(seq, "its dead letter does not match its checksum".into());
            }
        }
    }
    found.owed = counts.values().map(|[owed, _]| owed).sum();
    for (number, [_, dead]) in &counts {
        let row = rows.get(number);
        match row.and_then(|row| target_of_kept(&row.name)) {
            None => found.dead += dead,
            Some(_) => found.kept += dead,
        }
    }
    for (number, [owed, dead]) in &counts {
        match rows.get(number) {
            None => found.disagree(format!(
                "{owed} owed entries and {dead} dead letters belong to a target without a name: \
                 they are not delivered"
            )),
            Some(row) if (row.pending, row.dead) != (*owed, *dead) => {
                let name = &row.name;
                found.disagree(format!(
                    "{name} has {owed} owed entries and {dead} dead letters, not {} and {} as \
                     counted",
                    row.pending, row.dead
                ));
            }
            Some(_) => {}
        }
    }
    for (number, row) in rows {
        let [owed, dead] = bytes.get(number).copied().unwrap_or_default();
        if (row.owed_bytes, row.dead_bytes) != (owed, dead) {
            let name = &row.name;
            found.disagree(format!(
                "{name} has {owed} bytes owed and {dead} of dead letters, not {} and {} as counted: \
                 its quota is inexact until it is owed nothing",
                row.owed_bytes, row.dead_bytes
            ));
        }
        if !counts.contains_key(number) && (row.pending, row.dead) != (0, 0) {
            let name = &row.name;
            found.disagree(format!(
                "{name} has no entries, not {} owed and {} dead letters as counted",
                row.pending, row.dead
            ));
        }
    }
    Ok(())
}

/// Checks some events of a range: their checksums, their entries in the index by key, and how many
/// targets hold them. Returns the key of the next event.
fn check_some_events(
    tables: &Tables,
    identity: [u8; 16],
    (from, last): (&[u8], &[u8]),
    found: &mut Verification,
) -> heed::Result<Option<Vec<u8>>> {
    let txn = tables.env.read_txn()?;
    let targets: Vec<u32> = read_rows(tables, &txn)?.into_keys().collect();
    let range = (Bound::Included(from), Bound::Included(last));
    let (mut events, mut bytes) = (0, 0);
    for item in tables.events.range(&txn, &range)? {
        let (key, value) = item?;
        if events >= EVENTS_AT_ONCE || bytes >= BYTES_AT_ONCE {
            return Ok(Some(key.to_vec()));
        }
        events += 1;
        bytes += check_event(tables, &txn, (identity, &targets), (key, value), found)?;
        found.events += 1;
    }
    Ok(None)
}

/// Checks an event; returns the bytes that were read of it.
fn check_event(
    tables: &Tables,
    txn: &RoTxn<'_, WithoutTls>,
    (identity, targets): ([u8; 16], &[u32]),
    (key, value): (&[u8], &[u8]),
    found: &mut Verification,
) -> heed::Result<usize> {
    let Ok(seq) = key.try_into().map(u64::from_be_bytes) else {
        found.disagree(format!("an event has the key {key:?}"));
        return Ok(value.len());
    };
    let record = pieces::join(tables, txn, seq, value)?;
    let Some(event) = record::read_event(seq, &record) else {
        found.corrupt(seq, "its event does not match its checksum".into());
        return Ok(record.len());
    };
    let by_key = record::by_key_key(record::key_hash(identity, event.key), seq);
    if tables.by_key.get(txn, &by_key)?.is_none() {
        found.disagree(format!("entry {seq} is not found by its key"));
    }
    let mut holders = 0;
    for &target in targets {
        let key = record::target_key(target, seq);
        let held = tables.owed.get(txn, &key)?.is_some() || tables.dead.get(txn, &key)?.is_some();
        holders += u32::from(held);
    }
    let shares = record::read_shares(tables.shares.get(txn, key)?);
    if shares != holders {
        found.disagree(format!(
            "entry {seq} counts {shares} targets, and {holders} hold it"
        ));
    }
    Ok(record.len())
}

#[cfg(test)]
mod tests {
    use heed::RwTxn;

    use super::*;
    use crate::{
        DiskQueue, EntryId, Event, EventId, LastState, Options, Queue, Settled, Settlement,
        SlotGuard, Verify,
    };

    /// A queue with four events, the last two of the key "k" and in pieces. The target 0 is owed all
    /// but the first, which is a dead letter; the target 1 is owed the second.
    fn queue(dir: &tempfile::TempDir) -> DiskQueue {
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(16 << 20)).unwrap();
        let event = |number: u8, size, targets: &[&str]| Event {
            idempotency_key: Some([number].into()),
            last_state: Some(Box::new(LastState {
                key: [number].into(),
                state: (*b"RUNNING").into(),
                append_previous: false,
                changes_only: [].into(),
            })),
            ..Event::new(
                EventId([number; 16]),
                &b"k"[..],
                vec![number; size],
                u64::from(number),
                targets.iter().copied(),
            )
        };
        let events = [
            event(1, 10, &["a"]),
            event(2, 10, &["a", "b"]),
            event(3, 9_000, &["a"]),
            event(4, 9_000, &["a"]),
        ];
        queue.commit(&events, &[]).unwrap();
        let dead = Settlement {
            target: "a".into(),
            entry: EntryId(1),
            outcome: Settled::Dead {
                attempts: 1,
                died_at: 0,
                note: Vec::new(),
            },
            guard: SlotGuard::SOLE,
        };
        queue.commit(&[], &[dead]).unwrap();
        queue
    }

    /// Changes the tables of such a queue; what is found then.
    fn found(
        change: impl FnOnce(&Tables, &mut RwTxn<'_>) -> heed::Result<()>,
    ) -> (Verification, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(&dir);
        let tables = queue.store.tables();
        let mut txn = tables.env.write_txn().unwrap();
        change(&tables, &mut txn).unwrap();
        txn.commit().unwrap();
        let found = queue.verify().unwrap();
        let told = found.disagreements.clone();
        (found, told)
    }

    /// Changes the last byte of a row.
    fn flip_last(table: Table, txn: &mut RwTxn<'_>, key: &[u8]) -> heed::Result<()> {
        let mut value = table.get(txn, key)?.unwrap().to_vec();
        *value.last_mut().unwrap() ^= 1;
        table.put(txn, key, &value)
    }

    /// The first key of a table.
    fn first(table: Table, txn: &RwTxn<'_>) -> heed::Result<Vec<u8>> {
        Ok(table.first(txn)?.unwrap().0.to_vec())
    }

    #[test]
    fn a_queue_whose_tables_agree_is_whole_and_counted() {
        let (found, _) = found(|_, _| Ok(()));
        assert!(found.is_whole(), "{found:?}");
        assert_eq!((found.events, found.owed, found.dead), (4, 4, 1));
        assert_eq!((found.kept, found.quarantined), (0, 0));
    }

    #[test]
    fn pieces_without_an_event_are_counted_once_for_each_event() {
        let (found, told) = found(|tables, txn| {
            for (seq, number) in [(2, 1), (2, 2), (9, 1)] {
                let key = record::piece_key(seq, number);
                tables.pieces.put(txn, &key, b"piece")?;
            }
            // The record of a quarantined event may have pieces.
            tables.aside.put(txn, &record::event_key(7), b"aside")?;
            tables.pieces.put(txn, &record::piece_key(7, 1), b"piece")
        });
        assert_eq!(
            told,
            [
                "pieces of 1 events remain without their event: they take room and are \
                          otherwise harmless"
            ]
        );
        assert_eq!(found.quarantined, 1);
        let (_, told) = self::found(|tables, txn| {
            for seq in [8, 9] {
                let key = record::piece_key(seq, 1);
                tables.pieces.put(txn, &key, b"piece")?;
            }
            Ok(())
        });
        assert!(told[0].starts_with("pieces of 2 events"), "{told:?}");
    }

    #[test]
    fn an_index_by_key_with_other_entries_than_the_events_is_found() {
        let (found, told) = found(|tables, txn| {
            for number in 0..2 {
                let key = record::by_key_key(number, 100);
                tables.by_key.put(txn, &key, &[])?;
            }
            Ok(())
        });
        let stale = "2 entries of the index by key have no event: this is harmless";
        assert_eq!(told, [stale]);
        assert!(found.table_damage.is_empty());
        let (found, told) = self::found(|tables, txn| {
            for _ in 0..3 {
                let key = first(tables.by_key, txn)?;
                tables.by_key.delete(txn, &key)?;
            }
            Ok(())
        });
        assert_eq!(found.table_damage, ["3 events are not in the index by key"]);
        let missed = told
            .iter()
            .filter(|it| it.ends_with("is not found by its key"));
        assert_eq!(missed.count(), 3, "{told:?}");
    }

    #[test]
    fn the_number_of_the_next_event_is_above_all_others() {
        let next = |number: u64| {
            let (found, _) = found(|tables, txn| tables.meta.put(txn, NEXT, &number.to_le_bytes()));
            found.table_damage
        };
        assert_eq!(next(5), <[String; 0]>::default());
        let damage = "the next event would get number 4, which another has: no event is accepted";
        assert_eq!(next(4), [damage]);
    }

    #[test]
    fn events_that_count_other_targets_than_hold_them_are_found() {
        let (_, told) = found(|tables, txn| {
            let key = record::event_key(2);
            tables.shares.put(txn, &key, &3_u32.to_le_bytes())
        });
        assert_eq!(
            told,
            [
                "the events count 6 entries at targets, and there are 5",
                "entry 2 counts 3 targets, and 2 hold it"
            ]
        );
    }

    #[test]
    fn damaged_and_unlisted_idempotency_keys_are_counted() {
        let (_, told) = found(|tables, txn| {
            let prints: Vec<Vec<u8>> = tables
                .known
                .iter(txn)?
                .map(|item| item.map(|(print, _)| print.to_vec()))
                .collect::<heed::Result<_>>()?;
            flip_last(tables.known, txn, &prints[0])?;
            flip_last(tables.known, txn, &prints[1])?;
            let value = tables.known.get(txn, &prints[2])?.unwrap();
            let number = record::read_known(&prints[2], value).unwrap().number;
            tables.learnt.delete(txn, &number.to_be_bytes())?;
            Ok(())
        });
        assert_eq!(told.len(), 2, "{told:?}");
        let damaged = "2 idempotency keys do not match their checksum";
        assert!(told[0].starts_with(damaged), "{told:?}");
        let lost = "1 idempotency keys are missing in `learnt`";
        assert!(told[1].starts_with(lost), "{told:?}");
    }

    #[test]
    fn damaged_and_unlisted_last_states_are_counted() {
        let (_, told) = found(|tables, txn| {
            let states = tables.states.as_ref().unwrap();
            for number in [0_u64, 1] {
                let print = states.changed.get(txn, &number.to_be_bytes())?.unwrap();
                let print = print.to_vec();
                flip_last(states.states, txn, &print)?;
            }
            states.changed.delete(txn, &2_u64.to_be_bytes())?;
            Ok(())
        });
        assert_eq!(told.len(), 2, "{told:?}");
        let damaged = "2 last states do not match their checksum";
        assert!(told[0].starts_with(damaged), "{told:?}");
        let lost = "1 last states are missing in `changed`";
        assert!(told[1].starts_with(lost), "{told:?}");
    }

    #[test]
    fn a_target_that_counts_other_entries_or_bytes_than_it_has_is_found() {
        let count = |pending, dead, owed_bytes| {
            let (_, told) = found(|tables, txn| {
                let mut row = read_rows(tables, txn)?.remove(&1).unwrap();
                (row.pending, row.dead) = (pending, dead);
                row.owed_bytes += owed_bytes;
                tables.meta.put(txn, &record::row_key(1), &row.write())?;
                let usage = row.write_usage();
                tables.meta.put(txn, &record::usage_key(1), &usage)
            });
            told
        };
        assert_eq!(count(1, 0, 0), <[String; 0]>::default());
        let counted = |pending, dead| {
            format!("b has 1 owed entries and 0 dead letters, not {pending} and {dead} as counted")
        };
        assert_eq!(count(2, 0, 0), [counted(2, 0)]);
        assert_eq!(count(1, 1, 0), [counted(1, 1)]);
        let told = count(1, 0, 1);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("its quota is inexact"), "{told:?}");
    }

    #[test]
    fn entries_of_a_target_or_an_event_that_is_missing_are_found() {
        let (_, told) = found(|tables, txn| {
            tables.meta.delete(txn, &record::row_key(1))?;
            Ok(())
        });
        assert!(
            told[0]
                .starts_with("1 owed entries and 0 dead letters belong to a target without a name"),
            "{told:?}"
        );
        let (found, _) = found(|tables, txn| {
            tables.events.delete(txn, &record::event_key(1))?;
            tables.events.delete(txn, &record::event_key(2))?;
            let key = record::target_key(0, 1);
            flip_last(tables.dead, txn, &key)
        });
        let corrupt = found.corrupt.iter().map(|it| (it.entry.0, &*it.reason));
        let corrupt: Vec<_> = corrupt.collect();
        let missing = "its event is missing";
        assert_eq!(
            corrupt,
            [
                (2, missing),
                (2, missing),
                (1, missing),
                (1, "its dead letter does not match its checksum")
            ]
        );
    }

    #[test]
    fn a_table_that_cannot_be_read_to_its_end_is_damage_and_a_storage_that_fails_is_an_error() {
        let (found, _) = found(|tables, txn| tables.meta.put(txn, &record::row_key(1), b"short"));
        let damage = "the tables cannot be read to their end: ";
        assert_eq!(found.table_damage.len(), 1);
        assert!(found.table_damage[0].starts_with(damage), "{found:?}");

        let dir = tempfile::tempdir().unwrap();
        let queue = queue(&dir);
        let tables = queue.store.tables();
        let read = || tables.env.read_txn();
        let all_readers: Vec<_> = std::iter::repeat_with(read).map_while(Result::ok).collect();
        let error = queue.verify().unwrap_err();
        assert!(matches!(error, QueueError::Storage { .. }), "{error}");
        drop(all_readers);
        assert!(queue.verify().unwrap().is_whole());
    }

    #[test]
    fn a_snapshot_is_held_for_a_bounded_number_of_events_and_of_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(64 << 20)).unwrap();
        let event = |size| {
            let body = vec![b' '; size];
            Event::new(EventId([0; 16]), &b"k"[..], body, 0, ["t"])
        };
        queue.commit(&vec![event(10); 1025], &[]).unwrap();
        queue.commit(&vec![event(3 << 20); 4], &[]).unwrap();
        let (tables, identity) = (queue.store.tables(), queue.identity());
        let last = record::event_key(1029);
        let mut found = Verification::default();
        let mut next = |from: u64| {
            let range = (&record::event_key(from)[..], &last[..]);
            let next = check_some_events(&tables, identity, range, &mut found).unwrap();
            next.map(|key| u64::from_be_bytes(key.try_into().unwrap()))
        };
        assert_eq!(next(1), Some(1025));
        assert_eq!(next(2), Some(1026));
        // One that is short and three that are long.
        assert_eq!(next(1025), Some(1029));
        assert_eq!(next(1029), None);
        assert_eq!(found.events, 1024 + 1024 + 4 + 1);
    }
}
