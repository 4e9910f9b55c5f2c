//! Reading and repairing the queue of a running dispatcher.

use crate::support::*;
use std::ops::ControlFlow;
use std::sync::Arc;
use webhook_config::Delivery;
use webhook_dispatch::{Control, RepairError};
use webhook_queue::{EntryId, MemoryQueue, Queue};

/// Up to `count` entries of dead letters after `after`.
fn page(control: &Control, after: Option<EntryId>, count: usize) -> Vec<EntryId> {
    let mut found = Vec::new();
    let mut visit = |letter: webhook_queue::DeadLetter<'_>| {
        found.push(letter.owed.entry);
        match found.len() < count {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    control.dead_letters(Some("a"), after, &mut visit).unwrap();
    found
}

#[test]
fn dead_letters_are_listed_in_pages_shown_and_dropped_while_events_come() {
    let receiver = Receiver::new(|_| Reply::Status(404));
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 30));
    let dispatcher = dispatcher(config([target("a")]), &queue, &receiver)
        .retry(Arc::new(AtOnce {
            attempts: 1,
            ..AtOnce::default()
        }))
        .start()
        .unwrap();
    let (submitter, control) = (dispatcher.submitter(), dispatcher.control());
    // More than one snapshot's worth.
    for number in 0..2_500 {
        submitter
            .submit_with(event(&number.to_string(), number), Some(soon()), drop)
            .unwrap();
    }
    let never = std::sync::atomic::AtomicBool::new(false);
    assert!(dispatcher.drain(Some(PATIENCE), &never));
    while control.queue_statistics().unwrap().targets[0].dead < 2_500 {
        std::thread::yield_now();
    }
    let all = page(&control, None, usize::MAX);
    assert_eq!(all.len(), 2_500);
    assert_eq!(page(&control, None, 10), all[..10]);
    assert_eq!(page(&control, Some(all[1_194]), 1_000), all[1_195..2_195]);
    assert_eq!(page(&control, None, 1_000), all[..1_000]);

    let mut body = None;
    let mut shown = |entry| {
        let show = |letter: webhook_queue::DeadLetter<'_>| body = Some(letter.owed.body.to_vec());
        control.dead_letter("a", entry, show).unwrap()
    };
    assert!(shown(all[7]));
    assert!(!shown(EntryId(u64::MAX)));
    assert_eq!(body, Some(event("7", 7)));

    assert_eq!(
        control.drop_dead_letters("a", &all[..2_000]).unwrap(),
        2_000
    );
    assert_eq!(page(&control, None, usize::MAX), all[2_000..]);
    assert_eq!(control.replay("a", &all[2_000..2_001]).unwrap(), 1);
    let found = control.verify().unwrap().unwrap();
    assert!(found.is_whole(), "{found:?}");
    assert_eq!(found.events, 500);
    let mut none = |_: webhook_queue::Quarantined<'_>| panic!("nothing is damaged");
    control.quarantined(None, &mut none).unwrap();
    assert!(dispatcher.shutdown(PATIENCE).drained);
}

#[test]
fn a_removed_targets_events_are_dropped_and_a_configured_ones_are_not() {
    let receiver = Receiver::new(|_| Reply::Hang);
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(1 << 30));
    let all = config([target("a"), target("gone"), target("now-best-effort")]);
    let first = dispatcher(all, &queue, &receiver).start().unwrap();
    for number in 0..3 {
        submit(&first.submitter(), "t", number);
    }
    first.shutdown(std::time::Duration::ZERO);

    let receiver = Receiver::new(|_| Reply::Hang);
    let less = config([
        target("a"),
        target("now-best-effort").delivery(Delivery::BestEffort),
    ]);
    let second = dispatcher(less, &queue, &receiver).start().unwrap();
    receiver.wait("the first attempt", |state| !state.requests.is_empty());
    let control = second.control();
    let refused = control.drop_target("a").unwrap_err();
    assert!(matches!(refused, RepairError::Configured { .. }));
    assert!(refused.to_string().contains("take it out"), "{refused}");
    let refused = control.drop_target("gnoe").unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("it knows: a, gone, now-best-effort"),
        "{text}"
    );
    assert_eq!(control.drop_target("gone").unwrap(), 3);
    assert_eq!(control.drop_target("now-best-effort").unwrap(), 3);
    let left = control.queue_statistics().unwrap().targets;
    assert_eq!((left.len(), left[0].pending), (1, 3));
    second.shutdown(std::time::Duration::ZERO);
}
