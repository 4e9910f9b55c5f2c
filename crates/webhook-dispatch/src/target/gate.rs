//! Whether an attempt may start: circuit breaker, rate limit, `Retry-After`, 410 and pause.

use crate::shared::{BreakerState, Hold, HoldReason};
use crate::target::breaker::{Admission, Breaker, Evidence, Health};
use crate::target::rate::RateLimit;
use crate::target::state_change::StateChange;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_config::Target;

/// The gate of a target. A best-effort target's gate gets no results of attempts, so only the rate
/// limit and a pause block it.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    breaker: Breaker,
    rate: Option<RateLimit>,
    /// Until when it is held, and why.
    hold: Option<(Instant, Arc<Hold>)>,
    /// A hold that began or ended, and is to be stored.
    changed_hold: Option<Hold>,
    /// The hold by the breaker, while refused events are kept.
    refusals: Arc<Hold>,
    gone: bool,
    paused: bool,
    max_refusals: usize,
    /// The number of changes of settings.
    era: u32,
}

/// The permission to make one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    /// The probe's number, if the attempt is the probe of a half-open breaker.
    probe: Option<u64>,
    /// The gate's era when the permit was granted.
    era: u32,
    /// How many events it is for.
    events: u32,
}

/// Why an attempt may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Ask again at this time.
    Until(Instant),
    /// Ask again when an attempt has ended or an operator has acted.
    UntilChange,
}

impl Permit {
    /// How many events the rate limit permits.
    pub(super) fn events(self) -> usize {
        usize::try_from(self.events).unwrap_or(usize::MAX)
    }
}

impl Gate {
    pub(crate) fn new(target: &Target, now: Instant) -> Gate {
        let per_second = target.max_per_second();
        Gate {
            breaker: Breaker::new(max_refusals(target)),
            rate: per_second.map(|per_second| RateLimit::new(per_second, most_events(target), now)),
            max_refusals: max_refusals(target),
            hold: None,
            changed_hold: None,
            refusals: refusals(target),
            gone: false,
            paused: false,
            era: 0,
        }
    }

    /// Asks for a permit for so many events. Use it for an attempt, by [`use_for`](Self::use_for), or
    /// give it back by [`unused`](Self::unused).
    pub(crate) fn ask(&mut self, now: Instant, events: usize) -> Result<Permit, Blocked> {
        if self.gone || self.paused {
            return Err(Blocked::UntilChange);
        }
        if let Some((until, _)) = self.hold {
            if now < until {
                return Err(Blocked::Until(until));
            }
            self.hold = None;
        }
        let mut events = u32::try_from(events).unwrap_or(u32::MAX);
        if let Some(rate) = &mut self.rate {
            events = rate.take(now, events).map_err(Blocked::Until)?;
        }
        let blocked = match self.breaker.ask(now) {
            Admission::Granted => return Ok(self.permit(None, events)),
            Admission::Probe(number) => return Ok(self.permit(Some(number), events)),
            Admission::NotBefore(until) => Blocked::Until(until),
            Admission::Probing => Blocked::UntilChange,
        };
        if let Some(rate) = &mut self.rate {
            rate.give_back(events);
        }
        Err(blocked)
    }

    /// Adjusts a permit to the number of events that the attempt has.
    pub(crate) fn use_for(&mut self, mut permit: Permit, events: usize) -> Permit {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        if let Some(rate) = &mut self.rate {
            rate.charge(events.saturating_sub(permit.events));
            rate.give_back(permit.events.saturating_sub(events));
        }
        permit.events = events;
        permit
    }

    /// Counts an attempt that was made without a permit of its own into the rate.
    pub(crate) fn charge(&mut self, permit: Permit) {
        if let Some(rate) = &mut self.rate {
            rate.charge(permit.events);
        }
    }

    fn permit(&self, probe: Option<u64>, events: u32) -> Permit {
        Permit {
            probe,
            era: self.era,
            events,
        }
    }

    /// Whether the permit was granted under the current settings. The result of an attempt under
    /// old settings does not describe the current receiver.
    pub(crate) fn is_current(&self, permit: Permit) -> bool {
        permit.era == self.era
    }

    /// Gives back the permit of an attempt that was not made.
    pub(crate) fn unused(&mut self, permit: Permit, now: Instant) {
        if self.is_current(permit) {
            self.breaker.unused(permit.probe, now);
        }
        if let Some(rate) = &mut self.rate
            && permit.era == self.era
        {
            rate.give_back(permit.events);
        }
    }

    /// Records an attempt's result. `back_off` computes how long the breaker stays open from the
    /// number of openings in a row (from 1); `idle` is how long nothing is to be delivered or
    /// attempted before an event is attempted early.
    pub(crate) fn record(
        &mut self,
        permit: Permit,
        health: Health,
        evidence: &Evidence,
        now: Instant,
        idle: Duration,
        back_off: impl FnOnce(u32) -> Duration,
    ) -> Option<StateChange> {
        if !self.is_current(permit) {
            return None;
        }
        self.breaker
            .record(health, evidence, permit.probe, now, idle, back_off)
    }

    /// Blocks all attempts before `until`, unless they are blocked for longer.
    pub(crate) fn hold(&mut self, until: Instant, hold: Hold) {
        if self.hold.as_ref().is_none_or(|(held, _)| *held < until) {
            self.changed_hold = Some(hold.clone());
            self.hold = Some((until, Arc::new(hold)));
        }
    }

    /// Takes the hold that began since the last call; one without a time if a hold was ended before
    /// its time.
    pub(crate) fn take_changed_hold(&mut self) -> Option<Hold> {
        self.changed_hold.take()
    }

    /// Why it is held, if it is.
    pub(crate) fn current_hold(&self, now: Instant) -> Option<&Arc<Hold>> {
        let asked = self.hold.as_ref().filter(|(until, _)| now < *until);
        let asked = asked.map(|(_, hold)| hold);
        asked.or_else(|| self.keeps_refused().then_some(&self.refusals))
    }

    /// When its hold ends.
    pub(crate) fn hold_end(&self) -> Option<Instant> {
        self.hold.as_ref().map(|(until, _)| *until)
    }

    /// Blocks all attempts until the target is restarted. True if it was not stopped before.
    pub(crate) fn stop(&mut self) -> bool {
        !std::mem::replace(&mut self.gone, true)
    }

    /// Pauses or resumes.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Ends a stop by a 410. True if there was one.
    pub(crate) fn reopen(&mut self) -> bool {
        std::mem::take(&mut self.gone)
    }

    /// Continues under other settings: the receiver may be another, so its state is forgotten.
    pub(crate) fn reconfigure(&mut self, target: &Target, now: Instant) {
        self.max_refusals = max_refusals(target);
        self.refusals = refusals(target);
        self.restart();
        self.era = self.era.wrapping_add(1);
        let per_second = target.max_per_second();
        let most = most_events(target);
        let limits = |rate: &RateLimit| (rate.per_second(), rate.most());
        if self.rate.as_ref().map(limits) != per_second.map(|per_second| (per_second, most)) {
            self.rate = per_second.map(|per_second| RateLimit::new(per_second, most, now));
        }
    }

    /// Whether an operator has paused it.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Closes the breaker, and ends a hold and a stop.
    pub(crate) fn restart(&mut self) {
        self.breaker.reset(self.max_refusals);
        if self.hold.take().is_some() {
            self.changed_hold = Some(Hold {
                reason: HoldReason::RetryAfter,
                until: None,
                detail: String::new(),
            });
        }
        self.gone = false;
    }

    /// When an event may be attempted before its back-off has passed, if nothing else is to be
    /// attempted.
    pub(crate) fn early_at(&self) -> Option<Instant> {
        if self.is_held() {
            return None;
        }
        let at = self.breaker.early_at()?;
        Some(self.hold_end().map_or(at, |held| held.max(at)))
    }

    /// Whether nothing was delivered for so long that the receiver may be the reason.
    pub(crate) fn is_failing(&self) -> bool {
        self.breaker.is_failing()
    }

    /// Whether so many events in a row were refused that no more are to be given up.
    pub(crate) fn keeps_refused(&self) -> bool {
        self.breaker.keeps_refused()
    }

    /// How often the receiver has shown that it works.
    pub(crate) fn recoveries(&self) -> u32 {
        self.breaker.recoveries()
    }

    /// Whether the breaker is not closed.
    pub(crate) fn is_down(&self) -> bool {
        self.breaker.state() != BreakerState::Closed
    }

    /// Whether nothing is sent until an operator acts.
    pub(crate) fn is_held(&self) -> bool {
        self.gone || self.paused
    }

    /// When an open breaker admits the next attempt.
    pub(crate) fn open_until(&self) -> Option<Instant> {
        self.breaker.open_until().filter(|_| !self.gone)
    }

    /// The state for statistics.
    pub(crate) fn state(&self) -> BreakerState {
        if self.gone {
            BreakerState::Stopped
        } else {
            self.breaker.state()
        }
    }
}

/// The most events in an attempt.
fn most_events(target: &Target) -> u32 {
    let batch = target.batch().map_or(1, |batch| batch.max_events().get());
    u32::try_from(batch).unwrap_or(u32::MAX)
}

fn refusals(target: &Target) -> Arc<Hold> {
    Arc::new(Hold {
        reason: HoldReason::Refusals,
        until: None,
        detail: format!(
            "refused the events of {} tasks in a row",
            target.breaker().max_refusals()
        ),
    })
}

fn max_refusals(target: &Target) -> usize {
    target.breaker().max_refusals().get() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::breaker::Breaker;
    use std::num::{NonZeroU32, NonZeroUsize};
    use webhook_config::{BatchPolicy, Format, TargetUrl};

    const SECOND: Duration = Duration::from_secs(1);

    fn target(per_second: Option<u32>) -> Target {
        Target::builder(TargetUrl::parse("http://localhost:1/").unwrap())
            .max_per_second(per_second.and_then(NonZeroU32::new))
            .build()
            .unwrap()
    }

    fn gate(per_second: Option<u32>, now: Instant) -> Gate {
        Gate::new(&target(per_second), now)
    }

    /// Records as many failures as open the breaker, for this time.
    fn open(gate: &mut Gate, permit: Permit, now: Instant, back_off: Duration) {
        for key in 0..Breaker::UNREACHABLE {
            let evidence = Evidence {
                key: key as u64,
                keys: 100,
                failed_in: None,
            };
            gate.record(permit, Health::Unreachable, &evidence, now, SECOND, |_| {
                back_off
            });
        }
        assert!(gate.is_down());
    }

    #[test]
    fn a_hold_lasts_as_long_as_the_longest_asked_for() {
        let now = Instant::now();
        let mut gate = gate(None, now);
        let hold = Hold {
            reason: HoldReason::RetryAfter,
            until: None,
            detail: String::new(),
        };
        let is_longer = |gate: &mut Gate, until| {
            gate.hold(until, hold.clone());
            gate.take_changed_hold().is_some()
        };
        assert!(is_longer(&mut gate, now + 3 * SECOND));
        assert!(!is_longer(&mut gate, now + SECOND));
        assert!(!is_longer(&mut gate, now + 3 * SECOND));
        assert_eq!(gate.hold_end(), Some(now + 3 * SECOND));
        assert!(gate.current_hold(now + 2 * SECOND).is_some());
        assert!(gate.current_hold(now + 3 * SECOND).is_none());
        assert_eq!(
            gate.ask(now + 2 * SECOND, 1),
            Err(Blocked::Until(now + 3 * SECOND))
        );
        assert!(gate.ask(now + 3 * SECOND, 1).is_ok());
        assert!(is_longer(&mut gate, now + 4 * SECOND));
        assert!(is_longer(&mut gate, now + 5 * SECOND));
        assert_eq!(gate.hold_end(), Some(now + 5 * SECOND));
    }

    #[test]
    fn the_time_of_the_next_attempt_is_known_while_the_breaker_is_open() {
        let now = Instant::now();
        let mut gate = gate(None, now);
        assert_eq!(gate.open_until(), None);
        let permit = gate.ask(now, 1).unwrap();
        open(&mut gate, permit, now, SECOND);
        assert_eq!(gate.open_until(), Some(now + SECOND));
        gate.stop();
        assert_eq!(gate.open_until(), None, "a stopped target gets none");
    }

    #[test]
    fn each_event_of_an_attempt_counts_into_the_rate_also_of_one_that_is_made_again() {
        let now = Instant::now();
        let ten = NonZeroUsize::new(10).unwrap();
        let most_bytes = NonZeroUsize::new(1 << 20).unwrap();
        let batch = BatchPolicy::new(ten, most_bytes, SECOND);
        let target = Target::builder(TargetUrl::parse("http://localhost:1/").unwrap())
            .format(Format::Ndjson)
            .batch(Some(batch))
            .max_per_second(NonZeroU32::new(100))
            .build()
            .unwrap();
        let mut gate = Gate::new(&target, now);
        let permit = gate.ask(now, 4).unwrap();
        assert_eq!(permit.events(), 4);
        let permit = gate.use_for(permit, 3);
        assert_eq!(permit.events(), 3);
        // Of ten at once, seven are left; made again, the attempt takes three of them.
        gate.charge(permit);
        let ask = |gate: &mut Gate, events| gate.ask(now, events).map(Permit::events);
        assert!(ask(&mut gate, 5).is_err());
        assert_eq!(ask(&mut gate, 4), Ok(4));
        assert!(ask(&mut gate, 1).is_err());
        gate.reconfigure(&target, now);
        assert!(ask(&mut gate, 1).is_err(), "the rate is the same");
    }

    #[test]
    fn an_attempt_that_the_breaker_blocks_does_not_count_into_the_rate() {
        let now = Instant::now();
        let mut gate = gate(Some(1), now);
        let permit = gate.ask(now, 1).unwrap();
        open(&mut gate, permit, now, SECOND);
        for _ in 0..5 {
            assert!(gate.ask(now + SECOND / 2, 1).is_err());
        }
        assert!(gate.ask(now + 2 * SECOND, 1).is_ok(), "the probe");
    }

    #[test]
    fn a_stop_blocks_until_the_restart_and_a_pause_until_its_end() {
        let now = Instant::now();
        let mut gate = gate(None, now);
        assert!(gate.stop());
        assert!(!gate.stop(), "it was stopped before");
        assert_eq!(gate.state(), BreakerState::Stopped);
        assert_eq!(gate.ask(now + 1_000 * SECOND, 1), Err(Blocked::UntilChange));
        assert!(gate.reopen());
        assert!(!gate.reopen(), "it was not stopped");
        assert_eq!(gate.state(), BreakerState::Closed);
        gate.stop();
        gate.restart();
        gate.pause(true);
        assert!(gate.is_held());
        assert_eq!(gate.ask(now, 1), Err(Blocked::UntilChange));
        gate.pause(false);
        assert!(gate.ask(now, 1).is_ok());
    }

    #[test]
    fn new_settings_forget_what_was_known_of_the_receiver_and_keep_a_pause() {
        let now = Instant::now();
        let mut gate = gate(None, now);
        assert!(!gate.is_down());
        assert!(!gate.is_paused());
        let permit = gate.ask(now, 1).unwrap();
        open(&mut gate, permit, now, SECOND);
        let hold = Hold {
            reason: HoldReason::RetryAfter,
            until: None,
            detail: String::new(),
        };
        gate.hold(now + SECOND, hold);
        gate.stop();
        gate.pause(true);
        assert!(gate.is_paused());
        gate.reconfigure(&target(None), now);
        assert!(!gate.is_down());
        assert_eq!(gate.hold_end(), None);
        assert_eq!(gate.state(), BreakerState::Closed);
        assert_eq!(gate.ask(now, 1), Err(Blocked::UntilChange));
        assert!(gate.is_paused());
        gate.pause(false);
        // Results of attempts under the old settings count for nothing.
        let evidence = Evidence {
            key: 0,
            keys: 1,
            failed_in: None,
        };
        for _ in 0..100 {
            gate.record(permit, Health::Unreachable, &evidence, now, SECOND, |_| {
                SECOND
            });
        }
        assert!(!gate.is_current(permit));
        assert!(!gate.is_down());
        let permit = gate.ask(now, 1).unwrap();
        assert!(gate.is_current(permit));
    }

    #[test]
    fn new_settings_start_another_rate_and_continue_an_equal_one() {
        let now = Instant::now();
        let mut gate = gate(Some(1), now);
        let permit = gate.ask(now, 1).unwrap();
        gate.reconfigure(&target(Some(1)), now);
        assert!(gate.ask(now, 1).is_err(), "the second is not over");
        // A token that was taken under the old settings is not given back.
        gate.unused(permit, now);
        assert!(gate.ask(now, 1).is_err());
        gate.reconfigure(&target(Some(2)), now);
        assert!(gate.ask(now, 1).is_ok());
        assert!(gate.ask(now, 1).is_err());
        gate.reconfigure(&target(None), now);
        assert!(gate.ask(now, 1).is_ok());
    }

    #[test]
    fn an_unused_permit_gives_its_probe_and_its_token_back() {
        let now = Instant::now();
        let mut gate = gate(Some(1), now);
        let permit = gate.ask(now, 1).unwrap();
        open(&mut gate, permit, now, Duration::ZERO);
        let later = now + 2 * SECOND;
        let probe = gate.ask(later, 1).unwrap();
        gate.unused(probe, later);
        assert!(gate.ask(later, 1).is_ok());
    }
}
