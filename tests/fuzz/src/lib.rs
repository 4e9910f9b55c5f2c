//! What the readers of bytes from outside promise of any bytes.
//!
//! A [`Target`] is a function of bytes that panics if a promise is broken: two readers differ, what was
//! written is not read back, an error names no place, a secret is shown. `cargo xtask fuzz` runs the
//! targets under libFuzzer, and the test of this crate runs them on their seeds and on what was found.
//!
//! *Architecture invariant*: nothing that ships depends on this crate. Private modules of `webhookd` and
//! `webhook-dispatch` that take bytes from outside are included by their paths, so that a target
//! reaches them without sockets and threads; everything else goes through the crates' public APIs.

// The tests of the modules that it includes run in their own crates.
#![cfg(not(test))]

mod answer;
mod config;
mod event;
mod header;
#[expect(
    dead_code,
    reason = "a private module of webhook-dispatch, of which a part is used here"
)]
#[path = "../../../crates/webhook-dispatch/src/http"]
mod http {
    pub(crate) mod http1;
    pub(crate) mod transport {
        pub(crate) use webhook_dispatch::Answer;
    }
}
mod model;
mod retry_after;
mod seeds;
mod target;

pub use seeds::seeds;
pub use target::{TARGETS, Target};
