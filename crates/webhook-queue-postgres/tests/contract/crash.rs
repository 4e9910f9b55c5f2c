//! Everything acknowledged survives a kill of the process and of the server at any instant.

use std::sync::Arc;

use testkit::{Postgres, Stop};
use webhook_queue::Queue;
use webhook_queue_postgres::PostgresQueue;

use crate::kills::{Acknowledged, CHILD, child, feed};
use crate::open::{open, settings};

const TEST: &str = "crash::nothing_acknowledged_is_lost_by_a_kill_of_the_process_or_of_the_server";

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_of_the_process_or_of_the_server() {
    if let Some(url) = std::env::var_os(CHILD) {
        let settings = settings(url.to_str().unwrap(), "webhook");
        return feed(&Arc::new(PostgresQueue::open(settings).unwrap()));
    }
    // No kill but that of the machine loses what the system was given.
    let Some(mut postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let url = postgres.url();
    let mut acknowledged = Acknowledged::default();
    for round in 0..6_usize {
        let mut child = child(TEST, &url, &[]);
        let first = 200 + round * 311;
        // In every other round, the process goes on after a kill of the server.
        let kills_server = round % 2 == 1;
        let last = first + if kills_server { 300 } else { 0 };
        let seen = acknowledged.read(&mut child, |seen, child| {
            if kills_server && seen == first {
                postgres.stop(Stop::Immediate);
                postgres.start_again();
            }
            if seen == last {
                child.kill().unwrap();
            }
        });
        assert!(seen >= last, "the child ended by itself");
        let queue = open(&postgres, settings(&url, "webhook"));
        acknowledged.check(&queue);
        queue.close().unwrap();
    }
    acknowledged.expect(500, 250);
}
