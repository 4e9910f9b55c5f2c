//! The identity hashes of Java's enum constants.

use crate::Release;
use std::collections::BTreeMap;
use std::fmt;

/// The constants whose identity goes into a hash, in the order of the table.
const KNOWN: [&str; 31] = [
    "ScheduleStatus.INIT",
    "ScheduleStatus.THROTTLED",
    "ScheduleStatus.PENDING",
    "ScheduleStatus.ASSIGNED",
    "ScheduleStatus.STARTING",
    "ScheduleStatus.RUNNING",
    "ScheduleStatus.FINISHED",
    "ScheduleStatus.PREEMPTING",
    "ScheduleStatus.RESTARTING",
    "ScheduleStatus.DRAINING",
    "ScheduleStatus.FAILED",
    "ScheduleStatus.KILLED",
    "ScheduleStatus.KILLING",
    "ScheduleStatus.LOST",
    "ScheduleStatus.PARTITIONED",
    "Mode.RW",
    "Mode.RO",
    "Resource.NUM_CPUS",
    "Resource.RAM_MB",
    "Resource.DISK_MB",
    "Resource.NAMED_PORT",
    "Resource.NUM_GPUS",
    "TaskConstraint.VALUE",
    "TaskConstraint.LIMIT",
    "Container.MESOS",
    "Container.DOCKER",
    "Image.DOCKER",
    "Image.APPC",
    "SlaPolicy.PERCENTAGE_SLA_POLICY",
    "SlaPolicy.COUNT_SLA_POLICY",
    "SlaPolicy.COORDINATOR_SLA_POLICY",
];

const FIXED: [i32; KNOWN.len()] = {
    let mut table = [0; KNOWN.len()];
    let mut index = 0;
    while index < KNOWN.len() {
        table[index] = string_hash_31_bits(KNOWN[index].as_bytes());
        index += 1;
    }
    table
};

/// Java's `String.hashCode` of ASCII `text`, without its sign bit.
const fn string_hash_31_bits(text: &[u8]) -> i32 {
    let mut hash = 0i32;
    let mut index = 0;
    while index < text.len() {
        hash = hash.wrapping_mul(31).wrapping_add(text[index] as i32);
        index += 1;
    }
    hash & i32::MAX
}

/// An enum constant of Java's, by its place in the table or by name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Constant<'a> {
    Known(usize),
    Other { family: &'static str, name: &'a str },
}

impl Constant<'_> {
    /// The known constant `family.name`; for constants alone, since an unknown one stops the build.
    pub(crate) const fn known(full_name: &str) -> Constant<'static> {
        let wanted = full_name.as_bytes();
        let mut index = 0;
        while index < KNOWN.len() {
            let candidate = KNOWN[index].as_bytes();
            if candidate.len() == wanted.len() {
                let mut at = 0;
                while at < wanted.len() && candidate[at] == wanted[at] {
                    at += 1;
                }
                if at == wanted.len() {
                    return Constant::Known(index);
                }
            }
            index += 1;
        }
        panic!("not in the table of known constants")
    }
}

impl fmt::Display for Constant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Constant::Known(index) => f.write_str(KNOWN.get(*index).copied().unwrap_or_default()),
            Constant::Other { family, name } => write!(f, "{family}.{name}"),
        }
    }
}

/// What `System.identityHashCode` says of each enum constant: another table in every JVM.
///
/// A constant is named by its class and itself: `Resource.RAM_MB`, `ScheduleStatus.PENDING`,
/// `Mode.RW`, `TaskConstraint.LIMIT`, `Container.MESOS`, `Image.APPC`,
/// `SlaPolicy.COUNT_SLA_POLICY`.
///
/// The default is the *fixed table*: a constant's identity is Java's `String.hashCode` of that
/// name, without the sign bit. So a task has one hash, in every process and for good; a constant
/// of a newer scheduler has one too. Other tables are given, or
/// [recovered](IdentityHashes::recover) from a payload's hashes.
///
/// ```
/// use webhook_model::IdentityHashes;
/// assert_eq!(IdentityHashes::fixed().get("Container.MESOS"), Some(466_320_658));
///
/// let given: IdentityHashes = [("Container.MESOS", 75_470_648)].into_iter().collect();
/// assert_eq!(given.get("Container.MESOS"), Some(75_470_648));
/// assert_eq!(given.get("Container.DOCKER"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHashes(Table);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Table {
    Fixed,
    Given(Box<Given>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    known: [Option<i32>; KNOWN.len()],
    others: BTreeMap<String, i32>,
}

/// A payload whose hashes tell which JVM computed them: a
/// [`TaskStateChange`](crate::TaskStateChange).
pub(crate) trait HashedPayload {
    /// The release, if it is not given, and the identities that can be solved for in it.
    fn recover(&self, release: Option<Release>) -> (Release, IdentityHashes);
}

impl IdentityHashes {
    /// The identities that the hashes of a [`TaskStateChange`](crate::TaskStateChange) give away;
    /// see [`Jvm::recover`](crate::Jvm::recover), which returns the release as well.
    #[must_use]
    #[expect(private_bounds, reason = "there is one payload")]
    pub fn recover(payload: &impl HashedPayload) -> IdentityHashes {
        payload.recover(None).1
    }

    /// The fixed table, which knows every constant.
    #[must_use]
    pub const fn fixed() -> Self {
        IdentityHashes(Table::Fixed)
    }

    /// A table that knows no constant yet.
    #[must_use]
    pub fn empty() -> Self {
        let given = Given {
            known: [None; KNOWN.len()],
            others: BTreeMap::new(),
        };
        IdentityHashes(Table::Given(Box::new(given)))
    }

    /// Whether this is the fixed table.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.0 == Table::Fixed
    }

    /// The identity of a constant named as `Resource.RAM_MB`, if the table knows it.
    #[must_use]
    pub fn get(&self, constant: &str) -> Option<i32> {
        match &self.0 {
            Table::Fixed => {
                let units = constant.encode_utf16();
                Some(units.fold(0, fold_unit) & i32::MAX)
            }
            Table::Given(given) => match KNOWN.iter().position(|known| *known == constant) {
                Some(index) => given.known.get(index).copied().flatten(),
                None => given.others.get(constant).copied(),
            },
        }
    }

    /// This table with another identity for one constant. The fixed table becomes a given one
    /// that knows this constant alone.
    #[must_use]
    pub fn with(mut self, constant: &str, identity: i32) -> Self {
        self.set(constant, Some(identity));
        self
    }

    /// Sets the identity of a constant, or removes it. A fixed table becomes a given one.
    pub(crate) fn set(&mut self, constant: &str, identity: Option<i32>) {
        if self.is_fixed() {
            *self = IdentityHashes::empty();
        }
        let Table::Given(given) = &mut self.0 else {
            return;
        };
        let index = KNOWN.iter().position(|known| *known == constant);
        match (index.and_then(|index| given.known.get_mut(index)), identity) {
            (Some(known), _) => *known = identity,
            (None, Some(identity)) => {
                given.others.insert(constant.to_owned(), identity);
            }
            (None, None) => {
                given.others.remove(constant);
            }
        }
    }

    #[inline]
    pub(crate) fn of(&self, constant: Constant<'_>) -> Option<i32> {
        match (&self.0, constant) {
            (Table::Fixed, Constant::Known(index)) => FIXED.get(index).copied(),
            (Table::Given(given), Constant::Known(index)) => {
                given.known.get(index).copied().flatten()
            }
            (Table::Fixed, Constant::Other { family, name }) => {
                let units = family.encode_utf16().chain([u16::from(b'.')]);
                Some(units.chain(name.encode_utf16()).fold(0, fold_unit) & i32::MAX)
            }
            (Table::Given(given), other) => given.others.get(&other.to_string()).copied(),
        }
    }

    /// The constants that the table knows, with their identities; of the fixed table, those that
    /// Aurora has up to 0.22.
    #[must_use]
    pub fn entries(&self) -> Vec<(String, i32)> {
        let known = KNOWN.iter().enumerate().filter_map(|(index, name)| {
            Some(((*name).to_owned(), self.of(Constant::Known(index))?))
        });
        match &self.0 {
            Table::Fixed => known.collect(),
            Table::Given(given) => known
                .chain(given.others.iter().map(|(name, id)| (name.clone(), *id)))
                .collect(),
        }
    }
}

fn fold_unit(hash: i32, unit: u16) -> i32 {
    hash.wrapping_mul(31).wrapping_add(i32::from(unit))
}

impl Default for IdentityHashes {
    fn default() -> Self {
        IdentityHashes::fixed()
    }
}

impl<N: AsRef<str>> FromIterator<(N, i32)> for IdentityHashes {
    fn from_iter<I: IntoIterator<Item = (N, i32)>>(iter: I) -> Self {
        let mut table = IdentityHashes::empty();
        for (constant, identity) in iter {
            table.set(constant.as_ref(), Some(identity));
        }
        table
    }
}
