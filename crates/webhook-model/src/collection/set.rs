//! A set like Java's immutable one: it keeps its order, has no element twice, and is equal in any
//! order.

use crate::hash::{Asking, JavaHash, Jvm, Unhashable};
use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::ops::Deref;

/// From this number of elements on, an index is faster than comparing all pairs.
const INDEX_FROM: usize = 12;

/// A set that keeps the order of its elements, like Guava's `ImmutableSet`.
///
/// No two elements are equal. Two sets with the same elements in another order are equal and have
/// the same hash. A set dereferences to a slice.
///
/// Building a set of two or more elements computes and caches the hash of each, as Java does; see
/// [`TaskConfig::cached_hash_code`](crate::TaskConfig::cached_hash_code).
///
/// ```
/// use webhook_model::Set;
/// let ports: Set<String> = ["tcp", "http", "tcp"].map(String::from).into();
/// assert_eq!(*ports, ["tcp", "http"]);
/// assert_eq!(ports, ["http", "tcp"].map(String::from).into());
/// ```
#[derive(Clone, Debug)]
pub struct Set<T> {
    elements: Vec<T>,
}

impl<T> Set<T> {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Set {
            elements: Vec::new(),
        }
    }
}

impl<T: Eq + Hash> Set<T> {
    /// The set of `elements`, without computing their hashes; if two are equal, their indices.
    pub(crate) fn read(elements: Vec<T>) -> Result<Self, (usize, usize)> {
        match first_repeated(&elements) {
            Some(pair) => Err(pair),
            None => Ok(Set { elements }),
        }
    }

    /// Changes each element, and then keeps the first of equal ones.
    pub(crate) fn change_each(&mut self, change: impl FnMut(&mut T)) {
        self.elements.iter_mut().for_each(change);
        drop_repeated(&mut self.elements);
    }

    /// Whether an equal element is in the set.
    #[must_use]
    pub fn contains(&self, element: &T) -> bool {
        self.elements.contains(element)
    }
}

fn first_repeated<T: Eq + Hash>(elements: &[T]) -> Option<(usize, usize)> {
    if elements.len() < INDEX_FROM {
        for (index, element) in elements.iter().enumerate() {
            if let Some(first) = elements
                .iter()
                .take(index)
                .position(|other| other == element)
            {
                return Some((first, index));
            }
        }
        return None;
    }
    let mut seen = HashSet::with_capacity(elements.len());
    let index = elements.iter().position(|element| !seen.insert(element))?;
    let first = elements
        .iter()
        .position(|other| Some(other) == elements.get(index))?;
    Some((first, index))
}

/// Keeps the first of equal elements.
fn drop_repeated<T: Eq + Hash>(elements: &mut Vec<T>) {
    if first_repeated(elements).is_none() {
        return;
    }
    let mut seen = HashSet::new();
    let first: Vec<bool> = elements
        .iter()
        .map(|element| seen.insert(element))
        .collect();
    let mut first = first.into_iter();
    elements.retain(|_| first.next().unwrap_or(true));
}

impl<T: Eq + Hash + JavaHash> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
        let mut elements: Vec<T> = iter.into_iter().collect();
        let asked = elements.len() > 1;
        drop_repeated(&mut elements);
        if asked {
            for element in &elements {
                let hash = element.java_hash(&Asking::caching(Jvm::fixed()));
                debug_assert!(hash.is_ok(), "the fixed table knows every constant");
            }
        }
        Set { elements }
    }
}

impl<T: Eq + Hash + JavaHash, const N: usize> From<[T; N]> for Set<T> {
    fn from(elements: [T; N]) -> Self {
        elements.into_iter().collect()
    }
}

impl<T: Eq + Hash + JavaHash> From<Vec<T>> for Set<T> {
    fn from(elements: Vec<T>) -> Self {
        elements.into_iter().collect()
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Set::new()
    }
}

impl<T> Deref for Set<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.elements
    }
}

impl<'a, T> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.iter()
    }
}

impl<T: Eq + Hash> PartialEq for Set<T> {
    fn eq(&self, other: &Self) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if self.elements == other.elements {
            return true;
        }
        if self.len() < INDEX_FROM {
            return self.iter().all(|element| other.contains(element));
        }
        let others: HashSet<&T> = other.iter().collect();
        self.iter().all(|element| others.contains(element))
    }
}

impl<T: Eq + Hash> Eq for Set<T> {}

impl<T: Hash> Hash for Set<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(unordered(self.iter()));
    }
}

/// A hash of the elements that does not depend on their order.
pub(crate) fn unordered<T: Hash>(elements: impl Iterator<Item = T>) -> u64 {
    let hashes = BuildHasherDefault::<DefaultHasher>::new();
    elements.fold(0, |sum, element| sum.wrapping_add(hashes.hash_one(element)))
}

impl<T: JavaHash> JavaHash for Set<T> {
    /// The sum of the elements' hashes.
    fn java_hash(&self, asking: &Asking<'_>) -> Result<i32, Unhashable> {
        self.iter().try_fold(0i32, |sum, element| {
            Ok(sum.wrapping_add(element.java_hash(asking)?))
        })
    }
}
