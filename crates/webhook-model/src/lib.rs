//! What a task state change is: Aurora's task structs, their hashes and their JSON, to the byte.
//!
//! *Architecture invariant*: this crate does no I/O, has no clock, and depends on serde and
//! serde_json alone. It knows nothing of targets, queues or HTTP.

mod change;
mod collection;
mod field;
mod hash;
mod header;
mod json;
mod lifecycle;
mod release;
mod status;
mod task;

pub use change::{TaskStateChange, WriteError};
pub use collection::map::Map;
pub use collection::set::Set;
pub use field::union::{Union, UnknownVariant};
pub use hash::identity::IdentityHashes;
pub use hash::jvm::{Jvm, Unhashable};
pub use hash::verify::{Asked, HashReport, WrongHash};
pub use header::EventHeader;
pub use json::error::{ReadError, ReadErrorKind};
pub use json::gson::Gson;
pub use json::scan::MAX_DEPTH;
pub use release::{Layout, Release};
pub use status::{ScheduleStatus, StatusName};
pub use task::*;
