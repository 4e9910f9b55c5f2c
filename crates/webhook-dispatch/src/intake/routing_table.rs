//! Where events go at a moment: the targets of one configuration. A reload replaces it as a whole.

use crate::shared::stats::add;
use crate::worker::handle::{Lease, TargetHandle};
use std::sync::Arc;
use webhook_config::{Config, Target};
use webhook_model::EventHeader;

/// A target of the configuration, and its handle.
#[derive(Clone, Debug)]
pub(crate) struct TargetEntry {
    pub(crate) handle: Arc<TargetHandle>,
    pub(crate) target: Arc<Target>,
    _lease: Arc<Lease>,
}

impl TargetEntry {
    pub(crate) fn new(handle: Arc<TargetHandle>, target: Arc<Target>) -> TargetEntry {
        TargetEntry {
            _lease: handle.lease(),
            handle,
            target,
        }
    }
}

/// Which targets of a routing table want an event.
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
pub(crate) struct RoutingTable {
    /// What is in force.
    pub(crate) config: Arc<Config>,
    /// In the order of the configuration.
    pub(crate) entries: Vec<TargetEntry>,
    /// The reliable ones, for the usual event that all of them want.
    pub(crate) reliable: Route,
    /// Handles of targets that were removed since the start. One may have the name of an entry,
    /// whose `delivery` is different then.
    pub(crate) former: Vec<Arc<TargetHandle>>,
}

impl RoutingTable {
    pub(crate) fn new(
        config: Arc<Config>,
        entries: Vec<TargetEntry>,
        former: Vec<Arc<TargetHandle>>,
    ) -> RoutingTable {
        let handles = entries.iter().map(|entry| &entry.handle);
        RoutingTable {
            reliable: Route::new(
                handles
                    .filter(|handle| handle.is_reliable())
                    .cloned()
                    .collect(),
            ),
            config,
            entries,
            former,
        }
    }

    /// The target of this name.
    pub(crate) fn entry(&self, name: &str) -> Option<&TargetEntry> {
        self.entries
            .iter()
            .find(|entry| &*entry.handle.name == name)
    }

    /// Asks the filters of each target.
    pub(crate) fn wanted(&self, header: &EventHeader<'_>) -> Wanted {
        let mut wanted = Wanted::default();
        for (place, entry) in self.entries.iter().enumerate() {
            let wants = entry.target.accepts(header);
            match place {
                0..FEW => wanted.by_few |= u64::from(wants) << place,
                _ => wanted.by_others.push(wants),
            }
        }
        wanted
    }

    /// The targets that want an event.
    pub(crate) fn chosen(&self, wanted: &Wanted) -> impl Iterator<Item = &TargetEntry> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(place, entry)| wanted.by(place).then_some(entry))
    }

    /// Counts an event for those whose filters left it out.
    pub(crate) fn count_filtered(&self, wanted: &Wanted) {
        for (place, entry) in self.entries.iter().enumerate() {
            if !wanted.by(place) {
                add(&entry.handle.counters.filtered, 1);
            }
        }
    }

    /// Every handle that there has been.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Arc<TargetHandle>> {
        let entryed = self.entries.iter().map(|entry| &entry.handle);
        entryed.chain(&self.former)
    }

    /// The handles whose events are yet to be delivered: what a removed reliable target is owed is
    /// not.
    pub(crate) fn delivering(&self) -> impl Iterator<Item = &Arc<TargetHandle>> {
        let entryed = self.entries.iter().map(|entry| &entry.handle);
        entryed.chain(self.former.iter().filter(|handle| !handle.is_reliable()))
    }
}

/// The reliable targets of an event.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) handles: Arc<[Arc<TargetHandle>]>,
    pub(crate) names: Arc<[Arc<str>]>,
}

impl Route {
    pub(crate) fn new(handles: Vec<Arc<TargetHandle>>) -> Route {
        Route {
            names: handles
                .iter()
                .map(|handle| Arc::clone(&handle.name))
                .collect(),
            handles: handles.into(),
        }
    }
}
