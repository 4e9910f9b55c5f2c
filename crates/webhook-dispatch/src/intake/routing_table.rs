//! The targets of one configuration and their filters. A reload replaces the whole table.

use crate::intake::filter::{Candidate, Conditions, FilterFields};
use crate::intake::input_table::InputTable;
use crate::shared::stats::add;
use crate::worker::handle::{Lease, TargetHandle};
use std::sync::Arc;
use webhook_config::{Config, Target};

/// A configured target and its handle.
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

/// The targets of a routing table whose filters accept an event.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// One bit for each of the first [`BITS`] targets.
    first: u64,
    others: Vec<bool>,
}

/// The targets that need no allocation.
const BITS: usize = 64;

impl Wanted {
    fn contains(&self, index: usize) -> bool {
        match index.checked_sub(BITS) {
            None => self.first & (1 << index) != 0,
            Some(index) => self.others[index],
        }
    }

    fn remove(&mut self, index: usize) {
        match index.checked_sub(BITS) {
            None => self.first &= !(1 << index),
            Some(index) => self.others[index] = false,
        }
    }
}

/// The targets of a configuration. It is immutable, and a submitter takes it once for each event,
/// so that an event meets one configuration and not parts of two.
#[derive(Debug)]
pub(crate) struct RoutingTable {
    /// The configuration in force.
    pub(crate) config: Arc<Config>,
    /// In the order of the configuration.
    pub(crate) entries: Vec<TargetEntry>,
    pub(crate) inputs: InputTable,
    conditions: Conditions,
    /// All reliable targets, prepared for events that all of them accept.
    pub(crate) reliable: Route,
    /// Handles of targets removed since the start. One may share its name with an entry whose
    /// `delivery` differs.
    pub(crate) former: Vec<Arc<TargetHandle>>,
}

impl RoutingTable {
    /// A table after the one `before`, whose counters it continues.
    pub(crate) fn new(
        config: Arc<Config>,
        entries: Vec<TargetEntry>,
        former: Vec<Arc<TargetHandle>>,
        before: Option<&RoutingTable>,
    ) -> RoutingTable {
        RoutingTable {
            inputs: InputTable::new(&config, before.map(|before| &before.inputs)),
            conditions: Conditions::of(entries.iter().map(|entry| &*entry.target)),
            reliable: Route::new(entries.iter()),
            config,
            entries,
            former,
        }
    }

    /// The configured target of this name.
    pub(crate) fn entry(&self, name: &str) -> Option<&TargetEntry> {
        self.entries
            .iter()
            .find(|entry| &*entry.handle.name == name)
    }

    /// The targets whose filters accept an event.
    pub(crate) fn wanted(&self, fields: &FilterFields<'_>) -> Wanted {
        let event = Candidate::new(fields);
        let mut wanted = Wanted::default();
        for (index, entry) in self.entries.iter().enumerate() {
            let excluded = self.conditions.excluded_by(index, &entry.target, &event);
            let accepts = excluded.is_none();
            match index {
                0..BITS => wanted.first |= u64::from(accepts) << index,
                _ => wanted.others.push(accepts),
            }
        }
        wanted
    }

    /// The entries of these targets.
    pub(crate) fn chosen(&self, wanted: &Wanted) -> impl Iterator<Item = &TargetEntry> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(index, entry)| wanted.contains(index).then_some(entry))
    }

    /// Removes targets of these names; how many there were.
    pub(crate) fn exclude(&self, wanted: &mut Wanted, names: &[Arc<str>]) -> usize {
        let mut removed = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            if wanted.contains(index) && names.contains(&entry.handle.name) {
                wanted.remove(index);
                removed += 1;
            }
        }
        removed
    }

    /// Counts an event as filtered for all other targets.
    pub(crate) fn count_filtered(&self, wanted: &Wanted) {
        for (index, entry) in self.entries.iter().enumerate() {
            if !wanted.contains(index) {
                add(&entry.handle.counters.filtered, 1);
            }
        }
    }

    /// The handles of all targets, removed ones included.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Arc<TargetHandle>> {
        let configured = self.entries.iter().map(|entry| &entry.handle);
        configured.chain(&self.former)
    }

    /// The handles of targets whose events will still be sent: all but removed reliable targets.
    pub(crate) fn delivering(&self) -> impl Iterator<Item = &Arc<TargetHandle>> {
        let configured = self.entries.iter().map(|entry| &entry.handle);
        configured.chain(self.former.iter().filter(|handle| !handle.is_reliable()))
    }
}

/// The reliable targets of an event.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) handles: Arc<[Arc<TargetHandle>]>,
    pub(crate) names: Arc<[Arc<str>]>,
}

impl Route {
    /// The reliable ones of these targets.
    pub(crate) fn new<'a>(entries: impl Iterator<Item = &'a TargetEntry>) -> Route {
        let reliable = entries.filter(|entry| entry.handle.is_reliable());
        let handles: Vec<_> = reliable.map(|entry| Arc::clone(&entry.handle)).collect();
        Route {
            names: handles
                .iter()
                .map(|handle| Arc::clone(&handle.name))
                .collect(),
            handles: handles.into(),
        }
    }
}
