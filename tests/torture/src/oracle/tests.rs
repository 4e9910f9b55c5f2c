//! The oracle finds each way in which a promise can be broken, in fabricated histories.

use super::*;
use crate::history::{
    Ack, Answer, Arrival, Dead, Limits, Poison, PoisonedRun, Reason, RunNumber, Sent,
};
use std::sync::LazyLock;
use std::time::Instant;

const FIRST: usize = 0;
const SECOND: usize = 1;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Two targets that get ten events of two tasks, in turn, in two runs of webhookd, without a fault.
fn sound() -> History {
    let target = |name| Limits {
        name,
        most_repeated: 2,
        gives_up: false,
        has_quota: false,
        has_batches: false,
    };
    let mut history = History {
        targets: vec![target("first"), target("second")],
        arrivals: vec![Vec::new(), Vec::new()],
        ..History::default()
    };
    for event in 0..10 {
        history.sent.push(Sent {
            task: event as u32 % 2,
            body: body(event),
            wanted: 0b11,
            times: 1,
        });
        let id = id(event);
        history.acks.push(Ack {
            event,
            id,
            run: event as RunNumber / 5,
            at: *START,
            over_quota: 0,
        });
        for arrivals in &mut history.arrivals {
            arrivals.push(arrival(event, event as RunNumber / 5));
        }
    }
    history
}

fn body(event: usize) -> Body {
    Body::of(format!("event {event}").as_bytes())
}

fn id(event: usize) -> Id {
    1_000 + event as Id
}

fn arrival(event: usize, run: RunNumber) -> Arrival {
    Arrival {
        id: Some(id(event)),
        batch: None,
        body: body(event),
        run,
        at: *START,
        answer: Answer::Success,
    }
}

fn dead(target: usize, event: usize, reason: Reason) -> Dead {
    let id = id(event);
    Dead { target, id, reason }
}

/// Spoils a good history, and checks what is found, and how often.
fn check(expected: &[(Violation, u64)], spoil: impl FnOnce(&mut History)) -> Verdict {
    let mut history = sound();
    spoil(&mut history);
    let verdict = super::check(&history);
    let found: Vec<_> = verdict.violations.clone().into_iter().collect();
    assert_eq!(found, expected, "{:#?}", verdict.described);
    assert_eq!(verdict.described.is_empty(), expected.is_empty());
    verdict
}

#[test]
fn a_sound_history_has_no_violation() {
    let verdict = check(&[], |_| {});
    for counts in &verdict.targets {
        assert_eq!((counts.owed, counts.taken, counts.arrivals), (10, 10, 10));
    }
}

#[test]
fn an_acknowledged_event_that_never_arrived_is_lost() {
    check(&[(Violation::Lost, 1)], |history| {
        history.arrivals[SECOND].remove(4);
    });
}

#[test]
fn an_event_that_was_only_ever_answered_with_failures_is_lost() {
    check(&[(Violation::Lost, 1)], |history| {
        history.arrivals[FIRST][9].answer = Answer::Failure
    });
    check(&[(Violation::Lost, 1)], |history| {
        history.arrivals[FIRST][9].answer = Answer::Refusal
    });
}

#[test]
fn an_answer_that_may_have_been_taken_for_a_success_is_no_loss() {
    check(&[], |history| {
        history.arrivals[FIRST][9].answer = Answer::MaybeSuccess
    });
}

#[test]
fn a_dead_letter_with_a_cause_is_no_loss() {
    let verdict = check(&[], |history| {
        history.arrivals[FIRST][3].answer = Answer::Refusal;
        history.dead.push(dead(FIRST, 3, Reason::Refused));
        history.targets[SECOND].gives_up = true;
        history.arrivals[SECOND].remove(4);
        history
            .dead
            .push(dead(SECOND, 4, Reason::AttemptsExhausted));
    });
    assert_eq!((verdict.targets[0].taken, verdict.targets[0].dead), (9, 1));
}

#[test]
fn a_dead_letter_of_another_target_is_no_excuse() {
    check(&[(Violation::Lost, 1)], |history| {
        history.targets[FIRST].gives_up = true;
        history.dead.push(dead(FIRST, 4, Reason::AttemptsExhausted));
        history.arrivals[SECOND].remove(4);
    });
}

#[test]
fn a_dead_letter_without_a_cause_is_found() {
    for reason in [Reason::Refused, Reason::AttemptsExhausted, Reason::Other] {
        check(&[(Violation::DeadWithoutCause, 1)], |history| {
            history.dead.push(dead(FIRST, 3, reason))
        });
    }
}

#[test]
fn two_events_of_a_task_that_changed_places_are_out_of_order() {
    check(&[(Violation::OutOfOrder, 1)], |history| {
        history.arrivals[FIRST].swap(2, 4)
    });
}

#[test]
fn events_of_different_tasks_may_change_places() {
    check(&[], |history| history.arrivals[FIRST].swap(2, 3));
}

#[test]
fn a_failed_first_attempt_counts_for_the_order() {
    check(&[(Violation::OutOfOrder, 1)], |history| {
        let mut early = arrival(4, 0);
        early.answer = Answer::Failure;
        history.arrivals[FIRST].insert(2, early);
    });
}

/// Lets two events of a task arrive in a batch that fails, and then alone in this order.
fn batched(history: &mut History, order: [usize; 2]) {
    history.targets[FIRST].has_batches = true;
    let arrivals = &mut history.arrivals[FIRST];
    for event in [2, 4] {
        arrivals[event].batch = Some((7, Body::of(b"both")));
        arrivals[event].answer = Answer::Failure;
    }
    let retried = order.map(|event| arrival(event, 0));
    arrivals.splice(5..5, retried);
}

#[test]
fn the_events_of_a_batch_that_failed_are_taken_in_order() {
    check(&[], |history| batched(history, [2, 4]));
    check(&[(Violation::OutOfOrder, 1)], |history| {
        batched(history, [4, 2]);
    });
}

#[test]
fn a_batch_that_is_sent_again_has_the_same_body() {
    check(&[(Violation::Altered, 1)], |history| {
        batched(history, [2, 4]);
        history.arrivals[FIRST][5].batch = Some((7, Body::of(b"one of them")));
    });
}

#[test]
fn an_event_accepted_later_may_not_arrive_first_although_it_was_sent_first() {
    check(&[(Violation::OutOfOrder, 1)], |history| {
        history.acks.swap(2, 4);
        history.arrivals[FIRST].swap(2, 4);
    });
}

#[test]
fn a_body_that_was_never_sent_is_altered() {
    check(&[(Violation::Altered, 1)], |history| {
        history.arrivals[SECOND][7].body = Body::of(b"event 7 ")
    });
}

#[test]
fn a_repeated_delivery_with_another_body_is_altered() {
    // It is no body that was sent, and not the one that had come before.
    check(&[(Violation::Altered, 2)], |history| {
        let mut again = arrival(1, 1);
        again.body = Body::of(b"");
        history.arrivals[FIRST].push(again);
    });
}

#[test]
fn a_body_under_the_id_of_another_event_is_found() {
    check(
        &[
            (Violation::Lost, 1),
            (Violation::Altered, 1),
            (Violation::UnstableId, 1),
            (Violation::RepeatedWithoutCause, 1),
        ],
        |history| history.arrivals[FIRST][9].id = Some(id(7)),
    );
}

#[test]
fn an_event_under_another_id_than_the_acknowledged_is_found() {
    check(
        &[(Violation::Lost, 1), (Violation::UnstableId, 1)],
        |history| history.arrivals[SECOND][9].id = Some(77),
    );
}

#[test]
fn a_retry_under_a_new_id_is_found() {
    check(&[(Violation::UnstableId, 1)], |history| {
        let mut again = arrival(6, 1);
        again.id = Some(77);
        history.arrivals[FIRST].push(again);
    });
}

#[test]
fn a_request_without_an_id_is_found() {
    check(&[(Violation::UnstableId, 1)], |history| {
        let mut without_id = arrival(6, 1);
        without_id.id = None;
        history.arrivals[FIRST].push(without_id);
    });
}

#[test]
fn an_event_that_was_sent_again_may_arrive_under_both_ids() {
    let verdict = check(&[], |history| {
        history.sent[6].times = 2;
        for arrivals in &mut history.arrivals {
            let mut before = arrival(6, 0);
            before.id = Some(77);
            arrivals.insert(5, before);
        }
    });
    assert_eq!(verdict.unacknowledged, 1);
}

#[test]
fn an_event_that_was_sent_twice_has_no_third_id() {
    check(&[(Violation::UnstableId, 1)], |history| {
        history.sent[6].times = 2;
        for (target, name) in [(FIRST, 77), (SECOND, 78)] {
            let mut before = arrival(6, 0);
            before.id = Some(name);
            history.arrivals[target].insert(5, before);
        }
    });
}

#[test]
fn a_kill_may_repeat_what_was_in_flight_and_no_more() {
    let repeat = |count: usize| {
        move |history: &mut History| {
            let again = (0..count).map(|event| arrival(event, 1));
            history.arrivals[FIRST].splice(5..5, again);
        }
    };
    let verdict = check(&[], repeat(2));
    assert_eq!(verdict.targets[0].most_repeated, 2);
    check(&[(Violation::TooManyRepeated, 1)], repeat(3));
}

#[test]
fn repeats_are_counted_for_each_kill_and_target() {
    check(&[], |history| {
        history.arrivals[FIRST].splice(5..5, (0..2).map(|event| arrival(event, 1)));
        history.arrivals[FIRST].extend((8..10).map(|event| arrival(event, 2)));
        history.arrivals[SECOND].splice(5..5, (0..2).map(|event| arrival(event, 1)));
    });
}

#[test]
fn retries_after_failures_are_no_repeats() {
    check(&[], |history| {
        for answer in [Answer::Failure, Answer::MaybeSuccess, Answer::Failure] {
            let mut failed = arrival(4, 0);
            failed.answer = answer;
            history.arrivals[FIRST].insert(4, failed);
        }
    });
}

#[test]
fn a_success_that_is_tried_again_without_a_kill_is_found() {
    check(&[(Violation::RepeatedWithoutCause, 1)], |history| {
        history.arrivals[FIRST].push(arrival(9, 1))
    });
}

#[test]
fn a_success_may_be_tried_again_within_a_run_with_a_kill_and_is_counted() {
    let repeat = |count: usize| {
        move |history: &mut History| {
            history.disturbed.insert(1);
            history.arrivals[FIRST].extend((5..5 + count).map(|event| arrival(event, 1)));
        }
    };
    let verdict = check(&[], repeat(2));
    assert_eq!(verdict.targets[0].repeated, 2);
    check(&[(Violation::TooManyRepeated, 1)], repeat(3));
}

#[test]
fn a_success_that_is_tried_again_after_an_orderly_end_is_found() {
    check(&[(Violation::RepeatedWithoutCause, 1)], |history| {
        history.clean.insert(1);
        history.arrivals[FIRST].push(arrival(9, 2));
    });
}

/// Two dead letters of one task, which arrive again in run 2 in this order.
fn replay(history: &mut History, order: &[usize]) {
    for event in [3, 5] {
        history.arrivals[FIRST][event].answer = Answer::Refusal;
        history.dead.push(dead(FIRST, event, Reason::Refused));
    }
    history.replay = Some(2);
    history.clean.insert(1);
    let again = order.iter().map(|event| arrival(*event, 2));
    history.arrivals[FIRST].extend(again);
}

#[test]
fn dead_letters_that_are_replayed_arrive_in_order() {
    check(&[], |history| replay(history, &[3, 5]));
    check(&[(Violation::OutOfOrder, 1)], |history| {
        replay(history, &[5, 3])
    });
}

#[test]
fn a_dead_letter_that_is_not_replayed_is_found() {
    check(&[(Violation::NotReplayed, 1)], |history| {
        replay(history, &[5])
    });
}

#[test]
fn an_event_at_a_target_that_filters_it_is_found() {
    check(&[(Violation::Unwanted, 1)], |history| {
        history.sent[3].wanted = 0b01
    });
}

#[test]
fn an_event_that_no_target_wants_need_not_arrive() {
    check(&[], |history| {
        history.sent[3].wanted = 0;
        for arrivals in &mut history.arrivals {
            arrivals.remove(3);
        }
    });
}

#[test]
fn a_second_acknowledgement_is_found() {
    // No target has it under the second id.
    let expected = [(Violation::Lost, 2), (Violation::AcknowledgedTwice, 1)];
    check(&expected, |history| {
        let again = Ack {
            id: 77,
            ..history.acks[3]
        };
        history.acks.push(again);
    });
}

/// The second target has a quota, and was over it when an event was accepted.
fn over_quota(history: &mut History, event: usize) {
    history.targets[SECOND].has_quota = true;
    history.acks[event].over_quota = 1 << SECOND;
}

#[test]
fn an_event_need_not_arrive_at_a_target_that_was_over_its_quota() {
    let verdict = check(&[], |history| {
        over_quota(history, 4);
        history.arrivals[SECOND].remove(4);
    });
    let counts = &verdict.targets[SECOND];
    assert_eq!((counts.owed, counts.taken, counts.over_quota), (9, 9, 1));
}

#[test]
fn an_event_that_a_target_over_its_quota_misses_is_no_excuse_for_others() {
    // Not for another event, and not for another target.
    check(&[(Violation::Lost, 2)], |history| {
        over_quota(history, 4);
        history.arrivals[SECOND].drain(4..6);
        history.arrivals[FIRST].remove(4);
    });
}

#[test]
fn an_event_that_arrives_at_a_target_that_was_over_its_quota_is_found() {
    check(&[(Violation::Unwanted, 1)], |history| {
        over_quota(history, 4)
    });
}

#[test]
fn a_target_without_a_quota_is_never_over_it() {
    check(&[(Violation::OverQuotaWithoutCause, 1)], |history| {
        over_quota(history, 4);
        history.targets[SECOND].has_quota = false;
        history.arrivals[SECOND].remove(4);
    });
}

/// Run 1 has poisoned tasks, and lasts for a minute.
fn poison(history: &mut History, percent: u32) {
    let poison = Poison {
        percent,
        status: 500,
        seed: 0,
    };
    history.poisoned.push(PoisonedRun {
        run: 1,
        ended: *START + Duration::from_secs(60),
        poisons: vec![poison; 2],
    });
}

#[test]
fn a_healthy_tasks_event_that_arrives_late_beside_poisoned_ones_is_found() {
    let late = |event: usize, delay: Duration, percent: u32| {
        move |history: &mut History| {
            poison(history, percent);
            history.arrivals[FIRST][event].at += delay;
        }
    };
    let allowed = delay::LONGEST;
    let longer = allowed + Duration::from_millis(1);
    let verdict = check(&[], late(9, allowed, 0));
    assert_eq!(verdict.targets[0].longest_delay, allowed);
    // Both targets have five events of this run.
    assert_eq!(verdict.targets[0].beside_poisoned, 5);
    // The four others of the run arrived at the time of the acknowledgement.
    check(&[], late(9, longer, 0));
    let longer = allowed + 4 * delay::FOR_EACH_EVENT + Duration::from_millis(1);
    check(&[(Violation::Late, 1)], late(9, longer, 0));
    // Poisoned tasks may wait, and so may all tasks in other runs.
    check(&[], late(9, longer, 100));
    check(&[], late(4, longer, 0));
}

#[test]
fn retries_of_poisoned_tasks_do_not_excuse_a_delay() {
    check(&[(Violation::Late, 1)], |history| {
        poison(history, 0);
        let mut failed = arrival(5, 1);
        failed.answer = Answer::Failure;
        history.arrivals[FIRST].splice(5..5, vec![failed; 1_000]);
        let last = history.arrivals[FIRST].last_mut().unwrap();
        last.at += delay::LONGEST + Duration::from_secs(1);
    });
}

#[test]
fn a_healthy_tasks_event_that_does_not_arrive_beside_poisoned_ones_is_found() {
    let next_run = |history: &mut History| {
        poison(history, 0);
        history.arrivals[FIRST][9].run = 2;
    };
    check(&[(Violation::Late, 1)], next_run);
    // The run was too short to tell.
    check(&[], |history| {
        next_run(history);
        history.poisoned[0].ended = *START + delay::LONGEST;
    });
}
