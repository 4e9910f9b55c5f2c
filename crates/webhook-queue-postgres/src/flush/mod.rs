//! Commits groups of events and settlements: one call of one function in the database each.
//!
//! Each call has a writer and a number that no other call has, so that repeating it finds out
//! whether it took effect ([unknown outcomes](unresolved)).

mod admission;
mod answer;
mod flusher;
mod group;
mod keeping;
mod known;
mod unresolved;

pub(crate) use flusher::Flusher;
pub(crate) use known::{Known, states};
