//! Java's hashes: what a JVM prints as `cachedHashCode`, and the same for good.

pub(crate) mod cached;
pub(crate) mod identity;
pub(crate) mod jvm;
pub(crate) mod recover;
pub(crate) mod verify;
pub(crate) mod visit;

pub(crate) use jvm::{Asking, Fold, JavaHash, Jvm, Unhashable};
