//! Visits the entries of the tables without copying them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::{Bound, ControlFlow};

use heed::{RoTxn, WithoutTls};

use super::fault::damage;
use super::pieces;
use super::record;
use super::tables::Tables;
use crate::{DeadLetter, EntryId, Owed, Quarantined};

/// A snapshot of the queue.
pub(super) struct Snapshot<'q> {
    pub(super) tables: &'q Tables,
    pub(super) txn: RoTxn<'q, WithoutTls>,
    /// Entries whose event is damaged or missing. They were not visited.
    pub(super) damaged: Vec<u64>,
}

impl<'q> Snapshot<'q> {
    pub(super) fn take(tables: &'q Tables) -> heed::Result<Snapshot<'q>> {
        Ok(Snapshot {
            tables,
            txn: tables.env.read_txn()?,
            damaged: Vec::new(),
        })
    }

    pub(super) fn owed(
        &mut self,
        target: u32,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> heed::Result<()> {
        let Some(from) = first_after(after) else {
            return Ok(());
        };
        let [low, high] = [from, u64::MAX].map(|seq| record::target_key(target, seq));
        let range = (Bound::Included(&low[..]), Bound::Included(&high[..]));
        for item in self.tables.owed.range(&self.txn, &range)? {
            let (key, value) = item?;
            let Some(seq) = record::seq_of_target_key(key) else {
                continue;
            };
            let record = record_of(self.tables, &self.txn, seq)?;
            let Some(event) = record::read_event(seq, &record) else {
                self.damaged.push(seq);
                continue;
            };
            if visit(with_attempts(event, value)).is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn owed_of_key(
        &mut self,
        target: u32,
        (wanted, hash): (&[u8], u32),
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> heed::Result<()> {
        let (tables, mut damaged) = (self.tables, Vec::new());
        self.entries_of_hash(hash, &mut |seq| {
            let key = record::target_key(target, seq);
            let Some(value) = tables.owed.get(&self.txn, &key)? else {
                return Ok(ControlFlow::Continue(()));
            };
            let record = record_of(tables, &self.txn, seq)?;
            let Some(event) = record::read_event(seq, &record) else {
                damaged.push(seq);
                return Ok(ControlFlow::Continue(()));
            };
            Ok(match event.key == wanted {
                true => visit(with_attempts(event, value)),
                false => ControlFlow::Continue(()),
            })
        })?;
        self.damaged.append(&mut damaged);
        Ok(())
    }

    /// Visits the dead letters of a key for these targets, and looks at up to `most` entries. Whether it
    /// looked at all.
    pub(super) fn dead_letters_of_key(
        &mut self,
        targets: &[(&str, u32)],
        (wanted, hash): (&[u8], u32),
        most: usize,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> heed::Result<bool> {
        let (tables, mut damaged) = (self.tables, Vec::new());
        let (mut looked, mut are_all) = (0, true);
        self.entries_of_hash(hash, &mut |seq| {
            for &(target, number) in targets {
                if looked == most {
                    are_all = false;
                    return Ok(ControlFlow::Break(()));
                }
                looked += 1;
                let key = record::target_key(number, seq);
                let Some(value) = tables.dead.get(&self.txn, &key)? else {
                    continue;
                };
                let record = record_of(tables, &self.txn, seq)?;
                let Some(event) = record::read_event(seq, &record) else {
                    damaged.push(seq);
                    break;
                };
                if event.key != wanted {
                    break;
                }
                if visit(letter(target, event, (&key, value))).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.damaged.append(&mut damaged);
        Ok(are_all)
    }

    /// Visits the entries whose keys have this hash, in order, until `visit` breaks.
    fn entries_of_hash(
        &self,
        hash: u32,
        visit: &mut dyn FnMut(u64) -> heed::Result<ControlFlow<()>>,
    ) -> heed::Result<()> {
        let mut next = Some(0);
        while let Some(from) = next {
            let low = record::by_key_key(hash, from);
            let range = (Bound::Included(&low[..]), Bound::Unbounded);
            next = None;
            for item in self.tables.by_key.range(&self.txn, &range)? {
                let Some((found, seq)) = record::parse_by_key_key(item?.0) else {
                    continue;
                };
                // The segment in which the next one may be.
                let segment = match found.cmp(&hash) {
                    Ordering::Equal if visit(seq)?.is_break() => return Ok(()),
                    Ordering::Equal => continue,
                    Ordering::Less => record::segment(seq),
                    Ordering::Greater => record::segment(seq) + 1,
                };
                next = record::first_of_segment(segment);
                if next.is_some_and(|next| next <= from) {
                    return Err(damage("the index by key"));
                }
                break;
            }
        }
        Ok(())
    }

    /// Visits the dead letters of a target; whether `visit` broke.
    pub(super) fn dead_letters(
        &mut self,
        (name, target): (&str, u32),
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> heed::Result<ControlFlow<()>> {
        let Some(from) = first_after(after) else {
            return Ok(ControlFlow::Continue(()));
        };
        let [low, high] = [from, u64::MAX].map(|seq| record::target_key(target, seq));
        let range = (Bound::Included(&low[..]), Bound::Included(&high[..]));
        for item in self.tables.dead.range(&self.txn, &range)? {
            let (key, value) = item?;
            let Some(seq) = record::seq_of_target_key(key) else {
                continue;
            };
            let record = record_of(self.tables, &self.txn, seq)?;
            let Some(event) = record::read_event(seq, &record) else {
                self.damaged.push(seq);
                continue;
            };
            if visit(letter(name, event, (key, value))).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(super) fn quarantined(
        &self,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Quarantined<'_>) -> ControlFlow<()>,
    ) -> heed::Result<()> {
        let Some(from) = first_after(after) else {
            return Ok(());
        };
        let low = record::event_key(from);
        let range = (Bound::Included(&low[..]), Bound::Unbounded);
        for item in self.tables.aside.range(&self.txn, &range)? {
            let (key, value) = item?;
            let Ok(seq) = key.try_into().map(u64::from_be_bytes) else {
                continue;
            };
            let (targets, record) = record::read_aside(value).unwrap_or_default();
            let record = pieces::join(self.tables, &self.txn, seq, record)?;
            let reason = match &*record {
                [] => "its event is missing",
                _ => "its event does not match its checksum",
            };
            let entry = EntryId(seq);
            let found = Quarantined {
                entry,
                targets,
                reason,
                record: &record,
            };
            if visit(found).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// When the oldest entry that a target is owed was accepted.
    pub(super) fn oldest(&self, target: u32) -> heed::Result<Option<u64>> {
        let prefix = target.to_be_bytes();
        for item in self.tables.owed.prefix_iter(&self.txn, &prefix)? {
            let Some(seq) = record::seq_of_target_key(item?.0) else {
                continue;
            };
            let record = record_of(self.tables, &self.txn, seq)?;
            if let Some(event) = record::read_event(seq, &record) {
                return Ok(Some(event.accepted_at));
            }
        }
        Ok(None)
    }
}

/// The record of an event; empty if it is missing.
fn record_of<'t>(
    tables: &Tables,
    txn: &'t RoTxn<'_, WithoutTls>,
    seq: u64,
) -> heed::Result<Cow<'t, [u8]>> {
    let first = tables.events.get(txn, &record::event_key(seq))?;
    pieces::join(tables, txn, seq, first.unwrap_or_default())
}

fn first_after(after: Option<EntryId>) -> Option<u64> {
    after.map_or(Some(0), |after| after.0.checked_add(1))
}

/// A dead letter of an event, by its own record. The event is what matters: if only that record is
/// damaged, the letter has no attempts, time and note.
fn letter<'a>(target: &'a str, event: Owed<'a>, (key, value): (&[u8], &'a [u8])) -> DeadLetter<'a> {
    let dead = record::read_dead(key, value).unwrap_or_default();
    DeadLetter {
        target,
        owed: Owed {
            attempts: dead.attempts,
            ..event
        },
        died_at: dead.died_at,
        note: dead.note,
    }
}

fn with_attempts<'a>(event: Owed<'a>, value: &[u8]) -> Owed<'a> {
    let (attempts, not_before) = record::read_owed(value);
    Owed {
        attempts,
        not_before,
        ..event
    }
}

#[cfg(test)]
mod tests {
    use crate::SlotGuard;
    use std::collections::HashMap;
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use crate::disk_queue::change::NEXT;
    use crate::disk_queue::record::key_hash;
    use crate::{DiskQueue, Event, EventId, Options, Queue, Settled, Settlement};

    #[test]
    fn keys_whose_hashes_are_equal_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(8 << 20)).unwrap();
        // Among some hundred thousand keys, two have the same 32 bits.
        let mut seen = HashMap::new();
        let pair = (0_u32..).find_map(|number| {
            let other = seen.insert(key_hash(queue.identity(), &number.to_le_bytes()), number)?;
            Some([other.to_le_bytes(), number.to_le_bytes()])
        });
        let pair = pair.unwrap();
        let events: Vec<Event> = (0..6_usize)
            .map(|at| Event {
                id: EventId([at as u8; 16]),
                key: Arc::from(pair[at % 2]),
                body: [].into(),
                accepted_at: 0,
                targets: ["t".into()].into(),
                attributes: [].into(),
                idempotency_key: None,
                last_state: None,
            })
            .collect();
        let entries = queue.commit(&events, &[]).unwrap().accepted;
        let delivered = Settlement {
            target: "t".into(),
            entry: entries[2].entry().unwrap(),
            outcome: Settled::Delivered,
            guard: SlotGuard::SOLE,
        };
        queue.commit(&[], &[delivered]).unwrap();
        let ids = |key: &[u8]| {
            let mut ids = Vec::new();
            let mut visit = |_, owed: crate::Owed<'_>| {
                ids.push(owed.id.0[0]);
                ControlFlow::Continue(())
            };
            queue.owed_of_keys("t", &[key.into()], &mut visit).unwrap();
            ids
        };
        assert_eq!((ids(&pair[0]), ids(&pair[1])), (vec![0, 4], vec![1, 3, 5]));
    }

    #[test]
    fn dead_letters_are_found_by_their_key_among_as_many_entries_as_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(8 << 20)).unwrap();
        let events: Vec<Event> = (0..6_usize)
            .map(|at| Event {
                id: EventId([at as u8; 16]),
                key: Arc::from(&[at as u8 % 2][..]),
                body: [].into(),
                accepted_at: 0,
                targets: ["s".into(), "t".into()].into(),
                attributes: [].into(),
                idempotency_key: None,
                last_state: None,
            })
            .collect();
        let entries = queue.commit(&events, &[]).unwrap().accepted;
        let dead =
            [(2, "t"), (4, "t"), (3, "t"), (4, "s")].map(|(at, target): (usize, _)| Settlement {
                target: Arc::from(target),
                entry: entries[at].entry().unwrap(),
                outcome: Settled::Dead {
                    attempts: 1,
                    died_at: 7,
                    note: Vec::new(),
                },
                guard: SlotGuard::SOLE,
            });
        queue.commit(&[], &dead).unwrap();
        // Targets without dead letters, one with a kept delivery, are not looked at.
        let of_others = ["u", "v"].map(|target| Event {
            key: Arc::from(&[9][..]),
            targets: [target.into()].into(),
            ..events[0].clone()
        });
        let others = queue.commit(&of_others, &[]).unwrap().accepted;
        let kept = Settlement {
            target: "u".into(),
            entry: others[0].entry().unwrap(),
            outcome: Settled::Kept {
                attempts: 1,
                delivered_at: 7,
            },
            guard: SlotGuard::SOLE,
        };
        queue.commit(&[], &[kept]).unwrap();
        let find = |key: u8, most| {
            let mut found = Vec::new();
            let mut visit = |letter: crate::DeadLetter<'_>| {
                found.push((letter.owed.id.0[0], letter.target.to_owned()));
                ControlFlow::Continue(())
            };
            let are_all = queue.dead_letters_of_key(&[key], most, &mut visit);
            (found, are_all.unwrap())
        };
        let letter = |id, target: &str| (id, target.to_owned());
        let all = vec![letter(2, "t"), letter(4, "s"), letter(4, "t")];
        assert_eq!(find(0, usize::MAX), (all.clone(), true));
        assert_eq!(find(1, usize::MAX), (vec![letter(3, "t")], true));
        assert_eq!(find(2, usize::MAX), (vec![], true));
        assert_eq!(find(9, usize::MAX), (vec![], true));
        // Three events of the key, each looked for as a dead letter of two targets.
        assert_eq!(find(0, 6), (all.clone(), true));
        assert_eq!(find(0, 5), (all[..2].to_vec(), false));
        assert_eq!(find(0, 3), (vec![], false));
    }

    fn event(id: u8, key: u8) -> Event {
        Event {
            id: EventId([id; 16]),
            key: Arc::from(&[key][..]),
            body: (*b"body").into(),
            accepted_at: 0,
            targets: ["t".into()].into(),
            attributes: [].into(),
            idempotency_key: None,
            last_state: None,
        }
    }

    #[test]
    fn entries_of_a_key_are_found_in_segments_with_and_without_other_keys() {
        let dir = tempfile::tempdir().unwrap();
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(8 << 20)).unwrap();
        // The keys in each segment.
        let segments = [
            &[1, 2, 3, 4, 5][..],
            &[1, 1],
            &[1],
            &[],
            &[2, 4],
            &[5, 3, 1],
            &[4],
        ];
        for (segment, keys) in segments.iter().enumerate() {
            let next = ((segment as u64) << 14) + 1;
            let tables = queue.store.tables();
            let mut txn = tables.env.write_txn().unwrap();
            tables
                .meta
                .put(&mut txn, NEXT, &next.to_le_bytes())
                .unwrap();
            txn.commit().unwrap();
            let events: Vec<Event> = keys.iter().map(|&key| event(segment as u8, key)).collect();
            queue.commit(&events, &[]).unwrap();
        }
        for key in 1..=6 {
            let mut found = Vec::new();
            let mut visit = |_, owed: crate::Owed<'_>| {
                found.push(owed.id.0[0]);
                ControlFlow::Continue(())
            };
            queue
                .owed_of_keys("t", &[Arc::from(&[key][..])], &mut visit)
                .unwrap();
            let expected = (0..).zip(segments).flat_map(|(segment, keys)| {
                let of_key = keys.iter().filter(|&&other| other == key);
                of_key.map(move |_| segment)
            });
            assert_eq!(found, expected.collect::<Vec<u8>>(), "of key {key}");
        }
    }
}
