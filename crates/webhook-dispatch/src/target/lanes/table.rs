//! The lanes of a target, by number and by their task's key.

use super::content::Content;
use super::delivery::{Delivery, LaneId};
use super::lane::{Lane, State};
use hashbrown::HashTable;
use slab::Slab;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// How many buffers of removed lanes are kept for reuse, and the largest capacity of each.
const SPARE: usize = 64;

/// The hash of a task's key in one table.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHash(u64);

#[derive(Debug, Default)]
pub(super) struct LaneTable {
    lanes: Slab<Lane>,
    /// The index in `lanes` of each task's lane.
    by_key: HashTable<usize>,
    /// Seeded at random, since keys come from outside and must not be chosen to collide.
    hasher: RandomState,
    /// Empty buffers of removed lanes.
    spare: Vec<VecDeque<(Delivery, Content)>>,
}

impl LaneTable {
    /// Hashes a key once, to look for its lane and to add it.
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.hasher.hash_one(key))
    }

    pub(super) fn find(&self, KeyHash(hash): KeyHash, key: &[u8]) -> Option<LaneId> {
        let found = self.by_key.find(hash, |&at| *self.lanes[at].key == *key);
        found.copied().map(LaneId)
    }

    /// Adds a lane without events, to be read back if the queue holds `more` of them.
    pub(super) fn add(&mut self, key: Arc<[u8]>, KeyHash(hash): KeyHash, more: bool) -> LaneId {
        let at = self.lanes.insert(Lane {
            key,
            hash,
            state: State::Reading,
            events: self.spare.pop().unwrap_or_default(),
            bytes: 0,
            in_flight: 0,
            more,
            waiting: None,
            waiting_more: Vec::new(),
        });
        let lanes = &self.lanes;
        self.by_key.insert_unique(hash, at, |&at| lanes[at].hash);
        LaneId(at)
    }

    pub(super) fn remove(&mut self, id: LaneId) {
        let lane = self.lanes.remove(id.0);
        if let Ok(entry) = self.by_key.find_entry(lane.hash, |&at| at == id.0) {
            entry.remove();
        }
        debug_assert_eq!(self.by_key.len(), self.lanes.len());
        let mut events = lane.events;
        if self.spare.len() < SPARE && events.capacity() <= SPARE {
            events.clear();
            self.spare.push(events);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LaneId, &Lane)> {
        self.lanes.iter().map(|(at, lane)| (LaneId(at), lane))
    }
}

impl Index<LaneId> for LaneTable {
    type Output = Lane;

    fn index(&self, id: LaneId) -> &Lane {
        &self.lanes[id.0]
    }
}

impl IndexMut<LaneId> for LaneTable {
    fn index_mut(&mut self, id: LaneId) -> &mut Lane {
        &mut self.lanes[id.0]
    }
}
