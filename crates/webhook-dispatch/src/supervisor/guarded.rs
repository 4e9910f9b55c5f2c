//! What a program brings along (an observer, a clock, a retry schedule), so that neither its panic
//! nor an absurd answer ends a thread of the dispatcher.

use crate::shared::{Clock, Incident, Observer, SystemClock};
use crate::target::retry::{FullJitter, Next, Retry};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use webhook_config::RetryPolicy;

/// Longer than any wait, and short enough to be added to a time.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What came from outside. Where it panics, the crate's own takes its place.
pub(crate) struct Guarded<T: ?Sized>(pub(crate) Arc<T>);

impl<T: ?Sized> Guarded<T> {
    fn ask<R>(&self, question: impl FnOnce(&T) -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(|| question(&self.0))).ok()
    }
}

impl Observer for Guarded<dyn Observer> {
    fn incident(&self, incident: &Incident<'_>) {
        // A panic of its own ends the call, and nothing else.
        let _done: Option<()> = self.ask(|observer| observer.incident(incident));
    }
}

impl Clock for Guarded<dyn Clock> {
    fn now(&self) -> Instant {
        self.ask(Clock::now).unwrap_or_else(|| SystemClock.now())
    }

    fn wall(&self) -> SystemTime {
        self.ask(Clock::wall).unwrap_or_else(|| SystemClock.wall())
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
            .ask(|retry| retry.next(policy, attempts, age, retry_after))
            .unwrap_or_else(|| FullJitter.next(policy, attempts, age, retry_after));
        match next {
            Next::After(wait) => Next::After(wait.min(FOREVER)),
            over => over,
        }
    }

    fn breaker(&self, policy: &RetryPolicy, openings: u32) -> Duration {
        self.ask(|retry| retry.breaker(policy, openings))
            .unwrap_or_else(|| FullJitter.breaker(policy, openings))
            .min(FOREVER)
    }
}
