//! Logs when commits begin to fail and when they succeed again, and what targets lose to their
//! bounds.

use crate::console::chain;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use webhook_dispatch::TargetStats;
use webhook_queue::{QueueError, SharedStatistics};

/// How often a failure that lasts is logged.
const REPEAT: Duration = Duration::from_secs(60);

/// What was logged of the queue's writer.
#[derive(Default)]
pub(super) struct QueueLog {
    /// When the last failure was logged, if commits have failed since.
    failing: Option<Instant>,
    /// The last error of a check of the queue.
    unusable: Option<String>,
    /// What was logged of each target.
    targets: HashMap<String, Lost>,
    shared: Shared,
}

/// What was logged of a shared queue.
#[derive(Default)]
struct Shared {
    leases_lost: (u64, Option<Instant>),
    reconnects: (u64, Option<Instant>),
    /// Whether its database has standbys, and no commit waits for one.
    unsynchronised: bool,
}

/// What a target has lost to a bound: how much was logged, and when.
#[derive(Default)]
struct Lost {
    over_quota: (u64, Option<Instant>),
    dead_letters: (u64, Option<Instant>),
}

/// How much a count has grown, unless it was logged shortly before.
fn grown(count: u64, logged: &mut (u64, Option<Instant>)) -> Option<u64> {
    let grown = count.checked_sub(logged.0).filter(|grown| *grown > 0)?;
    if logged.1.is_some_and(|at| at.elapsed() < REPEAT) {
        return None;
    }
    *logged = (count, Some(Instant::now()));
    Some(grown)
}

impl QueueLog {
    /// Logs when the queue begins to take no events, and when it takes them again.
    pub(super) fn observe_check(&mut self, error: Option<&QueueError>) {
        let error = error.map(|error| chain(error));
        if error == self.unusable {
            return;
        }
        match &error {
            Some(error) => tracing::error!(error, "the queue takes no events: {error}"),
            None => tracing::info!("the queue takes events again"),
        }
        self.unusable = error;
    }

    /// Logs when commits begin to fail and when the disk takes writes again: what `/readyz` says.
    pub(super) fn observe(&mut self, failures: u64, failure: Option<String>) {
        match (failure, self.failing) {
            (Some(_), Some(at)) if at.elapsed() < REPEAT => {}
            (Some(error), _) => {
                self.failing = Some(Instant::now());
                tracing::error!(error, failures, "commits to the queue fail: {error}");
            }
            (None, Some(_)) => {
                self.failing = None;
                tracing::info!("commits to the queue succeed again");
            }
            (None, None) => {}
        }
    }

    /// Logs that leases and connections were lost, each once a minute at most, and that no commit
    /// waits for a standby.
    pub(super) fn observe_shared(&mut self, shared: &SharedStatistics) {
        let (storage, logged) = (&shared.storage, &mut self.shared);
        if let Some(times) = grown(shared.leases_lost, &mut logged.leases_lost) {
            tracing::warn!(
                storage,
                times,
                "the lease of this worker ended before it was renewed ({times} since the last such \
                 line): other workers deliver the events of its slots, and an event that was being \
                 sent may be delivered twice"
            );
        }
        if let Some(times) = grown(shared.reconnects, &mut logged.reconnects) {
            tracing::info!(
                storage,
                times,
                "connected again to {storage} ({times} connections since the last such line)"
            );
        }
        let standbys = shared.standbys;
        let unsynchronised = standbys.count > 0 && !standbys.synchronous;
        if unsynchronised && !logged.unsynchronised {
            let standbys = standbys.count;
            tracing::warn!(
                storage,
                standbys,
                "{storage} has {standbys} standbys, and synchronous_standby_names is empty: a failover \
                 can lose events that were accepted"
            );
        }
        logged.unsynchronised = unsynchronised;
    }

    /// Logs the events that targets did not get, and the dead letters removed: at once, and then
    /// once a minute for each target.
    pub(super) fn observe_targets(&mut self, targets: &[TargetStats]) {
        for stats in targets {
            let target = &stats.name;
            let logged = self.targets.entry(target.clone()).or_default();
            if let Some(events) = grown(stats.over_quota, &mut logged.over_quota) {
                tracing::warn!(
                    target,
                    events,
                    "target {target}: did not get {events} of its events, since it is over its quota \
                     (maxOwedBytes)"
                );
            }
            if let Some(letters) = grown(stats.dead_letters_removed, &mut logged.dead_letters) {
                tracing::warn!(
                    target,
                    letters,
                    "target {target}: removed {letters} of its dead letters, since there were too \
                     many or they were too old (queue.deadLetters)"
                );
            }
        }
    }
}
