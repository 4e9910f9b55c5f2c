//! The project's own commands: `cargo xtask ci | demo | gen-fixtures`.
//!
//! *Architecture invariant*: nothing that ships depends on this crate.

fn main() {}
