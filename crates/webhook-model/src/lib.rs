//! Aurora's task state changes: the task structs, their hashes, and their exact JSON.
//!
//! A receiver reads payloads: [`TaskStateChange::read`] reads a whole payload,
//! [`EventHeader::read`] only the task's identity and states. A scheduler builds and writes
//! payloads: [`ScheduledTask::new`], [`TaskStateChange::transition`], [`TaskStateChange::to_json`].
//! `docs/wire-format.md` describes the format.
//!
//! ```
//! use webhook_model::{ScheduleStatus, TaskStateChange};
//!
//! let json = br#"{"task":{"cachedHashCode":0,"status":"LOST"},"oldState":{"value":"RUNNING"}}"#;
//! let change = TaskStateChange::read(json)?;
//! assert_eq!(change.old_state(), Some(&ScheduleStatus::Running.into()));
//! assert_eq!(change.new_state(), Some(&ScheduleStatus::Lost.into()));
//! assert_eq!(change.to_json()?, json);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two macros declare each struct and union once, under `task/`: its fields in Aurora's order, with
//! the releases that have them. Reading, writing, hashing and equality are derived from that.
//!
//! *Architecture invariant*: this crate does no I/O, has no clock, and depends only on serde and
//! serde_json. It knows nothing about targets, queues or HTTP.

mod change;
mod collection;
mod field;
mod hash;
mod header;
mod json;
mod json_schema;
mod known_configs;
mod old_state;
mod payload_schema;
mod release;
mod status;
mod status_name;
mod task;

pub use change::{TaskStateChange, WriteError};
pub use collection::map::Map;
pub use collection::set::Set;
pub use field::union::Union;
pub use field::variant::UnknownVariant;
pub use hash::identity::IdentityHashes;
pub use hash::jvm::{Jvm, Unhashable};
pub use hash::verify::{Asked, HashReport, WrongHash};
pub use header::EventHeader;
pub use json::error::{ReadError, ReadErrorKind};
pub use json::gson::Gson;
pub use json::reader::JsonScanner;
pub use json::scan::MAX_DEPTH;
pub use known_configs::KnownConfigs;
pub use release::{Layout, Release};
pub use status::ScheduleStatus;
pub use status_name::StatusName;
pub use task::*;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
