//! What a task state change is: Aurora's task structs, and their JSON to the byte.
//!
//! *Architecture invariant*: this crate does no I/O, has no clock, and depends on serde and
//! serde_json alone. It knows nothing of targets, queues or HTTP.

mod header;
mod status;

pub use header::{EventHeader, ReadError};
pub use status::{ScheduleStatus, StatusName};
