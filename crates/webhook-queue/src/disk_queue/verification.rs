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
