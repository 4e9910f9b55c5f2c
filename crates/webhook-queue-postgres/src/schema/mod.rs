//! The tables and functions in the database.

mod migration;
mod script;
mod template;

pub(crate) use migration::{Meta, prepare};
pub use script::{SCHEMA_VERSION, schema_sql};
pub(crate) use template::{SEGMENTS, identifier};

/// Numbers in one draw of the sequence of entries.
pub(crate) const ENTRY_BLOCK: u64 = 64;
