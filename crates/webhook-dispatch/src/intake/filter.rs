//! The filters of targets: which of them excludes an event, if any.

use crate::delivery::legible;
use std::borrow::Cow;
use std::cell::OnceCell;
use webhook_config::Target;
use webhook_event::{Fragment, PointerSet};

/// What the filters ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FilterFields<'a> {
    /// The name of its input; empty for the default one.
    pub(crate) input: &'a str,
    pub(crate) state: Option<&'a str>,
    /// Whether it has no old state.
    pub(crate) is_initial: bool,
    /// The parts of its job's path; empty if it has none.
    pub(crate) job: &'a [Cow<'a, str>],
    /// Its bytes, as submitted.
    pub(crate) event: &'a [u8],
}

/// A filter of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Inputs,
    InitialEvents,
    Statuses,
    Jobs,
    /// The condition of this index.
    Where(usize),
}

/// The pointers of all targets' conditions, so that an event is searched once for all of them.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pointers: PointerSet,
    /// For each condition of each target its pointer's index in `pointers`.
    places: Vec<Vec<usize>>,
}

/// An event before the filters. Its bytes are searched when the first condition is reached.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    fields: &'a FilterFields<'a>,
    found: OnceCell<Vec<Option<Fragment<'a>>>>,
}

impl Conditions {
    pub(crate) fn of<'a>(targets: impl Iterator<Item = &'a Target>) -> Conditions {
        let mut pointers = PointerSet::default();
        let places = targets
            .map(|target| {
                let conditions = target.conditions().iter();
                conditions.map(|it| pointers.add(it.at())).collect()
            })
            .collect();
        Conditions { pointers, places }
    }

    /// The value that a target's condition tests; `None` if the event has none.
    pub(crate) fn value<'a>(
        &self,
        target: usize,
        condition: usize,
        event: &Candidate<'a>,
    ) -> Option<Fragment<'a>> {
        // Each event was read before it is filtered, so it is JSON.
        let search = || self.pointers.read(event.fields.event).unwrap_or_default();
        let place = *self.places.get(target)?.get(condition)?;
        event
            .found
            .get_or_init(search)
            .get(place)
            .copied()
            .flatten()
    }

    /// The first filter of a target that excludes an event; `index` is the target's.
    pub(crate) fn excluded_by(
        &self,
        index: usize,
        target: &Target,
        event: &Candidate<'_>,
    ) -> Option<Filter> {
        let fields = event.fields;
        if !target.inputs().accepts(fields.input) {
            return Some(Filter::Inputs);
        }
        if fields.is_initial && !target.initial_events() {
            return Some(Filter::InitialEvents);
        }
        if !target.statuses().accepts(fields.state) {
            return Some(Filter::Statuses);
        }
        if !target.jobs().accepts(fields.job) {
            return Some(Filter::Jobs);
        }
        let mut conditions = target.conditions().iter().enumerate();
        let failed = conditions.find(|(number, condition)| {
            !condition.holds(self.value(index, *number, event).as_ref())
        });
        failed.map(|(number, _)| Filter::Where(number))
    }
}

impl Conditions {
    /// Why this filter of a target excludes an event.
    pub(crate) fn explanation(
        &self,
        index: usize,
        target: &Target,
        event: &Candidate<'_>,
        filter: Filter,
    ) -> String {
        let fields = event.fields;
        match filter {
            Filter::Inputs if fields.input.is_empty() => {
                "inputs: it is an event of the default input".to_owned()
            }
            Filter::Inputs => format!("inputs: it is an event of {}", legible(fields.input)),
            Filter::InitialEvents => "initialEvents: it has no old state".to_owned(),
            Filter::Statuses => match fields.state {
                Some(state) => format!("statuses: its state is {}", legible(state)),
                None => "statuses: it has no state".to_owned(),
            },
            Filter::Jobs => match fields.job {
                [] => "jobs: it has no job".to_owned(),
                job => format!("jobs: its job is {}", legible(&job.join("/"))),
            },
            Filter::Where(number) => {
                let at = match target.conditions()[number].at().to_string() {
                    at if at.is_empty() => "the root".to_owned(),
                    at => at,
                };
                let found = match self.value(index, number, event) {
                    Some(value) => legible(&String::from_utf8_lossy(value.bytes())),
                    None => "nothing".to_owned(),
                };
                format!("where[{number}] at {at}: found {found}")
            }
        }
    }
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(fields: &'a FilterFields<'a>) -> Candidate<'a> {
        let found = OnceCell::new();
        Candidate { fields, found }
    }
}
