//! The tests of the contract of a queue that the one on the disk passes, too, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crash;
#[path = "../../../webhook-queue/tests/queue/kills.rs"]
#[allow(dead_code, reason = "what other queues need besides")]
mod kills;
mod model;
mod open;
#[path = "../../../webhook-queue/tests/queue/steps.rs"]
mod steps;
#[path = "../../../webhook-queue/tests/queue/support.rs"]
#[allow(dead_code, reason = "what other queues need besides")]
mod support;
