//! The two ways into a backlog, announced events and reads of the queue.

use super::*;
use std::time::UNIX_EPOCH;

/// An entry that failed before.
fn owed<'a>(entry: usize, key: &'a [u8], body: &'a [u8]) -> Owed<'a> {
    Owed {
        entry: EntryId(entry as u64),
        id: EventId([7; 16]),
        key,
        body,
        attributes: &[],
        accepted_at: 0,
        attempts: 1,
        not_before: 0,
        claim: Claim::SOLE,
    }
}

#[test]
fn lanes_that_are_due_are_read_together_up_to_a_bound_in_bytes() {
    let bounds = Bounds {
        window: 64,
        window_bytes: 16 * READ_BYTES,
        per_lane: 2,
        lanes: 8,
    };
    let mut backlog = Backlog::new(true, bounds, Duration::from_secs(60));
    let mut at = Moment {
        now: Instant::now(),
        wall: UNIX_EPOCH + Duration::from_secs(1_000_000),
    };
    let keys = [b"a", b"b", b"c"];
    let body = vec![0; READ_BYTES / 2];
    for (entry, key) in keys.iter().enumerate() {
        let offered = backlog.offer(&owed(entry, &key[..], &body), at);
        assert_eq!(offered, Offered::Held);
    }
    at.now += Duration::from_secs(2);
    backlog.lanes.wake(at.now);
    let mut read_together = Vec::new();
    loop {
        let (due, mut reads) = backlog.begin_reads();
        if due.is_empty() {
            break;
        }
        read_together.push(due.len());
        for (index, key) in due.iter().enumerate() {
            let entry = keys.iter().position(|it| it[..] == **key).unwrap();
            let owed = owed(entry, key, &body);
            // Each has one entry, however the visit ends.
            let _flow = backlog.read_entry(&mut reads, index, &owed, at);
        }
        backlog.finish_reads(&due, reads, at.now);
    }
    assert_eq!(
        read_together,
        [3, 1],
        "the third found no room in the first read"
    );
    assert_eq!(backlog.lanes.held(), 3);
}

const WIDE: Bounds = Bounds {
    window: 64,
    window_bytes: 1 << 30,
    per_lane: 4,
    lanes: 8,
};
const HOUR: Duration = Duration::from_secs(3_600);

fn moment() -> Moment {
    Moment {
        now: Instant::now(),
        wall: UNIX_EPOCH + Duration::from_secs(1_000_000),
    }
}

fn live(entry: u64) -> LiveEvent {
    LiveEvent {
        entry: EntryId(entry),
        id: EventId([7; 16]),
        key: Arc::from(*b"a"),
        content: Content::copied(b"{}", &[]),
        accepted_at: 0,
        submitted: Instant::now(),
    }
}

#[test]
fn announced_events_are_taken_once_the_queue_was_read_to_its_end() {
    let at = moment();
    let mut backlog = Backlog::new(true, WIDE, HOUR);
    assert!(!backlog.follows() && backlog.is_starting());
    assert!(backlog.take(live(1), at.now), "a read will find it");
    assert_eq!((backlog.lanes.held(), backlog.cursor()), (0, None));
    assert!(!backlog.is_done(), "the queue may hold more");
    backlog.follow();
    assert!(backlog.follows() && !backlog.is_starting());
    assert!(backlog.is_done());
    assert!(backlog.take(live(2), at.now));
    assert_eq!(backlog.cursor(), Some(EntryId(2)));
    assert!(!backlog.is_done(), "it is owed");
    assert!(backlog.take(live(2), at.now), "it is known");
    assert_eq!(backlog.lanes.held(), 1);
    backlog.fall_behind();
    assert!(!backlog.follows() && !backlog.is_starting());
    backlog.reread();
    assert_eq!(backlog.cursor(), None);
}

#[test]
fn without_room_an_announced_event_is_left_in_the_queue() {
    let at = moment();
    let bounds = Bounds { window: 1, ..WIDE };
    let mut backlog = Backlog::new(true, bounds, HOUR);
    backlog.follow();
    assert!(backlog.has_room());
    assert!(backlog.take(live(1), at.now));
    assert!(!backlog.has_room());
    assert!(!backlog.take(live(2), at.now));
    assert!(!backlog.follows());
    assert_eq!(backlog.cursor(), Some(EntryId(1)));
    backlog.set_window(2, 4);
    assert!(backlog.has_room());
    assert_eq!(backlog.unsynced.room(), 2);
}

#[test]
fn a_best_effort_target_always_follows_and_waits_for_no_sync() {
    let bounds = Bounds { window: 1, ..WIDE };
    let mut backlog = Backlog::new(false, bounds, HOUR);
    backlog.fall_behind();
    assert!(backlog.follows() && backlog.is_done());
    backlog.unsynced.note();
    assert!(!backlog.wants_sync() && !backlog.wants_flush());
}

#[test]
fn a_task_is_pending_while_an_entry_of_it_may_be_owed_again() {
    let mut backlog = Backlog::new(true, Bounds { lanes: 1, ..WIDE }, HOUR);
    let keys = |keys: &[&[u8]]| keys.iter().map(|key| Box::from(*key)).collect();
    backlog.owe_again(keys(&[b"a", b"b"]));
    backlog.follow();
    assert!(!backlog.readmit(), "there is room for one");
    assert_eq!(backlog.lanes.len(), 1);
    let (due, reads) = backlog.begin_reads();
    assert_eq!(*due, [Arc::from(&b"a"[..])]);
    backlog.finish_reads(&due, reads, Instant::now());
    assert!(backlog.lanes.is_empty() && !backlog.is_done());
    assert!(backlog.readmit());
    assert!(!backlog.is_done(), "it is to be read");
}

#[test]
fn an_entry_whose_settlement_is_not_synced_is_looked_for_after_the_sync() {
    let at = moment();
    let mut backlog = Backlog::new(true, WIDE, HOUR);
    backlog.follow();
    backlog.unsynced.settle(EntryId(1), Claim::SOLE);
    assert!(!backlog.wants_sync());
    assert_eq!(backlog.offer(&owed(1, b"a", b"{}"), at), Offered::Held);
    assert!(backlog.lanes.is_empty(), "it is settled");
    assert!(backlog.wants_sync() && !backlog.is_done());
    backlog.synced(&[]);
    assert!(backlog.wants_sync());
    assert!(backlog.readmit() && backlog.lanes.is_empty());
    backlog.synced(&[Synced::Settled(EntryId(1))]);
    assert!(!backlog.wants_sync());
    assert!(backlog.readmit() && !backlog.lanes.is_empty());
}

#[test]
fn a_task_that_waits_for_a_sync_does_not_wait_behind_one_without_room_for_a_lane() {
    let at = moment();
    let mut backlog = Backlog::new(true, Bounds { lanes: 1, ..WIDE }, HOUR);
    let earlier = Claim {
        fence: 1,
        ..Claim::SOLE
    };
    backlog.unsynced.settle(EntryId(1), earlier);
    assert_eq!(backlog.offer(&owed(1, b"a", b"{}"), at), Offered::Held);
    assert!(backlog.begin_reads().0.is_empty(), "it may be settled");
    backlog.owe_again(vec![Box::from(*b"b")]);
    assert!(!backlog.readmit());
    backlog.synced(&[Synced::Settled(EntryId(1))]);
    assert!(!backlog.readmit());
    assert_eq!(*backlog.begin_reads().0, [Arc::from(&b"a"[..])]);
}

#[test]
fn a_task_without_room_for_a_lane_at_a_sync_is_read_later() {
    let at = moment();
    let mut backlog = Backlog::new(true, Bounds { lanes: 1, ..WIDE }, HOUR);
    backlog.follow();
    backlog.unsynced.settle(EntryId(1), Claim::SOLE);
    assert_eq!(backlog.offer(&owed(1, b"a", b"{}"), at), Offered::Held);
    assert_eq!(backlog.offer(&owed(2, b"b", b"{}"), at), Offered::Held);
    assert_eq!(backlog.lanes.len(), 1, "the lane of the other task");
    backlog.synced(&[Synced::Settled(EntryId(1))]);
    assert!(!backlog.readmit(), "it waits for room");
}

#[test]
fn a_stored_event_waits_for_its_time_but_no_longer_than_the_longest_wait() {
    let at = moment();
    let mut backlog = Backlog::new(true, WIDE, HOUR);
    let stored = |backlog: &Backlog, wait: i64| {
        let not_before = at.epoch_ms().saturating_add_signed(wait);
        let owed = Owed {
            not_before,
            ..owed(1, b"a", b"{}")
        };
        backlog.stored(&owed, at).not_before
    };
    let ms = Duration::from_millis;
    assert_eq!(stored(&backlog, -1), None);
    assert_eq!(stored(&backlog, 0), None);
    assert_eq!(stored(&backlog, 5), Some(at.now + ms(5)));
    assert_eq!(stored(&backlog, 3_600_001), Some(at.now + HOUR));
    backlog.set_longest_wait(ms(3));
    assert_eq!(stored(&backlog, 5), Some(at.now + ms(3)));
}

#[test]
fn stored_events_failed_in_one_batch_if_their_time_is_the_same_and_the_target_has_batches() {
    let mut backlog = Backlog::new(true, WIDE, HOUR);
    let batch = |backlog: &Backlog, attempts, not_before| {
        let owed = Owed {
            attempts,
            not_before,
            ..owed(1, b"a", b"{}")
        };
        backlog.stored(&owed, moment()).batch.map(BatchTag::get)
    };
    assert_eq!(batch(&backlog, 1, 7), None);
    backlog.set_batches(true);
    assert_eq!(batch(&backlog, 1, 7), Some(7));
    assert_eq!(batch(&backlog, 1, 0), None);
    assert_eq!(batch(&backlog, 0, 7), None, "it was never attempted");
}

#[test]
fn the_events_of_a_failed_batch_are_read_back_together_however_large_they_are() {
    let large = vec![0; READ_BYTES];
    for (attempts, together) in [(1, 2), (0, 1)] {
        let at = moment();
        let mut backlog = Backlog::new(true, WIDE, HOUR);
        backlog.set_batches(true);
        let entry = |number| Owed {
            attempts,
            not_before: 7,
            ..owed(number, b"a", &large)
        };
        if attempts == 0 {
            backlog.cursor = Some(EntryId(2));
            backlog.owe_again(vec![Box::from(*b"a")]);
            assert!(backlog.readmit());
        } else {
            for number in 1..=2 {
                assert_eq!(backlog.offer(&entry(number), at), Offered::Held);
            }
            backlog.lanes.wake(at.now + Duration::from_secs(1));
        }
        let (due, mut reads) = backlog.begin_reads();
        for number in 1..=2 {
            if backlog
                .read_entry(&mut reads, 0, &entry(number), at)
                .is_break()
            {
                break;
            }
        }
        backlog.finish_reads(&due, reads, at.now);
        assert_eq!(backlog.lanes.held(), together, "{attempts} attempts");
    }
}
