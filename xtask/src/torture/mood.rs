//! How a receiver misbehaves: which acts, how often, and when its port is closed.

use crate::gen_fixtures::Random;
use std::time::Duration;

/// What a receiver does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Takes it.
    Accept,
    /// Takes it, promises to keep the connection, and closes it.
    AcceptAndLeave,
    /// Takes it, in small pieces.
    Trickle {
        /// Between two pieces.
        pause: Duration,
    },
    /// Takes it, and breaks the connection off amid the answer's body.
    BreakBody,
    /// Breaks the connection off amid the answer's status line.
    BreakHead,
    /// Breaks the connection off without reading all of the request.
    Cut,
    /// Closes the connection in good order, without an answer.
    Leave,
    /// Says nothing until the sender has lost patience.
    Hang,
    /// Answers what is not HTTP.
    Garbage,
    /// Answers a status that asks for another attempt.
    Fail(u16),
    /// Answers 429, and when to come again.
    Throttle(RetryAfter),
    /// Answers a status that asks for no other attempt.
    Refuse(u16),
}

/// A value of `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryAfter {
    Now,
    InASecond,
    /// A date that has passed.
    Past,
    /// Neither form.
    Nonsense,
}

impl RetryAfter {
    pub(super) fn value(self) -> &'static str {
        match self {
            RetryAfter::Now => "0",
            RetryAfter::InASecond => "1",
            RetryAfter::Past => "Fri, 03 Jun 2016 22:14:20 GMT",
            RetryAfter::Nonsense => "soon",
        }
    }
}

/// How a receiver is disposed during one run of webhookd.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mood {
    pub(super) temper: Temper,
    /// Its port is closed for so long at first.
    pub(super) opens_after: Duration,
    /// Its port closes for the rest of the run.
    pub(super) closes_after: Option<Duration>,
}

/// Which acts it tends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Temper {
    /// Takes all.
    Calm,
    /// A bit of everything.
    Flaky,
    /// Mostly 5xx, and other statuses.
    Failing,
    /// Sends many away for a while.
    Throttling,
    /// Lets many wait in vain.
    Hanging,
    /// Breaks connections off.
    Breaking,
    /// Answers slowly.
    Slow,
    /// Talks nonsense.
    Babbling,
    /// Refuses some for good.
    Picky,
    /// Does nothing but fail.
    Dead,
}

const TEMPERS: &[Temper] = &[
    Temper::Calm,
    Temper::Calm,
    Temper::Calm,
    Temper::Flaky,
    Temper::Flaky,
    Temper::Flaky,
    Temper::Failing,
    Temper::Throttling,
    Temper::Hanging,
    Temper::Breaking,
    Temper::Breaking,
    Temper::Slow,
    Temper::Babbling,
    Temper::Picky,
    Temper::Dead,
];

impl Mood {
    /// Takes all, all the time.
    pub(super) const CALM: Mood = Mood {
        temper: Temper::Calm,
        opens_after: Duration::ZERO,
        closes_after: None,
    };

    /// A mood for a run.
    pub(super) fn draw(random: &mut Random) -> Mood {
        let temper = *random.choose(TEMPERS);
        let mut some = |bound: usize| Duration::from_millis(random.below(bound) as u64);
        let (early, late) = (some(700), Duration::from_millis(200) + some(1_500));
        Mood {
            temper,
            opens_after: if random.percent(20) {
                early
            } else {
                Duration::ZERO
            },
            closes_after: random.percent(15).then_some(late),
        }
    }
}

impl Temper {
    /// What it does with the next request.
    pub(super) fn act(self, random: &mut Random) -> Act {
        // Out of a thousand.
        let misbehaves = match self {
            Temper::Calm => 0,
            Temper::Flaky => 80,
            Temper::Hanging | Temper::Picky => 30,
            Temper::Slow => 150,
            Temper::Throttling => 60,
            Temper::Breaking | Temper::Babbling => 250,
            Temper::Failing => 500,
            Temper::Dead => 1_000,
        };
        if random.below(1_000) >= misbehaves {
            return Act::Accept;
        }
        match self {
            Temper::Calm => Act::Accept,
            Temper::Flaky => any(random),
            Temper::Failing | Temper::Dead => fail(random),
            Temper::Throttling => throttle(random),
            Temper::Hanging => Act::Hang,
            Temper::Breaking => *random.choose(&[
                Act::BreakBody,
                Act::BreakHead,
                Act::Cut,
                Act::Leave,
                Act::AcceptAndLeave,
            ]),
            Temper::Slow => trickle(random),
            Temper::Babbling => Act::Garbage,
            Temper::Picky => refuse(random),
        }
    }
}

fn any(random: &mut Random) -> Act {
    match random.below(12) {
        0 => Act::AcceptAndLeave,
        1 => trickle(random),
        2 => Act::BreakBody,
        3 => Act::BreakHead,
        4 => Act::Cut,
        5 => Act::Leave,
        6 => Act::Garbage,
        7 => throttle(random),
        8 => refuse(random),
        9 if random.percent(25) => Act::Hang,
        _ => fail(random),
    }
}

fn fail(random: &mut Random) -> Act {
    Act::Fail(*random.choose(&[500, 500, 502, 503, 504, 301, 307, 401, 404, 408]))
}

fn refuse(random: &mut Random) -> Act {
    Act::Refuse(*random.choose(&[400, 413, 422]))
}

fn trickle(random: &mut Random) -> Act {
    Act::Trickle {
        pause: Duration::from_millis(1 + random.below(60) as u64),
    }
}

fn throttle(random: &mut Random) -> Act {
    Act::Throttle(*random.choose(&[
        RetryAfter::Now,
        RetryAfter::Past,
        RetryAfter::Nonsense,
        RetryAfter::InASecond,
    ]))
}
