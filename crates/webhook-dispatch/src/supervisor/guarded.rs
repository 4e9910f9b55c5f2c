//! Wraps the program's observer, clock and retry schedule, so that neither a panic nor an absurd
//! answer of theirs ends a thread of the dispatcher.

use crate::shared::clock::FOREVER;
use crate::shared::{AttemptRecord, Clock, Incident, Observer, SystemClock, TracedAttempt, Tracer};
use crate::target::retry::{FullJitter, Next, Retry};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use webhook_config::{BreakerPolicy, RetryPolicy};

/// An implementation from outside the crate. Where it panics, the crate's default answers instead.
pub(crate) struct Guarded<T: ?Sized>(pub(crate) Arc<T>);

impl<T: ?Sized> Guarded<T> {
    fn call<R>(&self, method: impl FnOnce(&T) -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(|| method(&self.0))).ok()
    }
}

impl Observer for Guarded<dyn Observer> {
    fn incident(&self, incident: &Incident<'_>) {
        // A panic ends this call, and nothing else.
        let _done: Option<()> = self.call(|observer| observer.incident(incident));
    }

    fn attempt(&self, target: &Arc<str>, attempt: &AttemptRecord<'_>) {
        let _done: Option<()> = self.call(|observer| observer.attempt(target, attempt));
    }
}

impl Tracer for Guarded<dyn Tracer> {
    fn attempt(&self, attempt: &TracedAttempt<'_>) {
        let _done: Option<()> = self.call(|tracer| tracer.attempt(attempt));
    }
}

impl Clock for Guarded<dyn Clock> {
    fn now(&self) -> Instant {
        self.call(Clock::now).unwrap_or_else(|| SystemClock.now())
    }

    fn wall(&self) -> SystemTime {
        self.call(Clock::wall).unwrap_or_else(|| SystemClock.wall())
    }
}

impl Retry for Guarded<dyn Retry> {
    fn next(
        &self,
        policy: &RetryPolicy,
        attempts: u32,
        age: Duration,
        retry_after: Option<Duration>,
    ) -> Next {
        let next = self
            .call(|retry| retry.next(policy, attempts, age, retry_after))
            .unwrap_or_else(|| FullJitter.next(policy, attempts, age, retry_after));
        match next {
            Next::After(wait) => Next::After(wait.min(FOREVER)),
            end => end,
        }
    }

    fn breaker(&self, policy: &RetryPolicy, breaker: &BreakerPolicy, openings: u32) -> Duration {
        self.call(|retry| retry.breaker(policy, breaker, openings))
            .unwrap_or_else(|| FullJitter.breaker(policy, breaker, openings))
            .min(FOREVER)
    }
}
