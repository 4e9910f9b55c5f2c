//! Java's immutable collections.

pub(crate) mod map;
pub(crate) mod set;
