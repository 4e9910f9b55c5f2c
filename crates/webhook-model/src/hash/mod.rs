//! Java's hashes, which payloads contain as `cachedHashCode`.

pub(crate) mod cached;
pub(crate) mod identity;
pub(crate) mod jvm;
pub(crate) mod recover;
pub(crate) mod verify;
pub(crate) mod visit;

pub(crate) use jvm::{Asking, Fold, JavaHash, Jvm, Unhashable};
