//! Who owns which slots.

use std::time::{Duration, Instant};

use super::support::{Server, wait_for};

const OWNERS: &str = "SELECT string_agg(n::text, ',' ORDER BY n) FROM \
    (SELECT count(*) AS n FROM webhook.slot WHERE owner IS NOT NULL GROUP BY owner) counts";

#[test]
fn workers_share_the_slots_and_one_that_stops_gives_them_back_at_once() {
    let Some(server) = Server::start() else {
        return;
    };
    let first = server.worker();
    first.wait_for_slots(64);
    let second = server.worker();
    second.wait_for_slots(32);
    first.wait_for_slots(32);
    let third = server.worker();
    server.wait_for(OWNERS, "21,21,22");
    let begun = Instant::now();
    second.worker().close();
    third.worker().close();
    first.wait_for_slots(64);
    assert!(begun.elapsed() < server.settings.lease * 3);
    assert_eq!(
        server.postgres.query("SELECT count(*) FROM webhook.worker"),
        "1"
    );
    first.worker().close();
    assert_eq!(server.postgres.query(OWNERS), "");
}

#[test]
fn a_slot_is_kept_until_its_guards_are_gone() {
    let Some(server) = Server::start() else {
        return;
    };
    let first = server.worker();
    first.wait_for_slots(64);
    let claims = first.worker().claims();
    let mut guards: Vec<_> = claims
        .iter()
        .filter_map(|it| first.worker().guard(*it))
        .collect();
    assert_eq!(guards.len(), 64);
    let second = server.worker();
    // Half of the claims have ended, and their slots are still owned.
    first.wait_for_slots(32);
    wait_for("the second worker", || {
        second.worker().lease.worker().is_some()
    });
    assert_eq!(server.postgres.query(OWNERS), "64");
    let ended: Vec<_> = claims
        .iter()
        .filter(|it| first.worker().guard(**it).is_none())
        .collect();
    assert_eq!(ended.len(), 32);
    guards.clear();
    second.wait_for_slots(32);
    assert_eq!(server.postgres.query(OWNERS), "32,32");
}

#[test]
fn a_worker_that_stalls_past_its_lease_sends_nothing_and_is_fenced() {
    let Some(server) = Server::start() else {
        return;
    };
    let first = server.worker();
    first.wait_for_slots(64);
    let entry = first.append("k", &[1], "x");
    let claim = first.owed(1, None, 1)[0].claim;
    let second = server.worker();
    let (claim, read) = {
        second.wait_for_slots(32);
        first.wait_for_slots(32);
        let stalled = match first.worker().guard(claim) {
            Some(_) => (&first, &second),
            // The slot went to the second worker.
            None => (&second, &first),
        };
        wait_for("the owner's read", || {
            !stalled.0.owed(1, None, 1).is_empty()
        });
        let claim = stalled.0.owed(1, None, 1)[0].claim;
        let pause = stalled.0.worker().lease.pause();
        let lost = stalled.0.worker().lease.lost();
        stalled.1.wait_for_slots(64);
        assert!(stalled.0.worker().guard(claim).is_none());
        assert!(!stalled.0.settle(entry, 1, claim, None), "it is fenced");
        let read = stalled.1.owed(1, None, 1);
        assert!(stalled.1.worker().guard(read[0].claim).is_some());
        drop(pause);
        // It finds out, comes back under another number, and gets its share.
        wait_for("the loss", || stalled.0.worker().lease.lost() == lost + 1);
        stalled.0.wait_for_slots(32);
        (claim, read)
    };
    assert_eq!(read[0].entry, entry);
    assert_eq!(read[0].claim.slot, claim.slot);
    assert!(read[0].claim.fence > claim.fence);
}

#[test]
fn a_claim_waits_for_a_renewal_that_is_under_way() {
    // A look at `expires` alone does not see a renewal that is not committed.
    let Some(server) = Server::start() else {
        return;
    };
    let first = server.worker();
    first.wait_for_slots(64);
    let pause = first.worker().lease.pause();
    let id = first.worker().lease.worker().expect("it has a lease");
    let mut renewal = server.postgres.session(&format!(
        "BEGIN; UPDATE webhook.worker SET expires = clock_timestamp() + interval '1 h' WHERE id = {id}"
    ));
    let second = server.worker();
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity \
         WHERE wait_event_type = 'Lock' AND query LIKE '%claim_slots%'";
    server.wait_for(waits, "t");
    renewal.write("COMMIT;\n\\echo done\n");
    server.wait_for(waits, "f");
    assert_eq!(
        server.postgres.query(&format!(
            "SELECT count(*) FROM webhook.worker WHERE id = {id}"
        )),
        "1"
    );
    assert_eq!(server.postgres.query(OWNERS), "64");
    drop(pause);
    second.wait_for_slots(32);
}

#[test]
fn a_claim_looks_at_the_time_after_its_wait_for_the_lock() {
    // now() is the time at which a transaction began: a lease that expires during the wait for the
    // append lock would look as if it were alive, and no worker would claim its slots.
    let Some(server) = Server::start() else {
        return;
    };
    let worker = |id: u32, lease: &str| {
        server.postgres.query(&format!(
            "INSERT INTO webhook.worker (id, name, expires) \
             VALUES ({id}, '', clock_timestamp() + interval '{lease}')"
        ))
    };
    worker(1001, "1 s");
    worker(1002, "1 h");
    server
        .postgres
        .query("UPDATE webhook.slot SET owner = 1001, epoch = 1");
    let mut lock = server
        .postgres
        .session("BEGIN; SELECT FROM webhook.head FOR UPDATE");
    let claim = "SELECT count(*) FROM webhook.claim_slots(1002, 64, '{}')";
    let claimed = std::thread::scope(|scope| {
        let claim = scope.spawn(|| server.postgres.query(claim));
        server.wait_for(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
            "1",
        );
        server.wait_for(
            "SELECT expires < now() FROM webhook.worker WHERE id = 1001",
            "t",
        );
        lock.write("COMMIT;\n");
        claim.join().expect("it claims")
    });
    assert_eq!(claimed, "64");
}

#[test]
fn claims_go_on_after_a_crash_of_the_server() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let worker = server.worker();
    worker.wait_for_slots(64);
    let claim = worker.worker().claims()[0];
    server.postgres.stop(testkit::Stop::Immediate);
    wait_for("the end of the permission", || {
        worker.worker().guard(claim).is_none()
    });
    server.postgres.start_again();
    wait_for("a claim", || {
        let claims = worker.worker().claims();
        claims.len() == 64 && worker.worker().guard(claims[0]).is_some()
    });
    assert!(worker.worker().claims()[0].fence > claim.fence);
    let news = || worker.worker().wait_for_news(Duration::from_millis(10));
    wait_for("the news", || news().reread);
}
