//! The view of the workers that share a queue in PostgreSQL.

use super::marked;
use crate::workers::{Cluster, JSON, wait_for_shares};
use std::time::Duration;
use testkit::{Browser, Receiver, Reply, Signal, event, post};

#[test]
fn two_workers_are_shown_with_their_slots_and_lag_and_one_that_ends_goes_away() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let Some(browser) = Browser::start() else {
        return;
    };
    // Some of each worker's events stay owed.
    let receiver = Receiver::always(Reply::status(500));
    cluster.configure(&receiver.url(), Duration::from_secs(5));
    let workers = [cluster.worker(), cluster.worker()];
    wait_for_shares(&[&workers[0], &workers[1]]);
    for number in 0..60 {
        let event = event(&format!("task-{number}"), number);
        post(&workers[0].url, &[JSON], event).expect_status(200);
    }
    browser.resize(1280, 800, false);
    browser.open(&format!("{}#/workers", workers[0].admin.url()));
    browser.wait_for_text("#view .lead", "64 slots in ");
    browser.wait_for_text("#view .lead", "each has a worker");
    let row = marked("worker-row");
    browser.wait_for_text(&row, "This one");
    let cells = format!(
        "[...document.querySelectorAll('{row}')].map(row => [...row.children].map(it => it.textContent))"
    );
    browser.wait_for(&format!(
        "{cells}.filter(([, slots, lease, lag]) => slots === '32' \
         && /^\\d+ m?s ago$/.test(lease) && /^\\d/.test(lag)).length === 2"
    ));
    // Of a task, each worker has what it delivers itself.
    browser.open(&format!("{}#/tasks/task-1", workers[0].admin.url()));
    browser.wait_for_text(&marked("others"), "1 other worker shares the queue");
    browser.open(&format!("{}#/workers", workers[0].admin.url()));
    let [one, other] = workers;
    other.process.signal(Signal::KILL);
    browser.wait_for(&format!("{cells}.map(it => it[1]).join() === '64'"));
    browser.wait_for_text("#view .lead", "each has a worker");
    one.stop();
}
