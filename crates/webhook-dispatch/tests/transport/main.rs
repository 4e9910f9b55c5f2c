//! The HTTP client over real sockets, against peers that misbehave by script.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod encrypted;
mod peer;
mod proxy;
mod reuse;
mod stopping;
mod timeouts;
