//! Long event records, stored in pieces.
//!
//! LMDB stores a long value on adjacent pages. A queue that is in use for long has free pages
//! everywhere and few adjacent ones, so it could refuse a long event however much room it has.
//! A piece fits on one page. The first piece of a record is in `events`, the others in `pieces`.

use std::borrow::Cow;
use std::ops::Bound;

use heed::types::Bytes;
use heed::{AnyTls, PutFlags, RoRange, RoTxn, RwTxn};

use super::fault::check_all_deleted;
use super::record;
use super::tables::Tables;

/// The most bytes of a value that LMDB stores on one page of 4 KiB. A value in `events` of exactly
/// this length may have more pieces.
pub(super) const PIECE: usize = 4096 - 16;

/// Stores the record of an event that is newer than all others.
pub(super) fn append(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    seq: u64,
    record: &[u8],
) -> heed::Result<()> {
    let (first, rest) = record.split_at(record.len().min(PIECE));
    let put = PutFlags::APPEND;
    tables
        .events
        .put_with_flags(txn, put, &record::event_key(seq), first)?;
    for (number, piece) in (1..).zip(rest.chunks(PIECE)) {
        let key = record::piece_key(seq, number);
        tables.pieces.put_with_flags(txn, put, &key, piece)?;
    }
    Ok(())
}

/// The whole record of an event, from its first piece. Only a record in pieces is copied.
pub(super) fn join<'t>(
    tables: &Tables,
    txn: &'t RoTxn<'_, AnyTls>,
    seq: u64,
    first: &'t [u8],
) -> heed::Result<Cow<'t, [u8]>> {
    let mut record = Cow::Borrowed(first);
    if first.len() == PIECE {
        for item in tables.pieces.prefix_iter(txn, &record::event_key(seq))? {
            record.to_mut().extend_from_slice(item?.1);
        }
    }
    Ok(record)
}

/// The length of an event's record, if it is there.
pub(super) fn record_len(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    seq: u64,
) -> heed::Result<Option<usize>> {
    let key = record::event_key(seq);
    let length = tables.events.get(txn, &key)?.map(<[u8]>::len);
    if length != Some(PIECE) {
        return Ok(length);
    }
    let last = tables.pieces.rev_prefix_iter(txn, &key)?.next();
    let Some((key, last)) = last.transpose()? else {
        return Ok(length);
    };
    let number = key
        .last_chunk()
        .map_or(0, |number| u32::from_be_bytes(*number));
    Ok(Some(number as usize * PIECE + last.len()))
}

/// Reads the lengths of records of adjacent events without a search for each.
pub(super) struct RecordLengths<'t> {
    tables: &'t Tables,
    txn: &'t RoTxn<'t, AnyTls>,
    events: Option<RoRange<'t, Bytes, Bytes>>,
}

impl<'t> RecordLengths<'t> {
    pub(super) fn new(tables: &'t Tables, txn: &'t RoTxn<'_, AnyTls>) -> RecordLengths<'t> {
        RecordLengths {
            tables,
            txn,
            events: None,
        }
    }

    /// The length of an event's record, if it is there.
    pub(super) fn get(&mut self, seq: u64) -> heed::Result<Option<usize>> {
        let key = record::event_key(seq);
        let is_wanted = |found: &(&[u8], &[u8])| *found.0 == key;
        let next = self.events.as_mut().and_then(Iterator::next);
        let mut found = next.transpose()?.filter(is_wanted);
        if found.is_none() {
            let from = (Bound::Included(&key[..]), Bound::Unbounded);
            let mut events = self.tables.events.range(self.txn, &from)?;
            found = events.next().transpose()?.filter(is_wanted);
            self.events = Some(events);
        }
        match found {
            Some((_, first)) if first.len() != PIECE => Ok(Some(first.len())),
            _ => record_len(self.tables, self.txn, seq),
        }
    }
}

/// Removes the pieces, except the first ones, of the events from `first` to `last`.
pub(super) fn remove(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    first: u64,
    last: u64,
) -> heed::Result<()> {
    let pieces = &tables.pieces;
    if pieces.is_empty(txn)? {
        return Ok(());
    }
    let (low, high) = (
        record::piece_key(first, 0),
        record::piece_key(last, u32::MAX),
    );
    let range = (Bound::Included(&low[..]), Bound::Included(&high[..]));
    let mut found = 0;
    for item in pieces.range(txn, &range)? {
        item?;
        found += 1;
    }
    if found == 0 {
        return Ok(());
    }
    check_all_deleted(found, pieces.delete_range(txn, &range)?)
}

#[cfg(test)]
mod tests {
    use crate::{SlotGuard, Verify};
    use std::fs;
    use std::ops::ControlFlow;

    use super::*;
    use crate::disk_queue::tables::open_env;
    use crate::{DiskQueue, EntryId, Event, EventId, Options, Queue, Settled, Settlement, verify};

    const OPTIONS: Options = Options::with_max_bytes(4 << 20);

    fn event(length: usize) -> Event {
        Event {
            id: EventId([length as u8; 16]),
            key: (*b"key").into(),
            body: (0..length).map(|at| (at % 251) as u8).collect(),
            accepted_at: 7,
            targets: ["t".into()].into(),
            attributes: [].into(),
            idempotency_key: None,
            last_state: None,
        }
    }

    fn bodies(queue: &DiskQueue) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        let mut visit = |owed: crate::Owed<'_>| {
            bodies.push(owed.body.to_vec());
            ControlFlow::Continue(())
        };
        queue.owed("t", None, &mut visit).unwrap();
        bodies
    }

    #[test]
    fn a_record_of_any_length_is_stored_in_as_many_pieces_as_it_needs_and_removed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
        let header = crate::disk_queue::record::event_len(&event(0));
        for (record, others) in [
            (PIECE - 1, 0),
            (PIECE, 0),
            (PIECE + 1, 1),
            (2 * PIECE, 1),
            (2 * PIECE + 1, 2),
            (100 * PIECE, 99),
        ] {
            let event = event(record - header);
            let twice = [event.clone(), event.clone()];
            let accepted = queue.commit(&twice, &[]).unwrap().accepted;
            let tables = queue.store.tables();
            let txn = tables.env.read_txn().unwrap();
            assert_eq!(tables.pieces.len(&txn).unwrap(), 2 * others);
            let seq = accepted[0].entry().unwrap().0;
            let length = record_len(&tables, &txn, seq).unwrap();
            assert_eq!(length, Some(record));
            drop(txn);
            assert_eq!(bodies(&queue), [&*event.body; 2]);
            assert!(queue.verify().unwrap().is_whole());
            for accepted in &accepted {
                let settlement = Settlement {
                    target: "t".into(),
                    entry: accepted.entry().unwrap(),
                    outcome: Settled::Delivered,
                    guard: SlotGuard::SOLE,
                };
                queue.commit(&[], &[settlement]).unwrap();
            }
            let txn = tables.env.read_txn().unwrap();
            assert!(tables.pieces.is_empty(&txn).unwrap());
        }
    }

    #[test]
    fn lengths_that_are_read_in_order_are_those_of_the_records() {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
        let header = record::event_len(&event(0));
        let records = [100, PIECE, 2 * PIECE, PIECE + 1, 200, 300, PIECE - 1];
        let events = records.map(|length| event(length - header));
        queue.commit(&events, &[]).unwrap();
        let gone = Settlement {
            target: "t".into(),
            entry: EntryId(5),
            outcome: Settled::Delivered,
            guard: SlotGuard::SOLE,
        };
        queue.commit(&[], &[gone]).unwrap();
        let tables = queue.store.tables();
        let txn = &*tables.env.read_txn().unwrap();
        for order in [&[1, 2, 3, 4, 5, 6, 7, 8][..], &[1, 3, 5, 6, 2, 9, 7, 7]] {
            let mut lengths = RecordLengths::new(&tables, txn);
            for &seq in order {
                let expected = records.get(seq - 1).copied().filter(|_| seq != 5);
                assert_eq!(lengths.get(seq as u64).unwrap(), expected, "{seq}");
            }
        }
    }

    #[test]
    fn a_queue_of_format_1_is_read_and_keeps_its_format_until_an_event_needs_another() {
        let dir = tempfile::tempdir().unwrap();
        let mark = || fs::read_to_string(dir.path().join("FORMAT")).unwrap();
        let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
        queue.commit(&[event(10)], &[]).unwrap();
        let first = mark();
        assert!(first.starts_with("webhook-queue 1\n"));
        queue.commit(&[event(20_000)], &[]).unwrap();
        drop(queue);
        // As the former version stored it: one value, and a mark with 1.
        let tables = Tables::open(open_env(dir.path(), 4 << 20).unwrap(), false).unwrap();
        let mut txn = tables.env.write_txn().unwrap();
        let key = record::event_key(2);
        let piece = tables.events.get(&txn, &key).unwrap().unwrap();
        let record = join(&tables, &txn, 2, piece).unwrap().into_owned();
        assert!(record.len() > 20_000);
        tables.events.put(&mut txn, &key, &record).unwrap();
        tables.pieces.clear(&mut txn).unwrap();
        txn.commit().unwrap();
        let env = tables.env.clone();
        drop(tables);
        env.prepare_for_closing().wait();
        fs::write(dir.path().join("FORMAT"), &first).unwrap();

        assert!(verify(dir.path()).unwrap().is_whole());
        let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
        assert_eq!(bodies(&queue), [&*event(10).body, &*event(20_000).body]);
        let settlement = Settlement {
            target: "t".into(),
            entry: EntryId(2),
            outcome: Settled::Delivered,
            guard: SlotGuard::SOLE,
        };
        // The longest record that is stored whole.
        let header = record::event_len(&event(0));
        queue
            .commit(&[event(PIECE - header)], &[settlement])
            .unwrap();
        assert_eq!(mark(), first);
        queue.commit(&[event(5000)], &[]).unwrap();
        assert_eq!(mark(), first.replace("queue 1", "queue 2"));
        drop(queue);
        let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
        assert_eq!(bodies(&queue).len(), 3);
        assert_eq!(queue.statistics().unwrap().events, 3);
        let attributed = Event {
            attributes: (*b"of the event").into(),
            ..event(5000)
        };
        queue.commit(&[attributed], &[]).unwrap();
        assert_eq!(mark(), first.replace("queue 1", "queue 3"));
        queue.commit(&[event(5000)], &[]).unwrap();
        assert_eq!(mark(), first.replace("queue 1", "queue 3"));
        drop(queue);
        let queue = DiskQueue::open(dir.path(), &OPTIONS).unwrap();
        assert_eq!(bodies(&queue).len(), 5);
    }
}
