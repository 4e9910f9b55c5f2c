//! The runs of a round, drawn from the seed.

use crate::behaviour::{Behaviour, percent};
use crate::clock::Jump;
use crate::targets::TARGETS;
use fastrand::Rng;
use std::time::Duration;

/// When webhookd is ended, and what else is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Killed while it starts.
    StartUp,
    /// Killed while events come and go.
    Flow,
    /// Killed after its input has ended, while it delivers the rest.
    Drain,
    /// Its files may not grow any further; then killed.
    DiskFull,
    /// Killed once the events of healthy tasks have arrived beside those of poisoned ones.
    Poisoned,
    /// Asked to end, by SIGTERM: not counted as a kill.
    Restart,
}

impl Kind {
    /// Those that kill it, and how often, in a hundred rounds.
    pub(crate) const KILLS: [(Kind, usize); 5] = [
        (Kind::StartUp, 14),
        (Kind::Flow, 42),
        (Kind::Drain, 15),
        (Kind::DiskFull, 14),
        (Kind::Poisoned, 15),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::StartUp => "start-up",
            Kind::Flow => "flow",
            Kind::Drain => "drain",
            Kind::DiskFull => "disk full",
            Kind::Poisoned => "poisoned",
            Kind::Restart => "restart",
        }
    }
}

/// One run of webhookd, and how it ends.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    /// The end comes after this share of what is fed is acknowledged, in a thousand.
    pub(crate) share: usize,
    /// And after this time.
    pub(crate) then: Duration,
    /// Events a second that are fed; all at once if there is none.
    pub(crate) rate: Option<u32>,
    /// Bytes by which the queue's file may grow.
    pub(crate) room: Option<u64>,
    /// Whether its standard error is a full pipe that nothing reads.
    pub(crate) unread: bool,
    /// How its wall clock is wrong.
    pub(crate) clock: Option<Jump>,
    /// The behaviour of each receiver.
    pub(crate) behaviours: Vec<Behaviour>,
    /// What the receivers draw from.
    pub(crate) seed: u64,
}

/// The plans of a round: the last one is the kill.
pub(crate) fn round(random: &mut Rng) -> Vec<Plan> {
    let mut plans = Vec::new();
    if percent(random, 15) {
        plans.push(plan(Kind::Restart, random));
    }
    let mut drawn = random.usize(..100);
    let kind = Kind::KILLS.into_iter().find_map(|(kind, share)| {
        let hit = drawn < share;
        drawn = drawn.saturating_sub(share);
        hit.then_some(kind)
    });
    plans.push(plan(kind.unwrap_or(Kind::Flow), random));
    plans
}

fn plan(kind: Kind, random: &mut Rng) -> Plan {
    // At times right in the middle of commits, at times once they are over.
    let longest = if percent(random, 40) { 20 } else { 1_200 };
    let mut up_to = |millis: u64| Duration::from_micros(random.u64(..millis * 1_000));
    let then = match kind {
        Kind::StartUp => up_to(80),
        Kind::Flow | Kind::Restart => up_to(longest),
        Kind::Drain => up_to(1_500),
        Kind::DiskFull => Duration::from_millis(300) + up_to(1_200),
        Kind::Poisoned => Duration::ZERO,
    };
    let behaviour = match kind {
        Kind::Poisoned => Behaviour::poisoned,
        _ => Behaviour::draw,
    };
    Plan {
        kind,
        share: match kind {
            Kind::StartUp | Kind::DiskFull => 0,
            Kind::Drain | Kind::Poisoned => 1_000,
            Kind::Flow | Kind::Restart => random.usize(..1_000),
        },
        then,
        rate: percent(random, 50).then(|| random.u32(1_500..5_500)),
        room: (kind == Kind::DiskFull).then(|| random.u64(..1 << 20)),
        unread: percent(random, 25),
        clock: percent(random, 40).then(|| Jump::draw(random)),
        behaviours: TARGETS.iter().map(|_| behaviour(random)).collect(),
        seed: random.u64(..),
    }
}
