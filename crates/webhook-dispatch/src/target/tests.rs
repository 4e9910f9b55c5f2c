//! The rules of a target's state: the state and its queue, in a time that the tests set.

mod batches;

use super::retry::Longest;
use super::*;
use crate::delivery::AttemptResult;
use crate::http::transport::{Answer, TransportError, TransportErrorKind};
use crate::shared::Outcome;
use crate::target::backlog::LiveEvent;
use crate::target::lanes::Content;
use crate::target::unsynced::Synced;
use crate::worker::reader;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;
use webhook_config::{BatchPolicy, Format, SecretMask, TargetBuilder, TargetUrl};
use webhook_queue::{Event, EventId, MemoryQueue, Queue};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
/// The first back-off of these targets, and any later one.
const BACK_OFF: Duration = Duration::from_secs(600);
/// The time without a delivery after which an event is attempted early.
const IDLE: Duration = Duration::from_secs(30);
const MAX_AGE: Duration = Duration::from_secs(3_600);

/// An attempt that was handed out.
type Handed = (Batch, Permit);

struct Setup {
    state: TargetState,
    queue: MemoryQueue,
    at: Moment,
    /// The number of the last event.
    accepted: u64,
}

fn count(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn target(set: impl FnOnce(TargetBuilder) -> TargetBuilder) -> Target {
    let url = TargetUrl::parse("http://localhost:1/").unwrap();
    let builder = Target::builder(url).retry(policy(None));
    set(builder).build().unwrap()
}

fn policy(max_attempts: Option<u32>) -> RetryPolicy {
    let most = max_attempts.and_then(NonZeroU32::new);
    RetryPolicy::new(BACK_OFF, BACK_OFF, 1.0, MAX_AGE, most).unwrap()
}

/// Batches of up to so many events, for a target with a window of 64.
fn batches(most: usize) -> impl FnOnce(TargetBuilder) -> TargetBuilder {
    let batch = BatchPolicy::new(count(most), count(1 << 20), 5 * MS);
    move |target| {
        target
            .format(Format::Ndjson)
            .batch(Some(batch))
            .window(count(64))
    }
}

/// An answer of this status.
fn status(status: u16) -> AttemptResult {
    answer(status, None)
}

fn answer(status: u16, retry_after: Option<&str>) -> AttemptResult {
    let answer = Answer {
        status,
        retry_after: retry_after.map(|value| value.as_bytes().to_vec()),
        body: Vec::new(),
        complete: true,
    };
    AttemptResult::of(Format::Aurora, &SecretMask::default(), 1, &Ok(answer))
}

/// No answer, for this reason.
fn error(kind: TransportErrorKind) -> AttemptResult {
    let error = TransportError::new(kind, "");
    AttemptResult::of(Format::Aurora, &SecretMask::default(), 1, &Err(error))
}

fn timeout() -> AttemptResult {
    error(TransportErrorKind::Timeout)
}

/// A 2xx answer that says which events were taken.
fn taken(taken: &[bool]) -> AttemptResult {
    AttemptResult {
        outcome: Outcome::RecordError,
        verdict: Verdict::Failed,
        taken: taken.to_vec(),
        ..status(200)
    }
}

/// The numbers of the events of these attempts.
fn numbers(handed: &[Handed]) -> Vec<Vec<u64>> {
    let of = |(batch, _): &Handed| batch.iter().map(|due| number(due.delivery.id)).collect();
    handed.iter().map(of).collect()
}

fn number(id: EventId) -> u64 {
    u64::try_from(u128::from_be_bytes(id.0)).unwrap()
}

impl Setup {
    fn new(set: impl FnOnce(TargetBuilder) -> TargetBuilder) -> Setup {
        Setup::of(set, true)
    }

    fn of(set: impl FnOnce(TargetBuilder) -> TargetBuilder, reliable: bool) -> Setup {
        let at = Moment {
            now: Instant::now(),
            wall: UNIX_EPOCH + Duration::from_secs(1_000_000),
        };
        let mut setup = Setup {
            state: TargetState::new(&target(set), reliable, at.now),
            queue: MemoryQueue::new(1 << 30),
            at,
            accepted: 0,
        };
        setup.read();
        setup
    }

    fn pass(&mut self, time: Duration) {
        self.at.now += time;
        self.at.wall += time;
    }

    /// Accepts the next event, of this task.
    fn accept(&mut self, task: u64) {
        self.accept_bytes(task, 2);
    }

    fn accept_bytes(&mut self, task: u64, bytes: usize) {
        self.accepted += 1;
        let event = Event {
            id: EventId(u128::from(self.accepted).to_be_bytes()),
            key: Arc::from(task.to_be_bytes()),
            body: Arc::from(vec![b' '; bytes]),
            accepted_at: self.at.epoch_ms(),
            targets: Arc::from([Arc::clone(&self.state.name)]),
            attributes: Arc::default(),
            idempotency_key: None,
            last_state: None,
        };
        let commit = self.queue.commit(std::slice::from_ref(&event), &[]);
        let live = LiveEvent {
            entry: commit.unwrap().accepted[0].entry().unwrap(),
            id: event.id,
            key: event.key,
            content: Content::of(&event.body, &event.attributes),
            accepted_at: event.accepted_at,
            submitted: self.at.now,
        };
        assert!(self.state.backlog.take(live, self.at.now));
    }

    /// Accepts an event of each of so many new tasks.
    fn accept_tasks(&mut self, tasks: u64) {
        for _ in 0..tasks {
            self.accept(1_000 + self.accepted);
        }
    }

    fn read(&mut self) {
        let (name, behind) = (Arc::clone(&self.state.name), AtomicBool::new(false));
        let backlog = &mut self.state.backlog;
        reader::read(backlog, &name, &self.queue, &behind, self.at).unwrap();
    }

    /// What is handed out now.
    fn attempts(&mut self) -> Vec<Handed> {
        self.attempts_with(|_| Some(SlotGuard::SOLE))
    }

    fn attempts_with(&mut self, guard: impl Fn(Claim) -> Option<SlotGuard>) -> Vec<Handed> {
        self.state.wake(self.at.now);
        self.read();
        let mut handed = Vec::new();
        while let Step::Attempt(batch, permit) = self.state.next(self.at.now, &guard) {
            handed.push((batch, permit));
        }
        handed
    }

    /// The only attempt that is handed out now.
    fn attempt(&mut self) -> Handed {
        let mut handed = self.attempts();
        assert_eq!(handed.len(), 1, "{:?}", numbers(&handed));
        handed.remove(0)
    }

    /// Ends an attempt, which took no time. What follows is stored and synced.
    fn end(&mut self, handed: Handed, result: AttemptResult) -> Decision {
        let mut decision = self.end_unsynced(handed, result);
        let events = std::iter::once(&mut decision.first).chain(&mut decision.rest);
        let settlements = events.filter_map(|event| event.settlement.as_ref());
        let settlements: Vec<_> = settlements.cloned().collect();
        self.sync(&settlements);
        decision
    }

    fn end_all(&mut self, handed: Vec<Handed>, result: &dyn Fn() -> AttemptResult) {
        for handed in handed {
            self.end(handed, result());
        }
    }

    fn end_unsynced(&mut self, (batch, permit): Handed, result: AttemptResult) -> Decision {
        let attempt = Attempt {
            batch,
            batch_id: None,
            permit,
            result,
            started_at: self.at.epoch_ms(),
            took: Duration::ZERO,
        };
        self.state.on_attempt(&attempt, self.at, &Longest)
    }

    fn sync(&mut self, settlements: &[Settlement]) {
        self.queue.commit(&[], settlements).unwrap();
        let synced = settlements.iter().map(|it| match it.outcome {
            Settled::Attempted { .. } => Synced::Noted,
            _ => Synced::Settled(it.entry),
        });
        let synced: Vec<_> = synced.collect();
        self.state.backlog.synced(&synced);
    }

    /// Lets so many tasks fail without an answer that the breaker opens.
    fn open_breaker(&mut self) {
        self.accept_tasks(10);
        let handed = self.attempts();
        self.end_all(handed, &timeout);
        assert!(self.state.gate.is_down());
    }

    /// Expires an event, if one is to be; the number of it.
    fn expire(&mut self) -> Option<u64> {
        let expired = self.state.expire(self.at, |_| Some(SlotGuard::SOLE));
        expired.map(|(delivery, settlement)| {
            self.sync(&[settlement]);
            number(delivery.id)
        })
    }
}

/// The times that are stored with the events of an attempt.
fn stored(decision: &Decision) -> Vec<u64> {
    let settlements = decision
        .events()
        .filter_map(|event| event.settlement.as_ref());
    let times = settlements.map(|settlement| match settlement.outcome {
        Settled::Attempted { not_before, .. } => not_before,
        _ => panic!("{settlement:?}"),
    });
    times.collect()
}

/// What follows for the first event.
fn follows(decision: &Decision) -> Option<NextStep> {
    decision.first.follows
}

const RETRY: Option<NextStep> = Some(NextStep::Retry(BACK_OFF));

#[test]
fn an_attempt_that_was_not_made_leaves_its_room_in_the_window() {
    let mut setup = Setup::new(|target| target.window(count(1)));
    setup.accept(1);
    for _ in 0..3 {
        let (batch, permit) = setup.attempt();
        setup.state.untried(&batch, permit, setup.at.now);
    }
    assert_eq!(numbers(&setup.attempts()), [[1]]);
}

#[test]
fn while_the_receiver_is_down_an_event_is_given_up_once_it_is_older_than_its_most_age() {
    let mut setup = Setup::new(|target| target);
    setup.open_breaker();
    setup.accept(1);
    setup.pass(SECOND);
    setup.accept(2);
    assert!(setup.attempts().is_empty());
    setup.pass(MAX_AGE - SECOND);
    assert_eq!(setup.expire(), None, "it is exactly as old as it may be");
    setup.pass(SECOND);
    let (delivery, settlement) = (setup.state)
        .expire(setup.at, |_| Some(SlotGuard::SOLE))
        .unwrap();
    assert_eq!(number(delivery.id), 11);
    let Settled::Dead {
        attempts,
        died_at,
        note,
    } = &settlement.outcome
    else {
        panic!("{settlement:?}");
    };
    assert_eq!((*attempts, *died_at), (0, setup.at.epoch_ms()));
    let record = FailureRecord::from_note(note).unwrap();
    assert_eq!((record.reason, record.outcome), (Reason::TooOld, None));
    assert_eq!(setup.expire(), None, "the other is not too old");
}

#[test]
fn an_old_event_still_gets_its_attempt_while_the_breaker_is_closed() {
    let mut setup = Setup::new(|target| target);
    setup.accept(1);
    setup.pass(10 * MAX_AGE);
    assert_eq!(setup.expire(), None);
    assert_eq!(setup.state.next_expiry(), None);
    let handed = setup.attempt();
    let decision = setup.end(handed, status(500));
    assert_eq!(
        follows(&decision),
        Some(NextStep::DeadLetter(Reason::TooOld))
    );
    assert!(decision.first.settled);
}

#[test]
fn events_are_looked_through_for_expired_ones_once_a_second() {
    let mut setup = Setup::new(|target| target);
    setup.open_breaker();
    assert_eq!(setup.state.next_expiry(), None, "no event is ready");
    setup.accept(1);
    setup.pass(MAX_AGE);
    assert!(setup.state.next_expiry().unwrap() <= setup.at.now);
    assert_eq!(setup.expire(), None);
    let next = setup.at.now + SECOND;
    assert_eq!(setup.state.next_expiry(), Some(next));
    setup.pass(SECOND - MS);
    assert_eq!(setup.expire(), None);
    assert_eq!(setup.state.next_expiry(), Some(next));
    setup.pass(MS);
    assert_eq!(setup.expire(), Some(11));
    assert_eq!(setup.state.next_expiry(), None);
}

#[test]
fn an_expired_event_whose_claim_has_ended_is_left_to_its_new_owner() {
    let mut setup = Setup::new(|target| target);
    setup.open_breaker();
    setup.accept(1);
    setup.pass(2 * MAX_AGE);
    assert!(setup.state.expire(setup.at, |_| None).is_none());
    assert!(setup.state.take_claim_ended());
    assert!(!setup.state.take_claim_ended());
}

#[test]
fn a_resume_attempts_waiting_events_at_once_and_a_pause_none() {
    let mut setup = Setup::new(|target| target);
    setup.accept(1);
    let handed = setup.attempt();
    assert_eq!(follows(&setup.end(handed, status(500))), RETRY);
    setup.state.pause(true, setup.at.now);
    assert_eq!(setup.state.next_wake(), Some(setup.at.now + BACK_OFF));
    assert!(setup.attempts().is_empty());
    setup.state.pause(false, setup.at.now);
    assert_eq!(numbers(&setup.attempts()), [[1]]);
}

#[test]
fn an_event_is_attempted_early_after_a_while_in_which_nothing_was_and_nothing_else_is_ready() {
    let mut setup = Setup::new(|target| target);
    assert_eq!(setup.state.next_wake(), None);
    setup.accept_tasks(2);
    let handed = setup.attempts();
    setup.end_all(handed, &|| status(500));
    let early = setup.at.now + IDLE;
    assert_eq!(setup.state.next_wake(), Some(early));
    setup.pass(IDLE - MS);
    assert!(setup.attempts().is_empty());
    setup.accept(1);
    let other = setup.attempt();
    setup.pass(MS);
    assert!(setup.attempts().is_empty(), "another attempt is under way");
    assert!(setup.state.next_wake().unwrap() > early + IDLE);
    setup.end(other, status(500));
    setup.pass(IDLE);
    let handed = setup.attempts();
    assert_eq!(numbers(&handed), [[1]], "one event alone");
}

#[test]
fn without_a_waiting_event_nothing_wakes() {
    let mut setup = Setup::new(|target| target);
    setup.accept(1);
    let handed = setup.attempt();
    setup.end(handed, status(500));
    let handed = {
        setup.pass(BACK_OFF);
        setup.attempt()
    };
    assert_eq!(setup.state.next_wake(), None);
    assert_eq!((setup.state.held(), setup.state.outstanding()), (1, 1));
    setup.end(handed, status(200));
    assert_eq!(setup.state.next_wake(), None);
    assert_eq!((setup.state.held(), setup.state.outstanding()), (0, 0));
    setup.accept(1);
    let handed = setup.attempt();
    setup.end(handed, status(422));
    assert_eq!((setup.state.next_wake(), setup.state.waiting()), (None, 0));
}

#[test]
fn no_event_is_attempted_early_while_another_is_ready() {
    let mut setup = Setup::new(|target| target);
    let due = setup.at.now + BACK_OFF;
    setup.open_breaker();
    assert_eq!(setup.state.next_wake(), Some(setup.at.now + IDLE));
    setup.accept(1);
    assert_eq!(setup.state.next_wake(), Some(due));
}

#[test]
fn a_restart_ends_a_hold_also_over_a_restart_and_attempts_all_events_at_once() {
    let mut setup = Setup::new(|target| target);
    setup.accept(1);
    let handed = setup.attempt();
    setup.end(handed, answer(503, Some("700")));
    assert!(setup.state.take_hold().is_some());
    setup.state.restart(setup.at.now);
    let ended = setup.state.take_hold().unwrap();
    assert!(matches!(ended.outcome, Settled::Held { until: 0, .. }));
    assert_eq!(numbers(&setup.attempts()), [[1]]);
    setup.state.restart(setup.at.now);
    assert!(setup.state.take_hold().is_none(), "there was none");
}

#[test]
fn a_target_that_stopped_attempts_its_events_at_once_when_it_is_opened_again() {
    let mut setup = Setup::new(|target| target);
    setup.accept(1);
    let handed = setup.attempt();
    setup.end(handed, status(500));
    setup.accept(2);
    let handed = setup.attempt();
    setup.end(handed, status(410));
    assert!(setup.attempts().is_empty());
    setup.state.reopen(setup.at.now);
    let mut handed = setup.attempts();
    handed.sort_by_key(|(batch, _)| batch.first.delivery.entry);
    assert_eq!(numbers(&handed), [[1], [2]]);
    assert_eq!(handed[1].0.first.delivery.attempts, 1, "it was attempted");
}

#[test]
fn an_early_attempt_that_fails_uses_up_neither_the_back_off_nor_an_attempt() {
    let mut setup = Setup::new(|target| target.retry(policy(Some(2))));
    setup.accept(1);
    let handed = setup.attempt();
    let due = setup.at.now + BACK_OFF;
    setup.end(handed, status(500));
    setup.pass(IDLE);
    let early = setup.attempt();
    let decision = setup.end(early, status(500));
    assert_eq!(follows(&decision), Some(NextStep::Retry(BACK_OFF - IDLE)));
    setup.pass(IDLE);
    let early = setup.attempt();
    let asks = answer(500, Some("700"));
    let decision = setup.end(early, asks);
    assert_eq!(
        follows(&decision),
        Some(NextStep::Retry(700 * SECOND)),
        "the receiver asked for more than is left"
    );
    setup.pass(due - setup.at.now + 200 * SECOND);
    let handed = setup.attempt();
    let decision = setup.end(handed, status(500));
    let dead = NextStep::DeadLetter(Reason::AttemptsExhausted);
    assert_eq!(follows(&decision), Some(dead), "the second one in time");
}

#[test]
fn a_delivered_retry_lets_four_more_be_attempted_and_another_delivery_none() {
    let mut setup = Setup::new(|target| target);
    setup.accept(1);
    let handed = setup.attempt();
    setup.end(handed, status(500));
    setup.pass(SECOND);
    setup.accept_tasks(8);
    let handed = setup.attempts();
    setup.end_all(handed, &|| status(500));
    setup.accept(2);
    let handed = setup.attempt();
    setup.end(handed, status(200));
    assert!(setup.attempts().is_empty());
    setup.pass(BACK_OFF - SECOND);
    let retry = setup.attempt();
    assert_eq!(numbers(std::slice::from_ref(&retry)), [[1]]);
    setup.end(retry, status(200));
    assert_eq!(numbers(&setup.attempts()), [[2], [3], [4], [5]]);
}

#[test]
fn a_delivery_after_many_failures_wakes_all_that_wait() {
    let mut setup = Setup::new(|target| target);
    setup.accept_tasks(10);
    let handed = setup.attempts();
    setup.end_all(handed, &|| status(404));
    setup.accept(2);
    let handed = setup.attempt();
    setup.end(handed, status(200));
    setup.pass(SECOND);
    assert_eq!(setup.attempts().len(), 10);
}

#[test]
fn a_receiver_that_refuses_all_loses_no_event_by_the_most_attempts() {
    let mut setup = Setup::new(|target| target.retry(policy(Some(1))));
    setup.accept_tasks(20);
    let mut given_up = 0;
    let mut kept = Vec::new();
    for task in 0..100 {
        let Some(handed) = setup.attempts().into_iter().next() else {
            if kept.len() >= 2 {
                break;
            }
            setup.pass(2 * SECOND);
            setup.accept(task);
            continue;
        };
        let decision = setup.end(handed, status(422));
        match follows(&decision) {
            Some(NextStep::DeadLetter(Reason::Refused)) => given_up += 1,
            other => kept.push(other),
        }
    }
    assert_eq!(given_up, 19, "the twentieth in a row is kept");
    assert_eq!(kept, [Some(NextStep::Retry(Duration::ZERO)); 2]);
}

#[test]
fn a_refusal_counts_if_nothing_was_delivered_since_the_event_failed_first() {
    for (delivered, counts) in [
        ([false, false], true),
        ([true, false], true),
        ([false, true], false),
    ] {
        let breaker = BreakerPolicy::new(IDLE, NonZeroU32::MIN);
        let mut setup = Setup::new(|target| target.breaker(breaker));
        let deliver = |setup: &mut Setup| {
            setup.accept(1);
            let handed = setup.attempt();
            setup.end(handed, status(200));
        };
        if delivered[0] {
            deliver(&mut setup);
        }
        setup.accept(2);
        let handed = setup.attempt();
        setup.end(handed, status(500));
        if delivered[1] {
            deliver(&mut setup);
        }
        setup.pass(BACK_OFF);
        let handed = setup.attempt();
        let decision = setup.end(handed, status(422));
        let expected = match counts {
            true => RETRY,
            false => Some(NextStep::DeadLetter(Reason::Refused)),
        };
        assert_eq!(follows(&decision), expected, "{delivered:?}");
    }
}

#[test]
fn a_retry_is_noted_with_its_time_and_a_dead_letter_with_its_first_and_last_attempt() {
    let mut setup = Setup::new(|target| target.retry(policy(Some(2))));
    setup.accept(1);
    let first = setup.at.epoch_ms();
    let handed = setup.attempt();
    let decision = setup.end(handed, status(500));
    assert_eq!(stored(&decision), [first + 600_000]);
    setup.pass(BACK_OFF);
    let handed = setup.attempt();
    let decision = setup.end(handed, status(500));
    let Settled::Dead { note, attempts, .. } = decision.first.settlement.unwrap().outcome else {
        panic!("it is no dead letter");
    };
    let record = FailureRecord::from_note(&note).unwrap();
    assert_eq!(attempts, 2);
    assert_eq!(record.first_attempt_at, Some(first));
    assert_eq!(record.last_attempt_at, Some(first + 600_000));
    assert_eq!(record.reason, Reason::AttemptsExhausted);
}

#[test]
fn a_target_is_held_for_as_long_as_its_receiver_asks_and_the_hold_is_stored() {
    let mut setup = Setup::new(|target| target);
    setup.accept_tasks(2);
    let mut handed = setup.attempts();
    let decision = setup.end(handed.remove(0), answer(503, Some("700")));
    assert!(
        decision.recall,
        "jobs that wait for a sender are taken back"
    );
    assert_eq!(follows(&decision), Some(NextStep::Retry(700 * SECOND)));
    let held = setup.state.take_hold().unwrap();
    let Settled::Held { until, .. } = held.outcome else {
        panic!("{held:?}");
    };
    assert_eq!(until, setup.at.epoch_ms() + 700_000);
    assert!(setup.state.take_hold().is_none());
    // Shorter than the other.
    let decision = setup.end(handed.remove(0), answer(503, Some("1")));
    assert!(setup.state.take_hold().is_none());
    assert_eq!(follows(&decision), RETRY);
    setup.accept(1);
    setup.pass(700 * SECOND - MS);
    assert!(setup.attempts().is_empty());
    setup.pass(MS);
    assert!(!setup.attempts().is_empty());
}

#[test]
fn a_retry_after_with_a_410_or_under_old_settings_is_ignored() {
    let mut setup = Setup::new(|target| target);
    setup.accept_tasks(2);
    let mut handed = setup.attempts();
    setup
        .state
        .reconfigure(&target(|target| target), setup.at.now);
    let decision = setup.end(handed.remove(0), answer(503, Some("700")));
    assert!(!decision.recall);
    assert_eq!(follows(&decision), RETRY);
    let decision = setup.end(handed.remove(0), status(410));
    assert_eq!(follows(&decision), RETRY, "another receiver is gone");
    assert!(!setup.state.gate.is_held());
    setup.accept(3);
    let handed = setup.attempt();
    let decision = setup.end(handed, answer(410, Some("700")));
    assert_eq!(follows(&decision), Some(NextStep::Stop));
    assert_eq!(decision.change, Some(StateChange::Stopped));
    assert!(setup.state.take_hold().is_none());
    assert_eq!(setup.state.gate.hold_end(), None);
}

#[test]
fn an_opening_breaker_takes_back_the_jobs_that_wait() {
    let mut setup = Setup::new(|target| target);
    setup.accept_tasks(10);
    let decisions = setup
        .attempts()
        .into_iter()
        .map(|handed| setup.end(handed, timeout()));
    let recalls: Vec<_> = decisions.map(|decision| decision.recall).collect();
    assert_eq!(recalls.iter().filter(|recall| **recall).count(), 1);
    assert_eq!(recalls.last(), Some(&true));
}

#[test]
fn attempts_wait_for_a_sender_only_while_events_are_delivered() {
    let limits = |set: &dyn Fn(TargetBuilder) -> TargetBuilder| {
        let mut setup = Setup::new(set);
        setup.accept_tasks(300);
        let mut handed = setup.attempts();
        let before = handed.len();
        setup.end(handed.remove(0), status(200));
        handed.extend(setup.attempts());
        (before, handed.len())
    };
    let of = |concurrency| move |target: TargetBuilder| target.concurrency(count(concurrency));
    assert_eq!(limits(&of(3)), (6, 3 + 64));
    assert_eq!(limits(&of(100)), (200, 200));
    // Those that count into the rate never wait.
    let rate = NonZeroU32::new(100_000);
    let limited = |target| of(3)(target).max_per_second(rate);
    assert_eq!(limits(&limited), (3, 3));
    let ones = |target| batches(1)(of(3)(target)).window(count(4_096));
    assert_eq!(limits(&ones), (6, 6));
}

#[test]
fn the_window_bounds_what_is_under_way_and_not_synced() {
    let mut setup = Setup::new(|target| target.window(count(4)));
    setup.accept_tasks(4);
    let mut handed = setup.attempts();
    assert_eq!(handed.len(), 4);
    assert!(!setup.state.is_settled());
    let mut settlements = Vec::new();
    for handed in handed.drain(..) {
        settlements.extend(setup.end_unsynced(handed, status(200)).first.settlement);
    }
    assert!(!setup.state.is_settled(), "nothing is synced");
    setup.accept_tasks(1);
    assert!(setup.attempts().is_empty());
    assert!(setup.state.backlog.wants_sync());
    setup.sync(&settlements[..1]);
    assert!(!setup.state.backlog.wants_sync());
    assert!(
        setup.state.backlog.wants_flush(),
        "half of it is not synced"
    );
    let handed = setup.attempt();
    setup.sync(&settlements[1..]);
    assert!(!setup.state.backlog.wants_flush());
    setup.end(handed, status(200));
    assert!(setup.state.is_settled());
    setup
        .state
        .reconfigure(&target(|target| target.window(count(2))), setup.at.now);
    setup.accept_tasks(2);
    assert_eq!(setup.attempts().len(), 2);
    let offered = setup.state.backlog.has_room();
    assert!(!offered);
}

#[test]
fn tasks_that_wait_are_reported_with_their_next_attempt() {
    let mut setup = Setup::new(|target| target);
    setup.accept(1);
    let handed = setup.attempt();
    setup.end(handed, status(500));
    let now = setup.at.now;
    let in_ms = |at: Instant| u64::try_from((at - now).as_millis()).unwrap();
    let backlog = &setup.state.backlog;
    let report = backlog.report(&1_u64.to_be_bytes(), in_ms).unwrap();
    assert_eq!(report.next_try_at, Some(600_000));
    assert_eq!(backlog.stuck(10, in_ms), [report]);
    assert_eq!(backlog.report(&2_u64.to_be_bytes(), in_ms), None);
    assert_eq!(setup.state.waiting(), 1);
}
