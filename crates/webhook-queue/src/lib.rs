//! A durable queue of events: opaque bodies, stored until each of their targets has settled them.
//!
//! *Architecture invariant*: bodies and keys are opaque bytes: this crate knows no JSON, no HTTP
//! and no target URL. [`Queue`] promises nothing that only one process could know, so that a queue
//! can be shared.

mod claim;
mod disk_queue;
mod duplicates;
mod entry;
mod error;
mod event_id;
mod group_writer;
mod kept;
mod last_states;
mod memory_queue;
mod queue;
mod quotas;
mod shared_statistics;
mod verification;

pub use claim::{Claim, News, SlotGuard};
pub use disk_queue::{
    Compaction, DiskQueue, Options, compact, verify, verify_tables, was_left_open,
};
pub use duplicates::{DuplicateWindow, RecentKeys};
pub use entry::{
    Accepted, CommitResult, DeadLetter, EntryId, Event, LastState, Owed, Quarantined, Settled,
    Settlement, SettlementResult, TargetHold,
};
pub use error::QueueError;
pub use event_id::{EventId, InvalidEventId};
pub use group_writer::{
    Appended, Committed, Distribution, GroupWriter, Limits, Refused, Sequence, WhenFull,
    WriterHandle, WriterStatistics,
};
pub use kept::{has_room_to_keep, kept_name, merge_kept, target_of_kept};
pub use last_states::LastStates;
pub use memory_queue::MemoryQueue;
pub use queue::{Queue, Statistics, TargetStatistics, Verify};
pub use quotas::{DeadLetterLimits, Quotas};
pub use shared_statistics::{SharedStatistics, Standbys, WorkerStatistics};
pub use verification::{CorruptEntry, Verification};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
