//! Decides which notices are due. Pure: it gets the figures and the time.

use super::notice::{INTERVAL, Kind, Notice};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use webhook_dispatch::{BreakerState, Stats};

/// How long after a notice that was not queued another one is tried.
const RETRY: Duration = Duration::from_secs(60);
/// The percentage of what it can use from which a queue is nearly full, as in the alert
/// WebhookdQueueNearlyFull.
const NEARLY_FULL: u64 = 80;

/// The program's figures at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    queue_bytes: u64,
    queue_usable_bytes: u64,
    reload_failures: u64,
    targets: Vec<TargetFigures>,
}

#[derive(Clone, Debug)]
struct TargetFigures {
    name: String,
    breaker: BreakerState,
    /// Why its breaker opened, in words.
    cause: Option<String>,
    over_quota: u64,
    dead_letters: u64,
}

/// What was reported, by kind and target. Only configured targets have entries.
#[derive(Debug, Default)]
pub(super) struct Watch(HashMap<(Kind, Option<String>), Reported>);

#[derive(Clone, Copy, Debug, Default)]
struct Reported {
    /// A count, or 1 for a state that was reported and lasts.
    value: u64,
    /// No notice before this time.
    not_before: Option<Instant>,
}

impl Figures {
    /// `cause` returns why the breaker of a target opened.
    pub(super) fn of(
        stats: &Stats,
        reload_failures: u64,
        cause: impl Fn(&str) -> Option<String>,
    ) -> Figures {
        let target = |it: &webhook_dispatch::TargetStats| TargetFigures {
            breaker: it.breaker,
            cause: cause(&it.name).filter(|_| it.breaker == BreakerState::Open),
            over_quota: it.over_quota,
            dead_letters: it.dead_letters(),
            name: it.name.clone(),
        };
        Figures {
            queue_bytes: stats.queue.bytes,
            queue_usable_bytes: stats.queue.usable_bytes,
            reload_failures,
            targets: stats.targets.iter().map(target).collect(),
        }
    }

    fn is_nearly_full(&self) -> bool {
        let used = u128::from(self.queue_bytes) * 100;
        used > u128::from(self.queue_usable_bytes) * u128::from(NEARLY_FULL)
    }
}

impl Watch {
    /// The notices that are due; none about the target `own`, which gets them.
    pub(super) fn due(&mut self, figures: &Figures, own: &str, now: Instant) -> Vec<Notice> {
        let known = |name: &String| figures.targets.iter().any(|it| it.name == *name);
        self.0
            .retain(|(_, name), _| name.as_ref().is_none_or(known));
        let mut notices = self.compare(figures);
        notices.retain(|notice| {
            if notice.target.as_deref() == Some(own) {
                self.reported(notice);
                return false;
            }
            let not_before = self.entry(notice.kind, &notice.target).not_before;
            not_before.is_none_or(|at| at <= now)
        });
        notices
    }

    /// Notes that a notice was queued.
    pub(super) fn sent(&mut self, notice: &Notice, now: Instant) {
        self.entry(notice.kind, &notice.target).not_before = Some(now + INTERVAL);
        self.reported(notice);
    }

    /// Notes that a notice was not queued: it is due again a little later.
    pub(super) fn not_sent(&mut self, notice: &Notice, now: Instant) {
        self.entry(notice.kind, &notice.target).not_before = Some(now + RETRY);
    }

    /// Takes all counts as reported: there were no notices until now.
    pub(super) fn skip_counts(&mut self, figures: &Figures) {
        for notice in self.compare(figures) {
            if notice.count.is_some() {
                self.reported(&notice);
            }
        }
    }

    fn reported(&mut self, notice: &Notice) {
        let kind = match notice.kind {
            // The end of that state.
            Kind::BreakerClosed => Kind::BreakerOpened,
            kind => kind,
        };
        self.entry(kind, &notice.target).value = notice.value;
    }

    fn entry(&mut self, kind: Kind, target: &Option<String>) -> &mut Reported {
        self.0.entry((kind, target.clone())).or_default()
    }

    /// What differs from what was reported.
    fn compare(&mut self, figures: &Figures) -> Vec<Notice> {
        let mut found = Vec::new();
        for target in &figures.targets {
            found.extend(self.compare_target(target));
        }
        let full = self.begun(Kind::QueueNearlyFull, None, figures.is_nearly_full());
        found.extend(full.map(|notice| {
            let (used, most) = (figures.queue_bytes, figures.queue_usable_bytes);
            notice.saying(format!("the queue is nearly full: {used} of {most} bytes"))
        }));
        let failures = self.grown(Kind::ReloadFailed, None, figures.reload_failures);
        found.extend(failures.map(|(notice, _)| {
            notice.saying(
                "the configuration was not reloaded, and the previous one stays in force; \
                 `webhookd check` and the log say why",
            )
        }));
        found
    }

    fn compare_target(&mut self, target: &TargetFigures) -> Vec<Notice> {
        let name = &target.name;
        let mut found = Vec::new();
        match target.breaker {
            BreakerState::Open => {
                let opened = self.begun(Kind::BreakerOpened, Some(name), true);
                let message = || format!("target {name}: its breaker is open");
                let message = target.cause.clone().unwrap_or_else(message);
                found.extend(opened.map(|notice| notice.saying(message)));
            }
            BreakerState::Closed => {
                let of = Some(name.clone());
                if self.entry(Kind::BreakerOpened, &of).value > 0 {
                    let notice = Notice::new(Kind::BreakerClosed, of, None, 0);
                    found.push(notice.saying(format!("target {name}: works again")));
                }
            }
            _ => {}
        }
        let is_stopped = target.breaker == BreakerState::Stopped;
        let stopped = self.begun(Kind::TargetStopped, Some(name), is_stopped);
        found.extend(stopped.map(|notice| {
            notice.saying(format!(
                "target {name}: answered 410 Gone; its events are kept, and nothing is sent until it \
                 is restarted (`webhookd targets restart`)"
            ))
        }));
        let over = self.grown(Kind::OverQuota, Some(name), target.over_quota);
        found.extend(over.map(|(notice, events)| {
            notice.saying(format!(
                "target {name}: did not get {events} of its events, since it is over its quota \
                 (maxOwedBytes)"
            ))
        }));
        let dead = self.grown(Kind::DeadLettersGrowing, Some(name), target.dead_letters);
        found.extend(dead.map(|(notice, events)| {
            notice.saying(format!(
                "target {name}: {events} events became dead letters (`webhookd dead-letters list`)"
            ))
        }));
        found
    }

    /// The notice of a state that has begun; one that has ended may begin again.
    fn begun(&mut self, kind: Kind, target: Option<&String>, is_on: bool) -> Option<Notice> {
        let target = target.cloned();
        let reported = &mut self.entry(kind, &target).value;
        if !is_on {
            *reported = 0;
        }
        (is_on && *reported == 0).then(|| Notice::new(kind, target, None, 1))
    }

    /// The notice of a count that has grown, and by how much.
    fn grown(&mut self, kind: Kind, target: Option<&String>, count: u64) -> Option<(Notice, u64)> {
        let target = target.cloned();
        let reported = &mut self.entry(kind, &target).value;
        // A target that was removed and added again counts from 0.
        *reported = count.min(*reported);
        let grown = count - *reported;
        (grown > 0).then(|| (Notice::new(kind, target, Some(grown), count), grown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures with one target.
    fn target(breaker: BreakerState, over_quota: u64, dead_letters: u64) -> Figures {
        Figures {
            targets: vec![TargetFigures {
                name: "audit".to_owned(),
                breaker,
                cause: None,
                over_quota,
                dead_letters,
            }],
            queue_usable_bytes: 100,
            ..Figures::default()
        }
    }

    /// The kinds and counts of the notices that are due, which are then sent.
    fn sent(watch: &mut Watch, figures: &Figures, now: Instant) -> Vec<(Kind, Option<u64>)> {
        let due = watch.due(figures, "ops", now);
        for notice in &due {
            watch.sent(notice, now);
        }
        due.iter().map(|it| (it.kind, it.count)).collect()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_count_is_reported_once_in_ten_minutes_with_what_was_added() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let dead = |count| target(BreakerState::Closed, 0, count);
        let grown = |count| vec![(Kind::DeadLettersGrowing, Some(count))];
        assert_eq!(sent(&mut watch, &dead(0), now), []);
        assert_eq!(sent(&mut watch, &dead(2), now), grown(2));
        assert_eq!(sent(&mut watch, &dead(5), now + INTERVAL - SECOND), []);
        assert_eq!(sent(&mut watch, &dead(6), now + INTERVAL), grown(4));
        assert_eq!(sent(&mut watch, &dead(6), now + 3 * INTERVAL), []);
        assert_eq!(sent(&mut watch, &dead(1), now + 3 * INTERVAL), []);
        assert_eq!(sent(&mut watch, &dead(2), now + 3 * INTERVAL), grown(1));
        let over = vec![(Kind::OverQuota, Some(7))];
        let figures = target(BreakerState::Closed, 7, 2);
        assert_eq!(sent(&mut watch, &figures, now + 3 * INTERVAL), over);
    }

    #[test]
    fn a_breaker_that_opens_again_within_ten_minutes_is_reported_after_them_if_it_is_open_then() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let [closed, open, half, stopped] = [
            BreakerState::Closed,
            BreakerState::Open,
            BreakerState::HalfOpen,
            BreakerState::Stopped,
        ]
        .map(|state| target(state, 0, 0));
        let (opened, shut) = (
            vec![(Kind::BreakerOpened, None)],
            vec![(Kind::BreakerClosed, None)],
        );
        assert_eq!(sent(&mut watch, &closed, now), []);
        assert_eq!(sent(&mut watch, &open, now), opened);
        assert_eq!(sent(&mut watch, &half, now), []);
        assert_eq!(sent(&mut watch, &closed, now + SECOND), shut);
        assert_eq!(sent(&mut watch, &open, now + 2 * SECOND), []);
        assert_eq!(sent(&mut watch, &closed, now + 3 * SECOND), []);
        assert_eq!(sent(&mut watch, &open, now + INTERVAL - SECOND), []);
        assert_eq!(sent(&mut watch, &open, now + INTERVAL), opened);
        assert_eq!(sent(&mut watch, &closed, now + INTERVAL), []);
        assert_eq!(sent(&mut watch, &closed, now + INTERVAL + SECOND), shut);
        let late = now + 5 * INTERVAL;
        let stop = vec![(Kind::TargetStopped, None)];
        assert_eq!(sent(&mut watch, &stopped, late), stop);
        assert_eq!(sent(&mut watch, &stopped, late + INTERVAL), []);
        assert_eq!(sent(&mut watch, &closed, late + INTERVAL), []);
        assert_eq!(sent(&mut watch, &stopped, late + INTERVAL), stop);
    }

    #[test]
    fn the_queue_and_reloads_are_reported_without_a_target() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let mut figures = target(BreakerState::Closed, 0, 0);
        figures.queue_bytes = 80;
        assert_eq!(sent(&mut watch, &figures, now), []);
        figures.queue_bytes = 81;
        figures.reload_failures = 1;
        let due = watch.due(&figures, "ops", now);
        let kinds: Vec<_> = due.iter().map(|it| (it.kind, it.target.clone())).collect();
        let expected = [(Kind::QueueNearlyFull, None), (Kind::ReloadFailed, None)];
        assert_eq!(kinds, expected);
        assert_eq!(due[0].message, "the queue is nearly full: 81 of 100 bytes");
    }

    #[test]
    fn a_notice_that_is_not_queued_is_due_again_after_a_minute() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let figures = target(BreakerState::Open, 0, 0);
        let due = watch.due(&figures, "ops", now);
        assert_eq!(due.len(), 1);
        watch.not_sent(&due[0], now);
        assert_eq!(watch.due(&figures, "ops", now + RETRY - SECOND), []);
        assert_eq!(watch.due(&figures, "ops", now + RETRY), due);
    }

    #[test]
    fn there_is_none_about_the_target_that_gets_them_or_about_counts_from_before() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let figures = target(BreakerState::Open, 1, 1);
        assert_eq!(watch.due(&figures, "audit", now), []);
        let mut watch = Watch::default();
        watch.skip_counts(&figures);
        let due = watch.due(&figures, "ops", now);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].kind, Kind::BreakerOpened);
        assert_eq!(due[0].message, "target audit: its breaker is open");
    }
}
