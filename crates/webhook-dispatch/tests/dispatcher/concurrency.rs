//! As many requests of a target are under way together as it may have, whatever its receiver did
//! before.

use crate::support::*;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex};
use webhook_dispatch::Dispatcher;
use webhook_queue::{MemoryQueue, Queue};

const TOGETHER: usize = 8;

/// A receiver that answers requests of tasks `slow…` once [`TOGETHER`] of them are under way, and
/// others at once.
fn receiver() -> Arc<Receiver> {
    let under_way = (Mutex::new(0), Condvar::new());
    Receiver::new(move |received| {
        if !received.task().starts_with("slow") {
            return Reply::Status(200);
        }
        let (count, changed) = &under_way;
        let mut count = count.lock().unwrap();
        *count += 1;
        changed.notify_all();
        let waited = changed.wait_timeout_while(count, PATIENCE, |count| *count < TOGETHER);
        match waited.unwrap().1.timed_out() {
            true => Reply::Status(400),
            false => Reply::Status(200),
        }
    })
}

fn start(receiver: &Arc<Receiver>) -> Dispatcher {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 30));
    let target = target("a").concurrency(NonZeroUsize::new(TOGETHER).unwrap());
    dispatcher(config([target]), &queue, receiver)
        .start()
        .unwrap()
}

fn submit_slow(dispatcher: &Dispatcher) {
    let submitter = dispatcher.submitter();
    for number in 0..TOGETHER {
        let slow = event(&format!("slow{number}"), 0);
        submitter.try_submit(slow).unwrap();
    }
}

/// Waits until the slow requests were answered, all with a success.
fn wait(receiver: &Receiver) {
    receiver.wait("requests under way together", |state| {
        let slow = state.delivered.iter();
        slow.filter(|it| it.task().starts_with("slow")).count() == TOGETHER
    });
}

#[test]
fn the_first_requests_are_under_way_together() {
    let receiver = receiver();
    let dispatcher = start(&receiver);
    submit_slow(&dispatcher);
    wait(&receiver);
    assert!(dispatcher.shutdown(PATIENCE).drained);
}

#[test]
fn requests_are_under_way_together_also_if_those_before_were_answered_at_once() {
    let receiver = receiver();
    let dispatcher = start(&receiver);
    for number in 0..300 {
        submit(&dispatcher.submitter(), &format!("quick{number}"), 0);
    }
    receiver.wait("quick requests", |state| state.delivered.len() == 300);
    submit_slow(&dispatcher);
    wait(&receiver);
    assert!(dispatcher.shutdown(PATIENCE).drained);
}

#[test]
fn requests_without_an_answer_leave_the_other_senders_to_the_next_events() {
    let receiver = receiver();
    let dispatcher = start(&receiver);
    for number in 0..300 {
        submit(&dispatcher.submitter(), &format!("quick{number}"), 0);
    }
    // All but one sender wait for an answer that comes once the last one has sent its request.
    let submitter = dispatcher.submitter();
    for number in 1..TOGETHER {
        submit(&submitter, &format!("slow{number}"), 0);
    }
    for number in 300..600 {
        submit(&submitter, &format!("quick{number}"), 0);
    }
    receiver.wait("quick requests", |state| state.delivered.len() == 600);
    submit(&submitter, "slow0", 0);
    wait(&receiver);
    assert!(dispatcher.shutdown(PATIENCE).drained);
}
