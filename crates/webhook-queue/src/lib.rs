//! What is still owed: a queue of opaque bodies, by target and key.
//!
//! *Architecture invariant*: bodies and keys are opaque bytes. This crate knows no JSON, no HTTP
//! and no target URL; and nothing that only one process could know is promised by [`Queue`].

mod error;
mod memory_queue;
mod queue;

pub use error::QueueError;
pub use memory_queue::MemoryQueue;
pub use queue::*;
