//! The guarantees of the queues, on real files and over real crashes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attributes;
mod crash;
mod damage;
mod duplicates;
mod files;
mod group_writer;
mod holds;
mod kills;
mod last_states;
mod model;
mod quotas;
mod room;
mod steps;
mod support;
