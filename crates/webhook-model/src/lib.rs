//! What a task state change is: Aurora's task structs, their hashes and their JSON, to the byte.
//!
//! A receiver reads payloads with it: [`TaskStateChange::read`] for all of one, or
//! [`EventHeader::read`] for who changed to what, without building the rest. A scheduler builds
//! and writes them: [`ScheduledTask::new`], [`TaskStateChange::transition`],
//! [`TaskStateChange::to_json`]. `docs/wire-format.md` states the format.
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
//! The structs and unions are declared once each, under `task/`, by two macros: their fields in
//! Aurora's order with the releases that have them. Reading, writing, hashing and equality follow
//! from that.
//!
//! *Architecture invariant*: this crate does no I/O, has no clock, and depends on serde and
//! serde_json alone. It knows nothing of targets, queues or HTTP.

mod change;
mod collection;
mod field;
mod hash;
mod header;
mod json;
mod old_state;
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
pub use json::scan::MAX_DEPTH;
pub use release::{Layout, Release};
pub use status::ScheduleStatus;
pub use status_name::StatusName;
pub use task::*;
