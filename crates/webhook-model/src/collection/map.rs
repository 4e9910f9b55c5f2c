//! A map like Java's immutable one: it keeps its order, has no key twice, and is equal in any
//! order.

use super::set::unordered;
use crate::hash::{Asking, JavaHash, Unhashable};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

/// From this number of entries on, an index is faster than comparing all pairs.
const INDEX_FROM: usize = 12;

/// A map from strings that keeps the order of its entries, like Guava's `ImmutableMap`.
///
/// No key occurs twice: of two entries with the same key, the position of the first and the value
/// of the last are kept. Two maps with the same entries in another order are equal and have the
/// same hash.
///
/// ```
/// use webhook_model::Map;
/// let ports: Map<i32> = [("http", 31_000), ("tcp", 31_001)].into();
/// assert_eq!(ports.get("tcp"), Some(&31_001));
/// assert_eq!(ports, [("tcp", 31_001), ("http", 31_000)].into());
/// ```
#[derive(Clone, Debug)]
pub struct Map<V> {
    entries: Vec<(String, V)>,
}

impl<V> Map<V> {
    /// The empty map.
    #[must_use]
    pub const fn new() -> Self {
        Map {
            entries: Vec::new(),
        }
    }

    /// The map of `entries`; if two have the same key, the index of the second.
    pub(crate) fn read(entries: Vec<(String, V)>) -> Result<Self, usize> {
        let repeated = if entries.len() < INDEX_FROM {
            (0..entries.len()).find(|&index| {
                let (before, rest) = entries.split_at(index);
                let key = rest.first().map(|(key, _)| key);
                before.iter().any(|(other, _)| Some(other) == key)
            })
        } else {
            let mut seen = HashSet::with_capacity(entries.len());
            entries.iter().position(|(key, _)| !seen.insert(key))
        };
        match repeated {
            Some(index) => Err(index),
            None => Ok(Map { entries }),
        }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&V> {
        self.entries
            .iter()
            .find(|(other, _)| other == key)
            .map(|(_, value)| value)
    }

    /// The entries, in the map's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &V)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the map is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<V, K: Into<String>> FromIterator<(K, V)> for Map<V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut entries: Vec<(String, V)> = Vec::new();
        for (key, value) in iter {
            let key = key.into();
            match places.get(&key).and_then(|&place| entries.get_mut(place)) {
                Some(entry) => entry.1 = value,
                None => {
                    places.insert(key.clone(), entries.len());
                    entries.push((key, value));
                }
            }
        }
        Map { entries }
    }
}

impl<V, K: Into<String>, const N: usize> From<[(K, V); N]> for Map<V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Map::new()
    }
}

impl<V: PartialEq> PartialEq for Map<V> {
    fn eq(&self, other: &Self) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if self.entries == other.entries {
            return true;
        }
        if self.len() < INDEX_FROM {
            return self
                .iter()
                .all(|(key, value)| other.get(key) == Some(value));
        }
        let others: HashMap<&str, &V> = other.iter().collect();
        self.iter()
            .all(|(key, value)| others.get(key) == Some(&value))
    }
}

impl<V: Eq> Eq for Map<V> {}

impl<V: Hash> Hash for Map<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(unordered(self.iter()));
    }
}

impl<V: JavaHash> JavaHash for Map<V> {
    /// The sum of each key's hash, xor its value's.
    fn java_hash(&self, asking: &Asking<'_>) -> Result<i32, Unhashable> {
        self.iter().try_fold(0i32, |sum, (key, value)| {
            Ok(sum.wrapping_add(key.java_hash(asking)? ^ value.java_hash(asking)?))
        })
    }
}
