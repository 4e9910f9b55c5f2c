//! The queue in a PostgreSQL database, which several processes share: [`PostgresQueue`].
//!
//! *Architecture invariant*: this crate knows the contract of a queue
//! ([`webhook_queue::Queue`]) and a database, and nothing of targets, HTTP or configuration files.
//! No other crate sees the database's client or its asynchronous runtime: each connection is a
//! blocking object with a deadline for each statement.
//!
//! How it works: all changes append one row to a *log* under one lock, so that the order of entries
//! is the order of commits, and no row is updated or deleted for an event. Events lie in a ring of
//! *segments*, tables that are truncated once all their events are settled. Each process follows
//! the log, and so knows what is settled. Keys are divided into *slots*, each of which has one
//! owner at a time; the slot's *epoch* tells settlements of an earlier owner.

mod ages;
mod connection;
mod connector;
mod database;
mod dead_letters;
mod failure;
mod flush;
mod follower;
mod lease;
mod log;
mod news;
mod parameters;
mod pool;
mod queue;
mod reader;
mod schema;
mod segments;
mod settings;
mod shared_statistics;
mod targets;
#[cfg(test)]
mod tests;
mod tls;
mod worker;

pub use queue::PostgresQueue;
pub use schema::{SCHEMA_VERSION, schema_sql};
pub use settings::{Role, Settings, SslMode};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
