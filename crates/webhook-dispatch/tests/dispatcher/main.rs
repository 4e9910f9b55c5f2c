//! Dispatchers from end to end, without HTTP: the receivers are in this process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod concurrency;
mod duplicates;
mod faults;
mod health;
mod inputs;
mod only_changes;
mod order;
mod outcomes;
mod reload;
mod repair;
mod replacing;
mod restart;
mod shared;
mod shared_queue;
mod submitting;
mod support;
