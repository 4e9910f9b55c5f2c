use super::*;
use proptest::prelude::*;

fn attempt(key: &str, outcome: Outcome, response: &str) -> AttemptRecord<'static> {
    AttemptRecord {
        number: 0,
        started_at: 1_000,
        id: EventId([7; 16]),
        key: Cow::Owned(key.as_bytes()[..key.len().min(KEY_KEPT)].to_vec()),
        key_bytes: key.len(),
        summary: Cow::Borrowed(b"\0LOST\0www/prod/hello"),
        attempt: 3,
        batch: key
            .len()
            .is_multiple_of(2)
            .then_some((BatchId([9; 16]), 100)),
        outcome,
        status: (outcome != Outcome::Timeout).then_some(503),
        error: Cow::Borrowed("the receiver answered 503"),
        took: Duration::from_micros(1_500),
        bytes: 3_500,
        response: Cow::Owned(response.to_owned()),
    }
}

fn texts(attempt: &AttemptRecord<'_>) -> usize {
    let batch = attempt.batch.map_or(0, |_| 20);
    batch + attempt.key.len() + attempt.summary.len() + attempt.error.len() + attempt.response.len()
}

fn all(log: &AttemptLog) -> Vec<AttemptRecord<'static>> {
    log.page(&AttemptFilter::default(), usize::MAX).attempts
}

proptest! {
    #[test]
    fn the_log_holds_the_newest_attempts_that_fit(
        keys in prop::collection::vec((0_usize..60, 0_usize..60, 0_usize..3), 0..60),
        most in 1_usize..12,
        most_bytes in 100_usize..600,
    ) {
        let log = AttemptLog::bounded(most, most_bytes);
        let mut model: Vec<AttemptRecord<'_>> = Vec::new();
        for (number, (key, response, outcome)) in (1..).zip(keys) {
            let outcome = [Outcome::Success, Outcome::Timeout, Outcome::ServerError][outcome];
            let mut added = attempt(&"k".repeat(key), outcome, &"ä".repeat(response));
            prop_assert_eq!(log.add(&added), number);
            added.number = number;
            model.push(added);
            while model.len() > most || model.iter().map(texts).sum::<usize>() > most_bytes {
                model.remove(0);
            }
            let mut expected = model.clone();
            expected.reverse();
            prop_assert_eq!(all(&log), expected);
            prop_assert!(log.lock().texts.capacity() <= most_bytes);
        }
        // Pages of a filter, one after the other, are all that match.
        let mut filter = AttemptFilter { outcomes: vec![Outcome::Timeout], ..Default::default() };
        let mut paged = Vec::new();
        loop {
            let page = log.page(&filter, 2);
            prop_assert!(page.attempts.len() == 2 || !page.more);
            filter.before = page.attempts.last().map(|last| last.number);
            paged.extend(page.attempts);
            if !page.more {
                break;
            }
        }
        model.retain(|it| it.outcome == Outcome::Timeout);
        model.reverse();
        prop_assert_eq!(paged, model);
    }
}

#[test]
fn attempts_are_found_by_the_whole_key_though_a_part_of_it_is_kept() {
    let log = AttemptLog::new();
    let long = "k".repeat(100_000);
    for key in ["k", &long, &long[1..], ""] {
        log.add(&attempt(key, Outcome::Success, ""));
    }
    for (key, number) in [("k", 1), (&long, 2), (&long[1..], 3), ("", 4)] {
        let filter = AttemptFilter {
            key: Some(key.into()),
            ..AttemptFilter::default()
        };
        let found = log.page(&filter, 10).attempts;
        let numbers: Vec<u64> = found.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, [number]);
        assert_eq!(found[0].key_text().ends_with('…'), key.len() > KEY_KEPT);
    }
}

#[test]
fn a_log_takes_no_memory_before_the_first_attempt_and_is_bounded_after_the_last() {
    let log = AttemptLog::new();
    let capacity = |ring: &Ring| ring.texts.capacity() + ring.figures.capacity();
    assert_eq!(capacity(&log.lock()), 0);
    let response = "x".repeat(1_024);
    for _ in 0..3 * ATTEMPTS_KEPT {
        log.add(&attempt("task-1", Outcome::ServerError, &response));
    }
    let ring = log.lock();
    assert!(ring.texts.capacity() <= TEXT_BYTES && ring.figures.capacity() <= 1_024);
    assert!(ring.figures.len() > 900 && ring.figures.len() <= ATTEMPTS_KEPT);
    assert_eq!(size_of::<Figures>(), 56);
}
