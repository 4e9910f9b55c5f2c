//! What has arrived at a receiver: how much, when, and whether in each task's order.

use std::time::Instant;
use testkit::load::Label;

/// What has arrived so far. First arrivals are counted; later ones of the same event are
/// repetitions, which a kill or a time-out may cause.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// First arrivals.
    pub(super) first: u64,
    /// Arrivals of what had arrived before.
    pub(super) repeated: u64,
    /// Events that came before one which they were to follow.
    out_of_order: u64,
    /// Bodies that were not sent.
    altered: u64,
    /// When the first one came.
    started_at: Option<Instant>,
    /// When the last first arrival came.
    ended_at: Option<Instant>,
    /// When each hundredth of what is expected was there.
    marks: Vec<Instant>,
    /// First arrivals from one mark to the next.
    mark_every: u64,
    /// The number that each task is to send next.
    next: Vec<u32>,
}

impl Arrivals {
    /// Nothing yet, of so many events.
    pub(super) fn expecting(events: u64) -> Arrivals {
        Arrivals {
            mark_every: (events / 100).max(1),
            ..Arrivals::default()
        }
    }

    /// An event came; `None` is a body that was not sent.
    pub(super) fn note(&mut self, label: Option<Label>, now: Instant) {
        self.started_at.get_or_insert(now);
        let Some(Label { task, number }) = label else {
            self.altered += 1;
            return;
        };
        let task = task as usize;
        if self.next.len() <= task {
            self.next.resize(task + 1, 0);
        }
        let next = &mut self.next[task];
        if number < *next {
            self.repeated += 1;
            return;
        }
        if number > *next {
            self.out_of_order += 1;
        }
        *next = number + 1;
        self.first += 1;
        self.ended_at = Some(now);
        if self.first.is_multiple_of(self.mark_every) {
            self.marks.push(now);
        }
    }

    /// From the first arrival to the last, unless there was one at most.
    pub(super) fn span(&self) -> Option<(Instant, Instant)> {
        let span = self.started_at.zip(self.ended_at);
        span.filter(|(start, end)| end > start)
    }

    /// Forgets the times of the arrivals so far.
    pub(super) fn restart_clock(&mut self) {
        self.started_at = None;
        self.ended_at = None;
    }

    /// First arrivals in a second, from the first to the last.
    pub(super) fn rate(&self) -> f64 {
        self.span().map_or(0.0, |(start, end)| {
            self.first as f64 / (end - start).as_secs_f64()
        })
    }

    /// First arrivals in a second between two of the hundred marks.
    pub(super) fn rate_between(&self, from: usize, to: usize) -> f64 {
        match (self.marks.get(from), self.marks.get(to)) {
            (Some(start), Some(end)) if end > start => {
                (to - from) as f64 * self.mark_every as f64 / (*end - *start).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// What is wrong, if these are to be so many events.
    pub(super) fn faults(&self, name: &str, expected: u64) -> Vec<String> {
        let mut faults = Vec::new();
        if self.first != expected {
            faults.push(format!(
                "{name}: {} of {expected} events arrived",
                self.first
            ));
        }
        for (count, what) in [
            (self.out_of_order, "out of order"),
            (self.altered, "altered"),
        ] {
            if count > 0 {
                faults.push(format!("{name}: {count} events {what}"));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn after(labels: &[(u32, u32)]) -> Arrivals {
        let mut arrivals = Arrivals::expecting(100);
        let mut now = Instant::now();
        for (task, number) in labels.iter().copied() {
            now += Duration::from_secs(1);
            arrivals.note(Some(Label { task, number }), now);
        }
        arrivals
    }

    #[test]
    fn tasks_may_overtake_each_other_and_repeat_themselves() {
        let arrivals = after(&[(1, 0), (0, 0), (1, 1), (1, 0), (1, 2)]);
        assert!(arrivals.faults("it", 4).is_empty());
        assert_eq!(arrivals.repeated, 1);
        assert_eq!(arrivals.rate(), 1.0);
    }

    #[test]
    fn a_gap_a_loss_and_a_strange_body_are_faults() {
        assert_eq!(after(&[(0, 1), (0, 0)]).out_of_order, 1);
        assert_eq!(after(&[(0, 0)]).faults("it", 2).len(), 1);
        let mut arrivals = after(&[(0, 0)]);
        arrivals.note(None, Instant::now());
        assert_eq!(arrivals.faults("it", 1), ["it: 1 events altered"]);
    }

    #[test]
    fn a_rate_between_marks_is_that_of_its_part() {
        let labels: Vec<_> = (0..100).map(|number| (0, number)).collect();
        let arrivals = after(&labels);
        assert_eq!(arrivals.marks.len(), 100);
        assert_eq!(arrivals.rate_between(89, 99), 1.0);
        assert_eq!(arrivals.rate_between(99, 100), 0.0);
    }
}
