//! The settlements that wait for the writer, and when they are written without events.

use std::collections::VecDeque;
use std::time::Instant;

use super::limits::Limits;
use super::sync::now;
use crate::Settlement;

/// Settlements that wait, in order.
#[derive(Default)]
pub(super) struct Settlements {
    waiting: VecDeque<Settlement>,
    /// Until when they wait for others.
    until: Option<Instant>,
    /// Until when those wait that could not be committed.
    retry_at: Option<Instant>,
    /// Whether those that wait were asked for.
    flush: bool,
}

impl Settlements {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a settlement; the wait begins with the first one.
    pub(super) fn add(&mut self, settlement: Settlement, limits: &Limits) {
        if self.waiting.is_empty() {
            self.until = Some(now() + limits.settle_within);
        }
        self.waiting.push_back(settlement);
    }

    /// Has those that wait written without a wait for others. False if nothing changes.
    pub(super) fn flush(&mut self) -> bool {
        let changes = !self.flush && !self.waiting.is_empty();
        self.flush |= changes;
        changes
    }

    /// Until when they wait to be written without events, if there are any; `None` if they do not
    /// wait. They wait for no others while they `make_room` for events.
    pub(super) fn wait_until(&self, make_room: bool, limits: &Limits) -> Option<Instant> {
        let at_once = make_room || self.flush || self.waiting.len() >= limits.settle_count;
        self.retry_at.or(self.until.filter(|_| !at_once))
    }

    /// Takes those of the next group.
    pub(super) fn take(&mut self, limits: &Limits) -> Vec<Settlement> {
        let count = self.waiting.len().min(limits.group_settlements.max(1));
        let group = self.waiting.drain(..count).collect();
        self.flush &= !self.waiting.is_empty();
        group
    }

    pub(super) fn take_all(&mut self) -> Vec<Settlement> {
        self.waiting.drain(..).collect()
    }

    /// A commit ended at this time: those that came meanwhile wait for others from then on.
    pub(super) fn committed(&mut self, now: Instant, limits: &Limits) {
        self.until = Some(now + limits.settle_within);
        self.retry_at = None;
    }

    /// Puts settlements back that could not be committed, until a time.
    pub(super) fn put_back(&mut self, settlements: Vec<Settlement>, retry_at: Instant) {
        for settlement in settlements.into_iter().rev() {
            self.waiting.push_front(settlement);
        }
        self.retry_at = Some(retry_at);
    }
}
