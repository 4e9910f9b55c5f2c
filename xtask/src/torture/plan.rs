//! What is done to webhookd in a round, drawn from the seed.

use super::mood::Mood;
use super::targets::TARGETS;
use crate::gen_fixtures::Random;
use std::time::Duration;

/// When webhookd is killed, and what else is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Killed while it starts.
    StartUp,
    /// Killed while events come and go.
    Flow,
    /// Killed after its input has ended, while it delivers the rest.
    Drain,
    /// Its files may not grow any further; then killed.
    DiskFull,
    /// Asked to end, by SIGTERM: not counted as a kill.
    Restart,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::StartUp => "start-up",
            Kind::Flow => "flow",
            Kind::Drain => "drain",
            Kind::DiskFull => "disk full",
            Kind::Restart => "restart",
        }
    }
}

/// One run of webhookd, and how it ends.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// The end comes after this share of what is fed is acknowledged, in a thousand.
    pub(super) share: usize,
    /// And after this time.
    pub(super) then: Duration,
    /// Events a second that are fed; all at once if there is none.
    pub(super) rate: Option<u32>,
    /// Bytes by which the queue's file may grow.
    pub(super) room: Option<u64>,
    /// How each receiver is disposed.
    pub(super) moods: Vec<Mood>,
    /// What the receivers draw from.
    pub(super) seed: u64,
}

/// The plans of a round: the last one is the kill.
pub(super) fn round(random: &mut Random) -> Vec<Plan> {
    let kind = match random.below(100) {
        0..15 => Kind::StartUp,
        15..65 => Kind::Flow,
        65..83 => Kind::Drain,
        _ => Kind::DiskFull,
    };
    let mut plans = Vec::new();
    if random.percent(15) {
        plans.push(plan(Kind::Restart, random));
    }
    plans.push(plan(kind, random));
    plans
}

fn plan(kind: Kind, random: &mut Random) -> Plan {
    // At times right in the middle of commits, at times once they are over.
    let longest = if random.percent(40) { 20 } else { 1_200 };
    let mut up_to = |millis: usize| Duration::from_micros(random.below(millis * 1_000) as u64);
    let then = match kind {
        Kind::StartUp => up_to(80),
        Kind::Flow | Kind::Restart => up_to(longest),
        Kind::Drain => up_to(1_500),
        Kind::DiskFull => Duration::from_millis(300) + up_to(1_200),
    };
    Plan {
        kind,
        share: match kind {
            Kind::StartUp | Kind::DiskFull => 0,
            Kind::Drain => 1_000,
            Kind::Flow | Kind::Restart => random.below(1_000),
        },
        then,
        rate: random
            .percent(50)
            .then(|| 1_500 + random.below(4_000) as u32),
        room: (kind == Kind::DiskFull).then(|| random.below(1 << 20) as u64),
        moods: TARGETS.iter().map(|_| Mood::draw(random)).collect(),
        seed: random.next(),
    }
}
