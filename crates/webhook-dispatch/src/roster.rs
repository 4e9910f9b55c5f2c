//! Who is delivered to at a moment: what a reload replaces as a whole.

use crate::line::{Line, Presence};
use crate::stats::add;
use crate::submit::Route;
use std::sync::Arc;
use webhook_config::{Config, Target};

/// A target of the configuration, and its line.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) line: Arc<Line>,
    pub(crate) target: Arc<Target>,
    _presence: Arc<Presence>,
}

impl Seat {
    pub(crate) fn new(line: Arc<Line>, target: Arc<Target>) -> Seat {
        Seat {
            _presence: line.presence(),
            line,
            target,
        }
    }
}

/// The targets of a configuration, as submitters see them. It never changes: submitters take it
/// once for each event, so that an event meets one configuration and not parts of two.
#[derive(Debug)]
pub(crate) struct Roster {
    /// What is in force.
    pub(crate) config: Arc<Config>,
    /// In the order of the configuration.
    pub(crate) seats: Vec<Seat>,
    /// The reliable ones, for the usual event that all of them want.
    pub(crate) reliable: Route,
    /// Lines of targets that were removed since the start. One may have the name of a seat, whose
    /// `delivery` is another then.
    pub(crate) former: Vec<Arc<Line>>,
}

impl Roster {
    pub(crate) fn new(config: Arc<Config>, seats: Vec<Seat>, former: Vec<Arc<Line>>) -> Roster {
        let lines = seats.iter().map(|seat| &seat.line);
        Roster {
            reliable: Route::new(lines.filter(|line| line.is_reliable()).cloned().collect()),
            config,
            seats,
            former,
        }
    }

    /// The target of this name.
    pub(crate) fn seat(&self, name: &str) -> Option<&Seat> {
        self.seats.iter().find(|seat| &*seat.line.name == name)
    }

    /// Counts an event for those whose filters left it out.
    pub(crate) fn count_filtered(&self, wanted: &[bool]) {
        for (seat, wanted) in self.seats.iter().zip(wanted) {
            if !wanted {
                add(&seat.line.counters.filtered, 1);
            }
        }
    }

    /// Every line that there has been.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Arc<Line>> {
        let seated = self.seats.iter().map(|seat| &seat.line);
        seated.chain(&self.former)
    }

    /// The lines whose events are yet to be delivered: what a removed reliable target is owed is
    /// not.
    pub(crate) fn delivering(&self) -> impl Iterator<Item = &Arc<Line>> {
        let seated = self.seats.iter().map(|seat| &seat.line);
        seated.chain(self.former.iter().filter(|line| !line.is_reliable()))
    }
}
