//! The kinds of fields of Aurora's structs: how each is read, written and hashed.

pub(crate) mod accessors;
pub(crate) mod structure;
pub(crate) mod union;
pub(crate) mod unknown;
pub(crate) mod value;
pub(crate) mod variant;

pub(crate) use value::{FieldValue, InLayout};
