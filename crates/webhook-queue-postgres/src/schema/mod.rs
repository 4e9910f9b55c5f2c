//! The tables and functions in the database.

mod migration;
mod script;
mod template;

pub(crate) use migration::{Meta, prepare};
pub use script::{SCHEMA_VERSION, schema_sql};
pub(crate) use template::{SEGMENTS, identifier};
