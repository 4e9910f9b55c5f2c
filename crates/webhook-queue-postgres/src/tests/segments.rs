//! The ring of segments.

use super::support::{Process, Server, wait_for};

const USED: &str = "SELECT string_agg(ordinal::text, ',' ORDER BY ordinal) FROM webhook.segment";

fn fill(worker: &Process, key: &str, count: usize) -> Vec<u64> {
    // Of random text, so that it is not compressed.
    let body = server_text();
    (0..count)
        .map(|_| worker.append(key, &[1], &body))
        .collect()
}

fn server_text() -> String {
    use std::hash::{BuildHasher, RandomState};
    (0..200)
        .map(|it| format!("{:016x}", RandomState::new().hash_one(it)))
        .collect()
}

fn settle_all(worker: &Process, but: &[u64]) {
    for read in worker.owed(1, None, usize::MAX) {
        if !but.contains(&read.entry) {
            assert!(worker.settle(read.entry, 1, read.claim, None));
        }
    }
}

#[test]
fn settled_segments_are_truncated_and_totals_stay() {
    let Some(mut server) = Server::start() else {
        return;
    };
    server.settings.segment_bytes = 64 << 10;
    let worker = server.worker();
    worker.wait_for_slots(64);
    for _ in 0..4 {
        let entries = fill(&worker, "k", 40);
        assert_eq!(worker.entries(1, None), entries);
        settle_all(&worker, &[]);
    }
    wait_for("one segment, which is not the first", || {
        let used = server.postgres.query(USED);
        used.parse::<u64>().is_ok_and(|ordinal| ordinal > 1)
    });
    let last = fill(&worker, "k", 3);
    assert!(server.number("SELECT count(*) FROM webhook.events") < 100);
    worker.follow();
    assert_eq!(worker.worker().log.read().totals(1).owed, 3);
    assert_eq!(worker.entries(1, None), last);
    let late = server.worker();
    assert_eq!(late.worker().log.read().totals(1).owed, 3);
}

#[test]
fn a_stuck_event_is_copied_out_and_neither_lost_nor_repeated() {
    let Some(mut server) = Server::start() else {
        return;
    };
    server.settings.segment_bytes = 64 << 10;
    let worker = server.worker();
    worker.wait_for_slots(64);
    let stuck = fill(&worker, "stuck", 2);
    let claim = worker.owed(1, None, 1)[0].claim;
    assert!(worker.settle(stuck[0], 1, claim, Some(3)));
    let mut after = None;
    for _ in 0..12 {
        let entries = fill(&worker, "k", 40);
        let read = worker.entries(1, after);
        assert!(read.ends_with(&entries));
        after = entries.last().copied();
        settle_all(&worker, &stuck);
        worker.follow();
    }
    wait_for("the copies", || {
        server.number("SELECT count(*) FROM webhook.parked") == 2
    });
    assert_eq!(worker.entries(1, None), stuck);
    let rest = fill(&worker, "stuck", 1);
    let read = &worker.owed_of_keys(1, &["stuck"], 9)[0];
    assert_eq!(
        read.iter()
            .map(|it| (it.entry, it.attempts))
            .collect::<Vec<_>>(),
        [(stuck[0], 3), (stuck[1], 0), (rest[0], 0)]
    );
    assert_eq!(server.worker().worker().log.read().totals(1).owed, 3);
    settle_all(&worker, &[]);
    assert!(worker.entries(1, None).is_empty());
    assert_eq!(server.number("SELECT count(*) FROM webhook.parked"), 0);
}

#[test]
fn a_reader_of_another_program_delays_a_truncation_and_nothing_else() {
    let Some(mut server) = Server::start() else {
        return;
    };
    server.settings.segment_bytes = 64 << 10;
    let worker = server.worker();
    worker.wait_for_slots(64);
    let dump = server
        .postgres
        .session("BEGIN; LOCK TABLE webhook.event_0 IN ACCESS SHARE MODE");
    for _ in 0..10 {
        let entries = fill(&worker, "k", 40);
        assert_eq!(worker.entries(1, None), entries);
        settle_all(&worker, &[]);
        worker.follow();
    }
    wait_for("a full ring", || {
        server.number("SELECT count(*) FROM webhook.segment WHERE ordinal IS NOT NULL") >= 3
    });
    assert_eq!(server.number("SELECT min(ordinal) FROM webhook.segment"), 1);
    drop(dump);
    wait_for("one segment", || {
        server.number("SELECT count(*) FROM webhook.segment WHERE ordinal IS NOT NULL") == 1
    });
}
