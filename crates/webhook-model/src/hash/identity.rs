//! The identity hashes of Java's enum constants.

use crate::Release;
use std::collections::BTreeMap;
use std::fmt;

/// The constants whose identity is part of hashes, in the order of the table.
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

/// A Java enum constant, by its index in the table or by name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Constant<'a> {
    Known(usize),
    Other { family: &'static str, name: &'a str },
}

impl Constant<'_> {
    /// The known constant `family.name`. Only for use in `const`: an unknown name stops the build.
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

/// The `System.identityHashCode` of each enum constant. Every JVM has another table.
///
/// A constant is named by its class and its name: `Resource.RAM_MB`, `ScheduleStatus.PENDING`,
/// `Mode.RW`, `TaskConstraint.LIMIT`, `Container.MESOS`, `Image.APPC`,
/// `SlaPolicy.COUNT_SLA_POLICY`.
///
/// The default is the *fixed table*, in which the identity of a constant is Java's
/// `String.hashCode` of that name without the sign bit. With it, the hash of a task is the same in
/// every process, and constants of newer schedulers have identities too. Other tables are given, or
/// [recovered](IdentityHashes::recover) from the hashes of a payload.
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

/// A payload from whose hashes the JVM that computed them can be recovered: a
/// [`TaskStateChange`](crate::TaskStateChange).
pub(crate) trait HashedPayload {
    /// The release, unless it is given, and the identities that the hashes determine.
    fn recover(&self, release: Option<Release>) -> (Release, IdentityHashes);
}

impl IdentityHashes {
    /// The identities that the hashes of a [`TaskStateChange`](crate::TaskStateChange) determine;
    /// see [`Jvm::recover`](crate::Jvm::recover), which also returns the release.
    #[must_use]
    #[expect(private_bounds, reason = "there is one payload")]
    pub fn recover(payload: &impl HashedPayload) -> IdentityHashes {
        payload.recover(None).1
    }

    /// The fixed table. It knows every constant.
    #[must_use]
    pub const fn fixed() -> Self {
        IdentityHashes(Table::Fixed)
    }

    /// An empty table.
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

    /// The identity of a constant such as `Resource.RAM_MB`, if the table knows it.
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

    /// Sets the identity of a constant. The fixed table becomes a table with only this constant.
    #[must_use]
    pub fn with(mut self, constant: &str, identity: i32) -> Self {
        self.set(constant, Some(identity));
        self
    }

    /// Sets or removes the identity of a constant. The fixed table becomes an empty one first.
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

    /// The constants that the table knows, with their identities. For the fixed table, those of
    /// Aurora up to 0.22.
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
