//! How a queue on the disk is opened.

use crate::{DuplicateWindow, LastState};

/// How a [`DiskQueue`](crate::DiskQueue) is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by callers, `..Default::default()`"
)]
pub struct Options {
    /// The largest size of the data file in bytes; at least 1 MiB. A quarter of it, at most 64 MiB,
    /// is reserved for settlements; appends may use the rest. A queue that already holds more
    /// refuses appends until enough is settled.
    pub max_bytes: u64,
    /// How long idempotency keys are known. They may use a sixteenth of `max_bytes`, at 160 bytes a
    /// key: a million keys need a `max_bytes` of 2.4 GiB.
    pub duplicates: DuplicateWindow,
    /// The most keys whose last state is known. They may use a sixteenth of `max_bytes` as well, at 600
    /// bytes a key: 100,000 need a `max_bytes` of 1 GiB.
    pub max_last_states: u64,
}

impl Options {
    /// This bound in bytes, and the defaults for the rest.
    #[must_use]
    pub const fn with_max_bytes(max_bytes: u64) -> Options {
        Options {
            max_bytes,
            duplicates: DuplicateWindow::DEFAULT,
            max_last_states: LastState::DEFAULT_COUNT,
        }
    }
}

impl Default for Options {
    /// 16 GiB, [`DuplicateWindow::DEFAULT`] and [`LastState::DEFAULT_COUNT`].
    fn default() -> Options {
        Options::with_max_bytes(16 << 30)
    }
}
