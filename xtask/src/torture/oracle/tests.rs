//! The oracle sees each way in which a promise can be broken, in histories made up for it.

use super::*;
use crate::torture::history::{Ack, Answer, Arrival, Dead, Reason, Receiving, RunNumber, Sent};

const FIRST: usize = 0;
const SECOND: usize = 1;

/// Two targets that get ten events of two tasks, in turn, in two runs of webhookd; all is well.
fn well() -> History {
    let target = |name| Receiving {
        name,
        most_repeated: 2,
        gives_up: false,
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
        history.acks.push(Ack { event, id });
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
        body: body(event),
        run,
        answer: Answer::Yes,
    }
}

fn dead(target: usize, event: usize, reason: Reason) -> Dead {
    let id = id(event);
    Dead { target, id, reason }
}

/// Spoils a good history, and checks what is found, and how often.
fn check(spoil: impl FnOnce(&mut History), expected: &[(Fault, u64)]) -> Judgement {
    let mut history = well();
    spoil(&mut history);
    let judgement = judge(&history);
    let found: Vec<_> = judgement.faults.clone().into_iter().collect();
    assert_eq!(found, expected, "{:#?}", judgement.described);
    assert_eq!(judgement.described.is_empty(), expected.is_empty());
    judgement
}

#[test]
fn a_good_history_has_no_fault() {
    let judgement = check(|_| {}, &[]);
    for tally in &judgement.targets {
        assert_eq!((tally.wanted, tally.taken, tally.arrivals), (10, 10, 10));
    }
}

#[test]
fn an_acknowledged_event_that_never_arrived_is_lost() {
    check(
        |history| {
            history.arrivals[SECOND].remove(4);
        },
        &[(Fault::Lost, 1)],
    );
}

#[test]
fn an_event_that_was_only_ever_answered_with_failures_is_lost() {
    check(
        |history| history.arrivals[FIRST][9].answer = Answer::No,
        &[(Fault::Lost, 1)],
    );
    check(
        |history| history.arrivals[FIRST][9].answer = Answer::Never,
        &[(Fault::Lost, 1)],
    );
}

#[test]
fn an_answer_that_may_have_been_taken_for_a_success_is_no_loss() {
    check(
        |history| history.arrivals[FIRST][9].answer = Answer::Perhaps,
        &[],
    );
}

#[test]
fn a_dead_letter_with_a_cause_is_no_loss() {
    let judgement = check(
        |history| {
            history.arrivals[FIRST][3].answer = Answer::Never;
            history.dead.push(dead(FIRST, 3, Reason::Refused));
            history.targets[SECOND].gives_up = true;
            history.arrivals[SECOND].remove(4);
            history
                .dead
                .push(dead(SECOND, 4, Reason::AttemptsExhausted));
        },
        &[],
    );
    assert_eq!(
        (judgement.targets[0].taken, judgement.targets[0].dead),
        (9, 1)
    );
}

#[test]
fn a_dead_letter_of_another_target_is_no_excuse() {
    check(
        |history| {
            history.targets[FIRST].gives_up = true;
            history.dead.push(dead(FIRST, 4, Reason::AttemptsExhausted));
            history.arrivals[SECOND].remove(4);
        },
        &[(Fault::Lost, 1)],
    );
}

#[test]
fn a_dead_letter_without_a_cause_is_found() {
    for reason in [Reason::Refused, Reason::AttemptsExhausted, Reason::Other] {
        check(
            |history| history.dead.push(dead(FIRST, 3, reason)),
            &[(Fault::DeadWithoutCause, 1)],
        );
    }
}

#[test]
fn two_events_of_a_task_that_changed_places_are_out_of_order() {
    check(
        |history| history.arrivals[FIRST].swap(2, 4),
        &[(Fault::OutOfOrder, 1)],
    );
}

#[test]
fn events_of_different_tasks_may_change_places() {
    check(|history| history.arrivals[FIRST].swap(2, 3), &[]);
}

#[test]
fn a_failed_first_attempt_counts_for_the_order() {
    check(
        |history| {
            let mut early = arrival(4, 0);
            early.answer = Answer::No;
            history.arrivals[FIRST].insert(2, early);
        },
        &[(Fault::OutOfOrder, 1)],
    );
}

#[test]
fn what_was_accepted_later_may_not_come_first_whatever_was_sent_first() {
    check(
        |history| {
            history.acks.swap(2, 4);
            history.arrivals[FIRST].swap(2, 4);
        },
        &[(Fault::OutOfOrder, 1)],
    );
}

#[test]
fn a_body_that_was_never_sent_is_altered() {
    check(
        |history| history.arrivals[SECOND][7].body = Body::of(b"event 7 "),
        &[(Fault::Altered, 1)],
    );
}

#[test]
fn a_repeated_delivery_with_another_body_is_altered() {
    check(
        |history| {
            let mut again = arrival(1, 1);
            again.body = Body::of(b"");
            history.arrivals[FIRST].push(again);
        },
        // It is no body of ours, and not the one that had come before.
        &[(Fault::Altered, 2)],
    );
}

#[test]
fn a_body_under_the_name_of_another_event_is_found() {
    check(
        |history| history.arrivals[FIRST][9].id = Some(id(7)),
        &[
            (Fault::Lost, 1),
            (Fault::Altered, 1),
            (Fault::UnstableId, 1),
            (Fault::RepeatedWithoutCause, 1),
        ],
    );
}

#[test]
fn an_event_under_another_name_than_the_acknowledged_is_found() {
    check(
        |history| history.arrivals[SECOND][9].id = Some(77),
        &[(Fault::Lost, 1), (Fault::UnstableId, 1)],
    );
}

#[test]
fn a_retry_under_a_new_name_is_found() {
    check(
        |history| {
            let mut again = arrival(6, 1);
            again.id = Some(77);
            history.arrivals[FIRST].push(again);
        },
        &[(Fault::UnstableId, 1)],
    );
}

#[test]
fn a_request_without_a_name_is_found() {
    check(
        |history| {
            let mut nameless = arrival(6, 1);
            nameless.id = None;
            history.arrivals[FIRST].push(nameless);
        },
        &[(Fault::UnstableId, 1)],
    );
}

#[test]
fn an_event_that_was_sent_again_may_arrive_under_both_names() {
    let judgement = check(
        |history| {
            history.sent[6].times = 2;
            for arrivals in &mut history.arrivals {
                let mut before = arrival(6, 0);
                before.id = Some(77);
                arrivals.insert(5, before);
            }
        },
        &[],
    );
    assert_eq!(judgement.unacknowledged, 1);
}

#[test]
fn an_event_that_was_sent_twice_has_no_third_name() {
    check(
        |history| {
            history.sent[6].times = 2;
            for (target, name) in [(FIRST, 77), (SECOND, 78)] {
                let mut before = arrival(6, 0);
                before.id = Some(name);
                history.arrivals[target].insert(5, before);
            }
        },
        &[(Fault::UnstableId, 1)],
    );
}

#[test]
fn a_kill_may_repeat_what_was_in_flight_and_no_more() {
    let repeat = |count: usize| {
        move |history: &mut History| {
            let again = (0..count).map(|event| arrival(event, 1));
            history.arrivals[FIRST].splice(5..5, again);
        }
    };
    let judgement = check(repeat(2), &[]);
    assert_eq!(judgement.targets[0].most_repeated, 2);
    check(repeat(3), &[(Fault::TooManyRepeated, 1)]);
}

#[test]
fn repeats_are_counted_for_each_kill_and_target() {
    check(
        |history| {
            history.arrivals[FIRST].splice(5..5, (0..2).map(|event| arrival(event, 1)));
            history.arrivals[FIRST].extend((8..10).map(|event| arrival(event, 2)));
            history.arrivals[SECOND].splice(5..5, (0..2).map(|event| arrival(event, 1)));
        },
        &[],
    );
}

#[test]
fn retries_after_failures_are_no_repeats() {
    check(
        |history| {
            for answer in [Answer::No, Answer::Perhaps, Answer::No] {
                let mut failed = arrival(4, 0);
                failed.answer = answer;
                history.arrivals[FIRST].insert(4, failed);
            }
        },
        &[],
    );
}

#[test]
fn a_success_that_is_tried_again_without_a_kill_is_found() {
    check(
        |history| history.arrivals[FIRST].push(arrival(9, 1)),
        &[(Fault::RepeatedWithoutCause, 1)],
    );
}

#[test]
fn a_success_that_is_tried_again_after_an_orderly_end_is_found() {
    check(
        |history| {
            history.clean.insert(1);
            history.arrivals[FIRST].push(arrival(9, 2));
        },
        &[(Fault::RepeatedWithoutCause, 1)],
    );
}

/// Two dead letters of one task, which arrive again in run 2 in this order.
fn replay(history: &mut History, order: &[usize]) {
    for event in [3, 5] {
        history.arrivals[FIRST][event].answer = Answer::Never;
        history.dead.push(dead(FIRST, event, Reason::Refused));
    }
    history.replay = Some(2);
    history.clean.insert(1);
    let again = order.iter().map(|event| arrival(*event, 2));
    history.arrivals[FIRST].extend(again);
}

#[test]
fn dead_letters_that_are_replayed_arrive_in_order() {
    check(|history| replay(history, &[3, 5]), &[]);
    check(
        |history| replay(history, &[5, 3]),
        &[(Fault::OutOfOrder, 1)],
    );
}

#[test]
fn a_dead_letter_that_is_not_replayed_is_found() {
    check(|history| replay(history, &[5]), &[(Fault::NotReplayed, 1)]);
}

#[test]
fn an_event_at_a_target_that_filters_it_is_found() {
    check(
        |history| history.sent[3].wanted = 0b01,
        &[(Fault::Unwanted, 1)],
    );
}

#[test]
fn an_event_that_nobody_wants_need_not_arrive() {
    check(
        |history| {
            history.sent[3].wanted = 0;
            for arrivals in &mut history.arrivals {
                arrivals.remove(3);
            }
        },
        &[],
    );
}

#[test]
fn a_second_acknowledgement_is_found() {
    check(
        |history| {
            let id = 77;
            history.acks.push(Ack { event: 3, id });
        },
        // No target has it under the second name.
        &[(Fault::Lost, 2), (Fault::AcknowledgedTwice, 1)],
    );
}
