//! The state of the display: the last snapshot, rates since the one before, order and choice. It uses
//! no clock and no terminal.

use super::snapshot::{Snapshot, Target};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Instant;

/// The state of the display.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) now: Snapshot,
    pub(super) order: Order,
    /// The chosen target, by name, since its row changes.
    chosen: Option<String>,
    /// The text below the table.
    pub(super) message: String,
    /// Why the last update failed; the figures are older then.
    pub(super) error: Option<String>,
    rates: HashMap<String, Rates>,
    seen_at: Option<Instant>,
}

/// Events a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) accepted: f64,
    pub(super) delivered: f64,
    /// Failed attempts.
    pub(super) failed: f64,
}

/// The column by which the targets are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Name,
    Delivered,
    Failed,
    Pending,
    Oldest,
    Dead,
}

impl Order {
    pub(super) fn next(self) -> Order {
        match self {
            Order::Name => Order::Delivered,
            Order::Delivered => Order::Failed,
            Order::Failed => Order::Pending,
            Order::Pending => Order::Oldest,
            Order::Oldest => Order::Dead,
            Order::Dead => Order::Name,
        }
    }

    /// The title of its column.
    pub(super) fn column(self) -> &'static str {
        match self {
            Order::Name => "TARGET",
            Order::Delivered => "OUT/s",
            Order::Failed => "FAIL/s",
            Order::Pending => "PENDING",
            Order::Oldest => "OLDEST",
            Order::Dead => "DEAD",
        }
    }
}

impl Board {
    /// Takes a newer snapshot.
    pub(super) fn update(&mut self, snapshot: Snapshot, at: Instant) {
        let elapsed = self
            .seen_at
            .map(|before| at.saturating_duration_since(before).as_secs_f64())
            .filter(|elapsed| *elapsed > 0.0);
        // A restarted program counts from zero.
        let restarted = snapshot.status.uptime_seconds < self.now.status.uptime_seconds;
        self.rates.clear();
        if let Some(elapsed) = elapsed.filter(|_| !restarted) {
            for target in &snapshot.targets {
                let Some(before) = self.now.targets.iter().find(|it| it.name == target.name) else {
                    continue;
                };
                let (new, old) = (&target.stats, &before.stats);
                let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / elapsed;
                let rates = Rates {
                    accepted: rate(new.accepted, old.accepted),
                    delivered: rate(new.delivered, old.delivered),
                    failed: rate(new.failures(), old.failures()),
                };
                self.rates.insert(target.name.clone(), rates);
            }
        }
        self.now = snapshot;
        self.seen_at = Some(at);
        self.error = None;
    }

    /// `None` before there are two snapshots to compare.
    pub(super) fn rates(&self, target: &str) -> Option<Rates> {
        self.rates.get(target).copied()
    }

    /// The targets in order: by descending figures, then by name.
    pub(super) fn targets(&self) -> Vec<&Target> {
        let mut targets: Vec<&Target> = self.now.targets.iter().collect();
        let rates = |target: &Target| self.rates(&target.name).unwrap_or_default();
        targets.sort_by(|a, b| {
            let by_figure = match self.order {
                Order::Name => Ordering::Equal,
                Order::Delivered => rates(b).delivered.total_cmp(&rates(a).delivered),
                Order::Failed => rates(b).failed.total_cmp(&rates(a).failed),
                Order::Pending => b.stats.pending.cmp(&a.stats.pending),
                Order::Oldest => age(b).total_cmp(&age(a)),
                Order::Dead => b.stats.dead_held.cmp(&a.stats.dead_held),
            };
            by_figure.then_with(|| a.name.cmp(&b.name))
        });
        targets
    }

    /// The chosen target, and its row.
    pub(super) fn chosen(&self) -> Option<(usize, &Target)> {
        let targets = self.targets();
        let row = targets
            .iter()
            .position(|target| Some(&target.name) == self.chosen.as_ref())
            .unwrap_or(0);
        targets.get(row).map(|target| (row, *target))
    }

    /// Chooses the target `step` rows below, or above.
    pub(super) fn choose(&mut self, step: isize) {
        let row = self.chosen().map_or(0, |(row, _)| row);
        let last = self.now.targets.len().saturating_sub(1);
        let row = row.saturating_add_signed(step).min(last);
        self.chosen = self.targets().get(row).map(|target| target.name.clone());
    }
}

fn age(target: &Target) -> f64 {
    target.stats.oldest_pending_age_seconds.unwrap_or(-1.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::commands::top::snapshot::{Figures, Latency, Queue, Status};
    use std::time::Duration;

    /// Two targets, with their numbers of deliveries.
    pub(in crate::commands::top) fn snapshot(uptime: f64, delivered: [u64; 2]) -> Snapshot {
        let target = |name: &str, delivered, pending| Target {
            name: name.to_owned(),
            paused: false,
            state: "ok".to_owned(),
            breaker_open_until: None,
            hold: None,
            stats: Figures {
                accepted: delivered + pending,
                delivered,
                attempts: [("2xx".to_owned(), delivered), ("5xx".to_owned(), pending)].into(),
                dead_held: 0,
                pending,
                oldest_pending_age_seconds: (pending > 0).then_some(61.0),
                in_flight: 3,
                waiting_tasks: pending,
                attempt_seconds: Latency {
                    p50: Some(0.0021),
                    p99: Some(1.5),
                },
            },
        };
        Snapshot {
            status: Status {
                version: "0.1.0".to_owned(),
                uptime_seconds: uptime,
                ready: true,
                reasons: Vec::new(),
                streams: Vec::new(),
            },
            queue: Queue {
                directory: Some("q".to_owned()),
                events: 7,
                bytes: 1 << 30,
                max_bytes: 4 << 30,
                ..Queue::default()
            },
            targets: vec![
                target("audit", delivered[0], 0),
                target("pager", delivered[1], 7),
            ],
        }
    }

    #[test]
    fn rates_are_differences_over_time_and_none_after_a_restart() {
        let mut board = Board::default();
        let start = Instant::now();
        board.update(snapshot(10.0, [100, 0]), start);
        assert_eq!(board.rates("audit"), None);
        board.update(snapshot(12.0, [300, 0]), start + Duration::from_secs(2));
        assert_eq!(board.rates("audit").unwrap().delivered, 100.0);
        assert_eq!(board.rates("pager").unwrap().delivered, 0.0);
        board.update(snapshot(1.0, [5, 0]), start + Duration::from_secs(4));
        assert_eq!(board.rates("audit"), None);
    }

    #[test]
    fn the_choice_stays_with_its_target_when_the_order_changes() {
        let mut board = Board::default();
        board.update(snapshot(10.0, [0, 0]), Instant::now());
        let names = |board: &Board| {
            let targets = board.targets();
            targets.iter().map(|it| it.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&board), ["audit", "pager"]);
        board.choose(1);
        assert_eq!(board.chosen().unwrap().1.name, "pager");
        board.order = Order::Pending;
        assert_eq!(names(&board), ["pager", "audit"]);
        assert_eq!(board.chosen().unwrap().0, 0);
        board.choose(5);
        assert_eq!(board.chosen().unwrap().1.name, "audit");
        board.choose(-5);
        assert_eq!(board.chosen().unwrap().1.name, "pager");
    }
}
