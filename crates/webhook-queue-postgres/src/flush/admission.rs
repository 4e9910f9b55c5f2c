//! Which events there is room for. The totals are those that this process has followed: it may
//! accept more than the bounds by what other workers have accepted in the last moments.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use webhook_queue::{Event, LastState, QueueError, Quotas};

/// Bytes that an event counts for each of its targets besides its key, body and attributes.
const OVERHEAD: u64 = 96;

/// The use that is made of the queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) max_bytes: u64,
    /// The bytes of all events and dead letters, for each of their targets.
    pub(crate) bytes: u64,
    /// The bytes that each target is owed.
    pub(crate) owed: BTreeMap<Arc<str>, u64>,
}

/// What an event counts for each of its targets.
pub(crate) fn cost(event: &Event) -> u64 {
    let lengths = [&event.key, &event.body, &event.attributes].map(|bytes| bytes.len() as u64);
    OVERHEAD + lengths.iter().sum::<u64>()
}

/// The targets of an event, each once.
pub(crate) fn targets(event: &Event) -> impl Iterator<Item = &Arc<str>> {
    let targets = &event.targets;
    let is_first = |(at, name): &(usize, &Arc<str>)| !targets[..*at].contains(name);
    targets.iter().enumerate().filter(is_first).map(|it| it.1)
}

impl Usage {
    /// The targets of each event that are over their quotas. The events for which `is_dropped` holds
    /// take no room.
    pub(crate) fn admit(
        &self,
        events: &[Event],
        quotas: &Quotas,
        is_dropped: impl Fn(usize) -> bool,
    ) -> Result<Vec<Vec<Arc<str>>>, QueueError> {
        let mut need = 0;
        for (at, event) in events.iter().enumerate() {
            if is_dropped(at) {
                continue;
            }
            event
                .last_state
                .as_deref()
                .map_or(Ok(()), LastState::check)?;
            let size = cost(event) * targets(event).count() as u64;
            // One event is one statement, which has a bound of its own.
            let max = self.max_bytes.min(i32::MAX as u64 / 2);
            if size > max {
                return Err(QueueError::TooLarge { size, max });
            }
            need += size;
        }
        let full = QueueError::Full {
            used: self.bytes,
            max: self.max_bytes,
        };
        if need > 0 && self.bytes + need > self.max_bytes {
            return Err(full);
        }
        if quotas.is_unlimited() {
            return Ok(vec![Vec::new(); events.len()]);
        }
        let free = self.max_bytes.saturating_sub(self.bytes + need);
        let mut owed = self.owed.clone();
        let mut over_quota = Vec::with_capacity(events.len());
        for (at, event) in events.iter().enumerate() {
            let mut over = Vec::new();
            if !is_dropped(at) {
                let cost = cost(event);
                let is_over = |owed: &BTreeMap<Arc<str>, u64>, target: &Arc<str>| {
                    let owed = owed.get(target).copied().unwrap_or(0);
                    owed > 0 && owed + cost > quotas.max_owed(target, free)
                };
                over.extend(targets(event).filter(|it| is_over(&owed, it)).cloned());
                if over.len() < targets(event).count() {
                    for target in targets(event).filter(|it| !over.contains(it)) {
                        *owed.entry(target.clone()).or_default() += cost;
                    }
                } else if !over.is_empty() && quotas.owed.keys().all(|it| is_over(&owed, it)) {
                    return Err(full);
                }
            }
            over_quota.push(over);
        }
        Ok(over_quota)
    }
}

/// Which events are dropped as duplicates or since they change no state: `is_repeated` says whether
/// the idempotency key of an event is known, and `last_state` what the last state of its key is. An
/// event after another of its state's key is looked at when that one was appended.
pub(crate) fn dropped(
    events: &[Event],
    is_repeated: impl Fn(usize) -> bool,
    last_state: impl Fn(usize) -> Option<Vec<u8>>,
) -> Vec<bool> {
    let mut keys = HashSet::new();
    let is_unchanged =
        |at: usize, state: &LastState| last_state(at).is_some_and(|last| *last == *state.state);
    let all = events.iter().enumerate().map(|(at, event)| {
        let state = event.last_state.as_deref();
        is_repeated(at) || state.is_some_and(|it| keys.insert(&it.key) && is_unchanged(at, it))
    });
    all.collect()
}
