//! Java's `hashCode`, as computed by a given JVM.

use super::identity::{Constant, HashedPayload, IdentityHashes};
use crate::Release;
use std::fmt;

/// A scheduler process that computes hashes: its release, which determines the fields of structs,
/// and the identities of its enum constants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jvm {
    release: Release,
    identities: IdentityHashes,
}

static FIXED: Jvm = Jvm {
    release: Release::LATEST,
    identities: IdentityHashes::fixed(),
};

impl Jvm {
    /// A scheduler of `release` with these identities.
    #[must_use]
    pub fn new(release: Release, identities: IdentityHashes) -> Self {
        Jvm {
            release,
            identities,
        }
    }

    /// The JVM that most probably computed the hashes of a
    /// [`TaskStateChange`](crate::TaskStateChange). It tries the layout of each release, and takes
    /// the one with the fewest wrong hashes that fits the payload's fields; of equal ones, the
    /// newest. The identities are those that the hashes determine in that layout.
    #[must_use]
    #[expect(private_bounds, reason = "there is one payload")]
    pub fn recover(payload: &impl HashedPayload) -> Jvm {
        let (release, identities) = payload.recover(None);
        Jvm::new(release, identities)
    }

    /// The JVM of this release that computed the hashes of a
    /// [`TaskStateChange`](crate::TaskStateChange), with the identities that the hashes determine.
    ///
    /// If two hashes contradict each other about a constant, the first one counts;
    /// [`TaskStateChange::verify_hashes`](crate::TaskStateChange::verify_hashes) then reports the
    /// other as wrong.
    #[must_use]
    #[expect(private_bounds, reason = "there is one payload")]
    pub fn recover_in(payload: &impl HashedPayload, release: Release) -> Jvm {
        let (release, identities) = payload.recover(Some(release));
        Jvm::new(release, identities)
    }

    /// The latest release with the fixed table: the default for hashes.
    #[must_use]
    pub fn fixed() -> &'static Jvm {
        &FIXED
    }

    /// The scheduler's release.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    /// The identities of its enum constants.
    #[must_use]
    pub fn identities(&self) -> &IdentityHashes {
        &self.identities
    }

    pub(crate) fn set_identity(&mut self, constant: &str, identity: Option<i32>) {
        self.identities.set(constant, identity);
    }
}

impl Default for Jvm {
    fn default() -> Self {
        FIXED.clone()
    }
}

/// Why a hash cannot be computed for a given JVM. With the fixed table, every hash can be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unhashable {
    /// The identity table does not know this constant.
    UnknownIdentity(String),
    /// A struct has an unknown field, whose position and type are unknown too.
    UnknownField(String),
    /// A union has an unknown tag, so the type of its value is unknown.
    UnknownValue(String),
}

impl fmt::Display for Unhashable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unhashable::UnknownIdentity(constant) => {
                write!(f, "the identity hash of {constant} is not in the table")
            }
            Unhashable::UnknownField(field) => {
                write!(
                    f,
                    "the field {field} is unknown, so its hash cannot be computed"
                )
            }
            Unhashable::UnknownValue(tag) => {
                write!(
                    f,
                    "the tag {tag} is unknown, so the hash of its value cannot be computed"
                )
            }
        }
    }
}

impl std::error::Error for Unhashable {}

/// How to compute a hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'j> {
    pub(crate) jvm: &'j Jvm,
    /// Whether to use and fill the caches of structs, as Java does. Otherwise compute everything
    /// from the fields and cache nothing.
    pub(crate) caching: bool,
}

impl<'j> Asking<'j> {
    pub(crate) fn caching(jvm: &'j Jvm) -> Self {
        Asking { jvm, caching: true }
    }

    pub(crate) fn afresh(jvm: &'j Jvm) -> Self {
        Asking {
            jvm,
            caching: false,
        }
    }

    #[inline]
    pub(crate) fn identity(&self, constant: Constant<'_>) -> Result<i32, Unhashable> {
        match self.jvm.identities.of(constant) {
            Some(identity) => Ok(identity),
            None => Err(Unhashable::UnknownIdentity(constant.to_string())),
        }
    }
}

/// A value with a Java `hashCode`.
pub(crate) trait JavaHash {
    /// The hash, computed in this way.
    fn java_hash(&self, asking: &Asking<'_>) -> Result<i32, Unhashable>;
}

/// Java's `31·h + …`, from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fold(i32);

impl Fold {
    pub(crate) fn new() -> Self {
        Fold(1)
    }

    #[inline]
    pub(crate) fn add(&mut self, hash: i32) {
        self.0 = self.0.wrapping_mul(31).wrapping_add(hash);
    }

    pub(crate) fn finish(self) -> i32 {
        self.0
    }
}

impl JavaHash for bool {
    #[inline]
    fn java_hash(&self, _: &Asking<'_>) -> Result<i32, Unhashable> {
        Ok(if *self { 1231 } else { 1237 })
    }
}

impl JavaHash for i32 {
    #[inline]
    fn java_hash(&self, _: &Asking<'_>) -> Result<i32, Unhashable> {
        Ok(*self)
    }
}

/// The low half of `v ^ v>>>32`.
fn halves(bits: u64) -> i32 {
    (bits ^ bits >> 32) as u32 as i32
}

impl JavaHash for i64 {
    #[inline]
    fn java_hash(&self, _: &Asking<'_>) -> Result<i32, Unhashable> {
        Ok(halves(*self as u64))
    }
}

impl JavaHash for f64 {
    #[inline]
    fn java_hash(&self, _: &Asking<'_>) -> Result<i32, Unhashable> {
        Ok(halves(java_bits(*self)))
    }
}

/// `Double.doubleToLongBits`: the IEEE bits, with one NaN.
pub(crate) fn java_bits(double: f64) -> u64 {
    if double.is_nan() {
        0x7ff8_0000_0000_0000
    } else {
        double.to_bits()
    }
}

impl JavaHash for str {
    fn java_hash(&self, _: &Asking<'_>) -> Result<i32, Unhashable> {
        let step = |hash: i32, unit: i32| hash.wrapping_mul(31).wrapping_add(unit);
        Ok(if self.is_ascii() {
            self.bytes()
                .fold(0, |hash, byte| step(hash, i32::from(byte)))
        } else {
            self.encode_utf16()
                .fold(0, |hash, unit| step(hash, i32::from(unit)))
        })
    }
}

impl JavaHash for String {
    fn java_hash(&self, asking: &Asking<'_>) -> Result<i32, Unhashable> {
        self.as_str().java_hash(asking)
    }
}

impl<T: JavaHash> JavaHash for Vec<T> {
    fn java_hash(&self, asking: &Asking<'_>) -> Result<i32, Unhashable> {
        let mut fold = Fold::new();
        for element in self {
            fold.add(element.java_hash(asking)?);
        }
        Ok(fold.finish())
    }
}
