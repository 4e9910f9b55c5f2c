//! Test tools that all test programs share: a scripted HTTP receiver, a child process, a load
//! generator, a PostgreSQL server, a browser, the fixtures. The end-to-end tests, torture,
//! benchmarks, demo and the transport tests of webhook-dispatch use them.
//!
//! *Architecture invariant*: this crate knows the product from outside, as an operator does; of
//! its crates only webhook-model, to read events. A wait is for a thing, with a deadline. A tool
//! that cannot go on panics and says what it has seen.

mod admin;
mod browser;
mod cargo;
mod client;
mod event_stream;
mod fixtures;
mod folder;
mod full_pipe;
mod launch;
pub mod load;
mod packages;
mod postgres;
pub mod proc;
mod process;
mod python;
mod receiver;
mod summary;
mod transcripts;

pub use admin::Admin;
pub use browser::Browser;
pub use cargo::{build, cargo, webhookd};
pub use client::{Answer, Client, free_port, post, post_bytes, post_to, raise_descriptors};
pub use event_stream::{CHUNKED, EventStream, StreamRequest, chunked};
pub use fixtures::{event, events, events_file, fixture, repository, task_of};
pub use folder::{Folder, best_effort};
pub use full_pipe::full_pipe;
pub use launch::Launch;
pub use packages::{axe, express, skip};
pub use postgres::{Postgres, Stop};
pub use process::{Ended, Process};
pub use python::{AIRFLOW, FLASK, KUBERNETES, Python, RAY, SCHEMATHESIS};
pub use receiver::{
    BlackHole, Connection, Hours, Message, Messages, Port, Receiver, Reply, Request, Server, Waits,
};
pub use rustix::process::Signal;
pub use summary::Summary;
pub use transcripts::{Transcript, has_curl, transcripts};

/// How long a test waits for something before it fails. A passing test waits for nothing near
/// as long; a machine under load may.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
