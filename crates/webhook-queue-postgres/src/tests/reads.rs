//! What a target reads.

use super::support::Server;

#[test]
fn a_target_reads_its_own_entries_in_order_and_no_settled_one() {
    let Some(server) = Server::start() else {
        return;
    };
    let before = {
        let worker = server.worker();
        worker.wait_for_slots(64);
        let entries = ["a", "b", "a"].map(|key| worker.append(key, &[1], "early"));
        worker.worker().close();
        entries
    };
    let worker = server.worker();
    worker.wait_for_slots(64);
    let later: Vec<u64> = (0..5)
        .map(|it| worker.append("a", &[1, 2], &format!("{it}")))
        .collect();
    let all: Vec<u64> = before.into_iter().chain(later.clone()).collect();
    assert_eq!(worker.entries(1, None), all);
    assert_eq!(worker.entries(2, None), later);
    assert_eq!(worker.entries(1, Some(later[1])), later[2..]);
    let read = worker.owed(1, Some(later[1]), 1);
    assert_eq!((&*read[0].key, &*read[0].body), ("a", "2"));

    for entry in [before[1], later[2]] {
        let claim = worker.owed(1, Some(entry - 1), 1)[0].claim;
        assert!(worker.settle(entry, 1, claim, None));
    }
    assert!(worker.settle(later[3], 1, read[0].claim, Some(4)));
    let rest: Vec<u64> = all
        .iter()
        .copied()
        .filter(|it| ![before[1], later[2]].contains(it))
        .collect();
    assert_eq!(worker.entries(1, None), rest);
    assert_eq!(worker.entries(2, None), later);
    let keys = worker.owed_of_keys(1, &["a", "b", "none"], 9);
    let of_a: Vec<u64> = keys[0].iter().map(|it| it.entry).collect();
    assert_eq!(of_a, rest);
    assert_eq!(keys[0].iter().map(|it| it.attempts).max(), Some(4));
    assert!(keys[1].is_empty() && keys[2].is_empty());
    let operator = server.operator();
    assert_eq!(operator.entries(1, None), rest);
    assert!(
        operator
            .worker()
            .guard(operator.owed(1, None, 1)[0].claim)
            .is_none()
    );
}

#[test]
fn a_backlog_is_read_in_pages_also_where_most_of_it_is_settled() {
    let Some(server) = Server::start() else {
        return;
    };
    let creator = server.operator();
    // Rows by one statement: an event for each of 6,000 entries, of which the log settles most.
    creator.query(
        "INSERT INTO {schema}.event_0 (entry, hash, accepted_at, id, bytes, slot, targets, key, body) \
         SELECT i, 7, 0, gen_random_uuid(), 3000, 7, '{1}', 'k', convert_to(i::text || repeat('x', 3000), 'UTF8') \
         FROM generate_series(100000, 105999) i",
        &[],
    );
    creator.query(
        "INSERT INTO {schema}.log_0 (number, count, settled, settled_target) \
         SELECT 106000, 0, array_agg(i), array_agg(1::int2) \
         FROM generate_series(100000, 105999) i WHERE i < 103000 OR i % 10 > 0",
        &[],
    );
    creator.query("SELECT setval('{schema}.entry', 106048)", &[]);
    let worker = server.worker();
    worker.wait_for_slots(64);
    let owed: Vec<u64> = (103_000..106_000).filter(|it| it % 10 == 0).collect();
    let read = worker.owed(1, None, usize::MAX);
    assert_eq!(read.iter().map(|it| it.entry).collect::<Vec<_>>(), owed);
    assert!(
        read.iter()
            .all(|it| it.body.starts_with(&format!("{}x", it.entry)))
    );
    // Read on, entry by entry.
    let mut after = None;
    for expected in &owed[..20] {
        let next = worker.owed(1, after, 1)[0].entry;
        assert_eq!(next, *expected);
        after = Some(next);
    }
}
