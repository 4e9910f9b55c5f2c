//! The program that an operator puts beside a scheduler.
//!
//! *Architecture invariant*: there is no delivery logic here; this crate wires the others.

fn main() {}
