//! Dispatchers from end to end, but for HTTP: with receivers in this process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod duplicates;
mod order;
mod outcomes;
mod repair;
mod restart;
mod submitting;
mod support;
