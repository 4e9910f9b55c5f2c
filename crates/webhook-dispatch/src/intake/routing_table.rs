//! Who is delivered to at a moment: what a reload replaces as a whole.

use crate::intake::Route;
use crate::shared::stats::add;
use crate::worker::handle::{Line, Presence};
use std::sync::Arc;
use webhook_config::{Config, Target};
use webhook_model::EventHeader;

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

/// Which targets of a roster want an event.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// A bit for each of the first.
    by_few: u64,
    by_others: Vec<bool>,
}

/// Targets that need no allocation.
const FEW: usize = 64;

impl Wanted {
    fn by(&self, place: usize) -> bool {
        match place.checked_sub(FEW) {
            None => self.by_few & (1 << place) != 0,
            Some(place) => self.by_others[place],
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

    /// Asks the filters of each target.
    pub(crate) fn wanted(&self, header: &EventHeader<'_>) -> Wanted {
        let mut wanted = Wanted::default();
        for (place, seat) in self.seats.iter().enumerate() {
            let wants = seat.target.accepts(header);
            match place {
                0..FEW => wanted.by_few |= u64::from(wants) << place,
                _ => wanted.by_others.push(wants),
            }
        }
        wanted
    }

    /// The targets that want an event.
    pub(crate) fn chosen(&self, wanted: &Wanted) -> impl Iterator<Item = &Seat> {
        let seats = self.seats.iter().enumerate();
        seats.filter_map(|(place, seat)| wanted.by(place).then_some(seat))
    }

    /// Counts an event for those whose filters left it out.
    pub(crate) fn count_filtered(&self, wanted: &Wanted) {
        for (place, seat) in self.seats.iter().enumerate() {
            if !wanted.by(place) {
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
