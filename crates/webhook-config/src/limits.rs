//! The range and the default of each number, and the error of an invalid value.

use crate::delivery::Delivery;
use crate::header::InvalidHeader;
use crate::input::InputName;
use crate::name::TargetName;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Why a target or configuration cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A header cannot be sent.
    #[error("header {name:?}: {reason}")]
    Header {
        /// The name as given.
        name: String,
        /// Why it cannot be sent.
        reason: InvalidHeader,
    },
    /// A number or duration is out of range.
    #[error("{key} must be from {least} to {most}")]
    OutOfRange {
        /// Its key in the file.
        key: &'static str,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// What is kept of the targets' deliveries may take too much of the queue.
    #[error(
        "retain.maxBytes of all targets is {sum} in all, and {most} are left for it: at most half \
         of queue.maxBytes, less queue.deadLetters.maxBytes"
    )]
    Retained {
        /// The bytes of all targets.
        sum: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// The target has batches, and its format holds one event in a request.
    #[error("a request of the format {format:?} holds one event, and the target has batches")]
    NoBatchFormat {
        /// The format's name.
        format: &'static str,
    },
    /// A batch may take too much of the window.
    #[error("batch.maxEvents is {max_events}, and may be a quarter of window ({window}) at most")]
    BatchOverWindow {
        /// The most events of a batch.
        max_events: usize,
        /// The target's window.
        window: usize,
    },
    /// The target has a header `Authorization` and OAuth 2.0 credentials, whose token goes there.
    #[error("the target has a header Authorization and oauth2, whose token is sent in that header")]
    TwoAuthorizations,
    /// The format is `template`, and there is no template.
    #[error("the format is \"template\", and there is no template")]
    NoTemplate,
    /// There is no target.
    #[error("there is no target")]
    NoTargets,
    /// Two targets have the same name.
    #[error("two targets are named {0}")]
    DuplicateName(TargetName),
    /// Two inputs have the same name.
    #[error("two inputs are named {0}")]
    DuplicateInput(InputName),
    /// A target takes an input that there is not.
    #[error("the target {target} takes the input {input:?}, which does not exist")]
    UnknownInput {
        /// The target.
        target: TargetName,
        /// The name of the input.
        input: String,
    },
}

/// A range: both bounds are allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

/// Ten years: a longer wait can only be a mistake.
const TEN_YEARS_MSEC: u64 = 10 * 365 * 86_400_000;

pub(crate) const TIMEOUT_MSEC: Limits = Limits {
    least: 1,
    most: i32::MAX as u64,
};
pub(crate) const RETRY_MSEC: Limits = Limits {
    least: 1,
    most: TEN_YEARS_MSEC,
};
pub(crate) const MAX_ATTEMPTS: Limits = Limits {
    least: 1,
    most: u32::MAX as u64,
};
pub(crate) const MAX_REFUSALS: Limits = Limits {
    least: 1,
    most: 1000,
};
pub(crate) const CONCURRENCY: Limits = Limits {
    least: 1,
    most: 4096,
};
pub(crate) const WINDOW: Limits = Limits {
    least: 1,
    most: 1 << 20,
};
/// The id of a batch and its event ids are made again for each attempt.
pub(crate) const BATCH_EVENTS: Limits = Limits {
    least: 1,
    most: 1000,
};
/// A quarter of the 16 MiB of events that a target has in memory, so that retried batches leave room.
pub(crate) const BATCH_BYTES: Limits = Limits {
    least: 1 << 10,
    most: 4 << 20,
};
pub(crate) const BATCH_WAIT_MSEC: Limits = Limits {
    least: 0,
    most: 60_000,
};
pub(crate) const MAX_RESPONSE_BYTES: Limits = Limits {
    least: 1,
    most: 64 << 20,
};
pub(crate) const MAX_PER_SECOND: Limits = Limits {
    least: 1,
    most: 1_000_000,
};
pub(crate) const MAX_BODY_BYTES: Limits = Limits {
    least: 1 << 10,
    most: 64 << 20,
};
pub(crate) const MAX_EVENT_BYTES: Limits = Limits {
    least: 1 << 10,
    most: 64 << 20,
};
pub(crate) const QUEUE_BYTES: Limits = Limits {
    least: 1 << 20,
    most: 16 << 40,
};

pub(crate) const OWED_BYTES: Limits = Limits {
    least: 1,
    most: QUEUE_BYTES.most,
};
/// Besides the default one. Each has counters and metrics of its own.
pub(crate) const INPUTS: Limits = Limits { least: 0, most: 64 };
pub(crate) const DEAD_LETTER_BYTES: Limits = Limits {
    least: 0,
    most: QUEUE_BYTES.most,
};
pub(crate) const DEAD_LETTER_COUNT: Limits = Limits {
    least: 0,
    most: 1_000_000_000,
};
pub(crate) const LAST_STATES: Limits = Limits {
    least: 0,
    most: 100_000_000,
};

/// A slot is a row that workers lock one at a time when they claim it.
pub(crate) const SLOTS: Limits = Limits {
    least: 1,
    most: 1024,
};
/// A shorter one would be lost to a short pause of the machine.
pub(crate) const LEASE_MSEC: Limits = Limits {
    least: 1000,
    most: 600_000,
};
pub(crate) const POLL_MSEC: Limits = Limits {
    least: 1,
    most: 1000,
};

pub(crate) const PAGE_SIZE: Limits = Limits {
    least: 1,
    most: 10_000,
};
pub(crate) const PAGE_BYTES: Limits = Limits {
    least: 1 << 10,
    most: 1 << 30,
};
pub(crate) const OBJECTS: Limits = Limits {
    least: 1,
    most: 10_000_000,
};

/// Short enough for a moved receiver, long enough to cost nothing.
pub(crate) const DEFAULT_MAX_CONNECTION_AGE: Duration = Duration::from_secs(300);
pub(crate) const DEFAULT_RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not 0");
/// Settled events stay in the window until they are synced; this leaves room for the next ones to
/// be sent meanwhile.
const DEFAULT_WINDOW_RELIABLE: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not 0");
/// A best-effort target does not wait for the disk, and a window that fits a processor's cache is
/// faster. With batches, its senders need more events at once.
const DEFAULT_WINDOW_BEST_EFFORT: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not 0");
const DEFAULT_MAX_RESPONSE_BYTES: u64 = 65_536;
/// Room for what a Kafka REST receipt says of a record, the reason of its failure included.
const RESPONSE_BYTES_AN_EVENT: u64 = 512;
/// Room for a whole event of the greatest size by default, and as much around it.
pub(crate) const DEFAULT_MAX_BODY_BYTES: usize = 2 << 20;
pub(crate) const DEFAULT_MAX_EVENT_BYTES: usize = 1 << 20;
/// A shorter connect time-out only suits receivers in the same data centre.
pub(crate) const SHORT_TIMEOUT_MSEC: u64 = 100;

/// The most events of a batch under this window: retries take a quarter of it, so a larger batch could not
/// be retried.
pub(crate) fn most_batched(window: usize) -> usize {
    window / 4
}

/// The window if none is given.
pub(crate) fn default_window(delivery: Delivery, has_batches: bool) -> NonZeroUsize {
    match delivery {
        Delivery::BestEffort if !has_batches => DEFAULT_WINDOW_BEST_EFFORT,
        _ => DEFAULT_WINDOW_RELIABLE,
    }
}

/// The bytes of a response that are read if no bound is given, with so many events in a request.
pub(crate) fn default_response_bytes(events: usize) -> u64 {
    DEFAULT_MAX_RESPONSE_BYTES.max(RESPONSE_BYTES_AN_EVENT * events as u64)
}

impl Limits {
    pub(crate) fn contains(self, number: u64) -> bool {
        (self.least..=self.most).contains(&number)
    }

    pub(crate) fn check(self, key: &'static str, number: u64) -> Result<(), BuildError> {
        if self.contains(number) {
            return Ok(());
        }
        Err(BuildError::OutOfRange {
            key,
            least: self.least,
            most: self.most,
        })
    }

    /// Checks a duration in whole milliseconds.
    pub(crate) fn check_duration(
        self,
        key: &'static str,
        duration: Duration,
    ) -> Result<(), BuildError> {
        self.check(key, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}
