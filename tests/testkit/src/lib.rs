//! What the end-to-end tests share: the real binary and a receiver that misbehaves on demand.
//!
//! *Architecture invariant*: the product is driven from outside, as an operator would drive it.
//! Nothing here waits by sleeping: every wait is for a thing, with [`DEADLINE`].

mod admin;
mod binary;
mod client;
mod fixtures;
mod folder;
mod process;
mod python;
mod receiver;
mod summary;
mod transcripts;

pub use admin::Admin;
pub use binary::webhookd;
pub use client::{Answer, Client, free_port, post, post_bytes, raise_descriptors};
pub use fixtures::{event, events, events_file, fixture, repository, task_of};
pub use folder::{Folder, best_effort};
pub use process::{Ended, Launch, Webhookd};
pub use python::Python;
pub use receiver::{ClosedPort, Receiver, Reply, Request};
pub use rustix::process::Signal;
pub use summary::Summary;
pub use transcripts::{Transcript, has_curl, transcripts};

/// How long a test waits for something before it fails. A passing test waits for nothing near
/// as long; a machine under load may.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
