use super::*;

const MS: Duration = Duration::from_millis(1);

fn now() -> Moment {
    Moment::of(&crate::shared::clock::SystemClock)
}

#[test]
fn latencies_are_exact_to_about_one_per_cent() {
    let mut latencies = Latencies::new();
    assert_eq!(latencies.quantile(0.5), None);
    for ms in 1..=1000 {
        latencies.record(MS * ms);
    }
    for (q, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
        let ms = latencies.quantile(q).unwrap().as_secs_f64() * 1e3;
        assert!((ms - expected).abs() <= expected / 50.0, "{q}: {ms}");
    }
    assert_eq!(latencies.count(), 1000);
    assert_eq!(latencies.sum(), MS * 500_500);
    let below = latencies.count_at_most(MS * 100);
    assert!((99..=102).contains(&below), "{below}");
}

#[test]
fn every_latency_is_counted_however_short_or_long() {
    let mut latencies = Latencies::new();
    latencies.record(Duration::ZERO);
    latencies.record(Duration::from_secs(1 << 40));
    assert_eq!(latencies.count(), 2);
    assert_eq!(latencies.count_at_most(Duration::MAX), 2);
    let mut sum = Latencies::default();
    sum.merge(&latencies);
    sum.merge(&latencies);
    assert_eq!(sum.count(), 4);
}

#[test]
fn attempts_are_counted_as_aurora_counts_them() {
    let counters = Counters::new();
    for outcome in Outcome::ALL {
        counters.requested(*outcome, MS);
        counters.attempted(*outcome);
    }
    let stats = Stats {
        targets: vec![counters.snapshot("a", true, None, now())],
        removed: vec![counters.snapshot("b", false, None, now())],
        inputs: Vec::new(),
        queue: webhook_queue::Statistics::default(),
    };
    let expected = [
        ("webhooks_attempts", 22),
        ("webhooks_success", 2),
        ("webhooks_errors", 12),
        ("webhooks_user_errors", 8),
    ];
    assert_eq!(stats.aurora_counters().named(), expected);
    assert_eq!(stats.targets[0].attempts_of(Outcome::Timeout), 1);
    assert_eq!(
        stats.targets[0].attempt_latency.count(),
        5,
        "one for each outcome with an answer"
    );
}

#[test]
fn an_event_settled_before_it_is_counted_is_not_pending() {
    let counters = Counters::new();
    counters.pending.fetch_sub(1, Ordering::SeqCst);
    assert_eq!(counters.pending(), 0);
    counters.pending.fetch_add(2, Ordering::SeqCst);
    assert_eq!(counters.pending(), 1);
}

#[test]
fn dead_letters_are_counted_by_reason() {
    let counters = Counters::new();
    counters.dead_lettered(Reason::TooOld);
    counters.dead_lettered(Reason::TooOld);
    counters.dead_lettered(Reason::Refused);
    counters.dead_lettered(Reason::Unsendable);
    let stats = counters.snapshot("a", true, None, now());
    assert!(stats.dead.contains(&(Reason::TooOld, 2)));
    assert!(stats.dead.contains(&(Reason::AttemptsExhausted, 0)));
    assert!(stats.dead.contains(&(Reason::Unsendable, 1)));
    assert_eq!(stats.dead_letters(), 4);
}

#[test]
fn the_latencies_of_an_interval_are_those_recorded_in_it() {
    let mut latencies = Latencies::new();
    latencies.record(MS);
    let earlier = latencies.clone();
    latencies.record(MS * 500);
    let since = latencies.since(&earlier);
    assert_eq!((since.count(), since.sum()), (1, MS * 500));
    let median = since.quantile(0.5).unwrap();
    assert!(median > MS * 490 && median < MS * 510, "{median:?}");
    // Another histogram, which begins anew.
    assert_eq!(earlier.since(&latencies).count(), 1);
    assert_eq!(latencies.since(&latencies).quantile(0.5), None);
}
