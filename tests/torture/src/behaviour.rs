//! How a receiver behaves: which replies, how often, and when its port is open.

use crate::history::{Answer, Poison};
use fastrand::Rng;
use std::time::Duration;
use testkit::{Hours, Reply};

/// A receiver's behaviour during one run of webhookd.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    pub(crate) profile: Profile,
    pub(crate) hours: Hours,
    /// Tasks that it answers with failures, whatever its profile.
    pub(crate) poison: Option<Poison>,
}

/// Which replies it tends to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Only successes.
    Healthy,
    /// A bit of everything.
    Flaky,
    /// Half of the answers are 5xx and other statuses.
    Failing,
    /// Some 429 with a `Retry-After`.
    Throttling,
    /// Some requests are never answered.
    Hanging,
    /// A quarter of the connections break off.
    Breaking,
    /// Some answers come in small pieces.
    Slow,
    /// A quarter of the answers are not HTTP.
    Garbage,
    /// Some events are refused for good.
    Refusing,
    /// Nothing but failures.
    Down,
}

/// The profiles that are drawn from, and how often each misbehaves, in a thousand requests.
const PROFILES: &[(Profile, usize)] = &[
    (Profile::Healthy, 0),
    (Profile::Healthy, 0),
    (Profile::Healthy, 0),
    (Profile::Flaky, 80),
    (Profile::Flaky, 80),
    (Profile::Flaky, 80),
    (Profile::Failing, 500),
    (Profile::Throttling, 60),
    (Profile::Hanging, 30),
    (Profile::Breaking, 250),
    (Profile::Breaking, 250),
    (Profile::Slow, 150),
    (Profile::Garbage, 250),
    (Profile::Refusing, 30),
    (Profile::Down, 1_000),
];

/// What a receiver does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Resets the connection with the body unread.
    ResetUnread,
    /// Replies, which the sender may take for this answer.
    Reply(Reply, Answer),
}

const BODY: &str = "thank you...";
/// Bytes of a success before its body.
const HEAD: usize = "HTTP/1.1 200 Status\r\nContent-Length: 12\r\n\r\n".len();

const GARBAGE: &[&[u8]] = &[
    b"\0\xff\xfe not a word of HTTP \r\n\r\n",
    b"HTTP/1.1 twohundred OK\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x15\x03\x01\x00\x02\x02\x28",
];

/// Now, in a second, in the past, and in neither form.
const RETRY_AFTER: &[&str] = &["0", "1", "Fri, 03 Jun 2016 22:14:20 GMT", "soon"];

impl Behaviour {
    /// Only successes, all the time.
    pub(crate) fn healthy() -> Behaviour {
        Behaviour {
            profile: Profile::Healthy,
            hours: Hours::default(),
            poison: None,
        }
    }

    /// The same, with a port that is always open.
    pub(crate) fn always_open(self) -> Behaviour {
        Behaviour {
            hours: Hours::default(),
            ..self
        }
    }

    /// Successes for most tasks, and nothing but failures for the others.
    pub(crate) fn poisoned(random: &mut Rng) -> Behaviour {
        Behaviour {
            poison: Some(Poison {
                percent: random.u32(20..=80),
                status: *choose(random, &[404, 500]),
                seed: random.u32(..),
            }),
            ..Behaviour::healthy()
        }
    }

    /// Behaviour for a run.
    pub(crate) fn draw(random: &mut Rng) -> Behaviour {
        let mut some = |bound| Duration::from_millis(random.u64(..bound));
        let (early, late) = (some(700), Duration::from_millis(200) + some(1_500));
        let opens_late = percent(random, 20);
        Behaviour {
            profile: choose(random, PROFILES).0,
            hours: Hours {
                opens_after: if opens_late { early } else { Duration::ZERO },
                closes_after: percent(random, 15).then_some(late),
            },
            poison: None,
        }
    }
}

impl Profile {
    /// What it does with the next request.
    pub(crate) fn action(self, random: &mut Rng) -> Action {
        let known = PROFILES.iter().find(|(profile, _)| *profile == self);
        let misbehaves = known.map_or(0, |(_, share)| *share);
        if random.usize(..1_000) >= misbehaves {
            return Action::Reply(success(), Answer::Success);
        }
        match self {
            Profile::Healthy => Action::Reply(success(), Answer::Success),
            Profile::Failing | Profile::Down => fail(random),
            Profile::Throttling => throttle(random),
            Profile::Hanging => hang(),
            Profile::Breaking => break_off(random),
            Profile::Slow => in_pieces(random),
            Profile::Garbage => garbage(random),
            Profile::Refusing => refuse(random),
            Profile::Flaky => match random.usize(..13) {
                0 => in_pieces(random),
                12 => malformed_head(random),
                1..6 => break_off(random),
                6 => garbage(random),
                7 => throttle(random),
                8 => refuse(random),
                9 if percent(random, 25) => hang(),
                _ => fail(random),
            },
        }
    }
}

fn success() -> Reply {
    Reply::status(200).body(BODY)
}

/// A 2xx status line is a success, whatever the rest of the head is.
fn malformed_head(random: &mut Rng) -> Action {
    let head = *choose(
        random,
        &[
            "Set-Cookie: a=\u{1}b\r\nContent-Length: 2\r\n\r\nok",
            "X-Policy: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
            "no colon\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        ],
    );
    let reply = Reply::raw(format!("HTTP/1.1 200 Status\r\n{head}"));
    Action::Reply(reply, Answer::Success)
}

/// Breaks the connection off, which an answer may precede, in whole or in part.
fn break_off(random: &mut Rng) -> Action {
    match random.usize(..5) {
        0 => Action::ResetUnread,
        1 => Action::Reply(Reply::close(), Answer::Failure),
        2 => Action::Reply(success().then_close(), Answer::Success),
        // A status line without its end is none.
        3 => Action::Reply(success().cut_to(12).then_reset(), Answer::Failure),
        _ => Action::Reply(
            success().cut_to(HEAD + 5).then_reset(),
            Answer::MaybeSuccess,
        ),
    }
}

fn in_pieces(random: &mut Rng) -> Action {
    let pause = Duration::from_millis(random.u64(1..=60));
    Action::Reply(success().in_pieces(5, pause), Answer::Success)
}

/// The sender ends the connection.
fn hang() -> Action {
    Action::Reply(Reply::silence(), Answer::Failure)
}

fn garbage(random: &mut Rng) -> Action {
    Action::Reply(Reply::raw(*choose(random, GARBAGE)), Answer::Failure)
}

fn fail(random: &mut Rng) -> Action {
    let status = *choose(random, &[500, 500, 502, 503, 504, 301, 307, 401, 404, 408]);
    let reply = Reply::status(status).body("no");
    let reply = match status {
        301 | 307 => reply.header("Location", "/elsewhere"),
        _ => reply,
    };
    Action::Reply(reply, Answer::Failure)
}

fn throttle(random: &mut Rng) -> Action {
    let after = choose(random, RETRY_AFTER);
    let reply = Reply::status(429).header("Retry-After", after);
    Action::Reply(reply.body("no"), Answer::Failure)
}

fn refuse(random: &mut Rng) -> Action {
    let status = *choose(random, &[400, 413, 422]);
    Action::Reply(Reply::status(status).body("no"), Answer::Refusal)
}

/// Whether something happens that happens so often in a hundred times.
pub(crate) fn percent(random: &mut Rng, chance: usize) -> bool {
    random.usize(..100) < chance
}

/// One of `choices`, which are not empty.
pub(crate) fn choose<'c, T>(random: &mut Rng, choices: &'c [T]) -> &'c T {
    &choices[random.usize(..choices.len())]
}
