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
mod console;
mod event;
mod filter;
mod header;
mod model;
mod queue_file;
mod queue_record;
mod request;
mod retry_after;
mod seeds;
mod sources;
mod stored;
mod target;
mod template;
mod value;

#[expect(
    dead_code,
    unused_imports,
    reason = "a private module of webhookd, of which a part is used here"
)]
#[path = "../../../crates/webhookd/src/dead_letters/mod.rs"]
mod dead_letters;

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

// The included modules of webhook-queue find its types at the root.
use webhook_queue::{Claim, EntryId, Event, EventId, Owed, TargetHold};

pub use seeds::seeds;
pub use target::{TARGETS, Target};
