//! The settings of the queue of undelivered events.

use crate::postgres::PostgresSettings;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What happens to a new event when the queue is full or its disk fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The source waits.
    #[default]
    Block,
    /// The source gets an error at once, and keeps the event.
    Reject,
}

impl WhenFull {
    /// All values.
    pub const ALL: &'static [WhenFull] = &[WhenFull::Block, WhenFull::Reject];

    /// The name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            WhenFull::Block => "block",
            WhenFull::Reject => "reject",
        }
    }
}

/// The settings of the queue of undelivered events: where it is, and its bounds.
///
/// ```
/// use webhook_config::{QueueSettings, WhenFull};
///
/// let settings = QueueSettings::new("/var/lib/webhookd/queue")
///     .with_max_bytes(4 << 30)
///     .with_when_full(WhenFull::Reject);
/// assert_eq!(settings.max_bytes(), 4 << 30);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    pub(crate) dir: PathBuf,
    pub(crate) postgres: Option<Box<PostgresSettings>>,
    pub(crate) max_bytes: u64,
    pub(crate) when_full: WhenFull,
    pub(crate) dead_letters: DeadLetterSettings,
    pub(crate) max_last_states: u64,
}

impl QueueSettings {
    /// A queue of 16 GiB in this directory, which blocks when full.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        QueueSettings {
            dir: dir.into(),
            ..QueueSettings::default()
        }
    }

    /// Sets the directory.
    #[must_use]
    pub fn with_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Keeps the queue in a database instead of in the directory, which then has no queue, and only
    /// the other files that webhookd keeps on its machine.
    #[must_use]
    pub fn with_postgres(mut self, postgres: PostgresSettings) -> Self {
        self.postgres = Some(Box::new(postgres));
        self
    }

    /// Sets the bound in bytes, 1 MiB to 16 TiB; a [`ConfigBuilder`](crate::ConfigBuilder) refuses
    /// others.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets what happens to a new event when the queue is full.
    #[must_use]
    pub fn with_when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Sets how many dead letters are kept.
    #[must_use]
    pub fn with_dead_letters(mut self, dead_letters: DeadLetterSettings) -> Self {
        self.dead_letters = dead_letters;
        self
    }

    /// Sets the most keys whose last state is known, at most 100,000,000.
    #[must_use]
    pub fn with_max_last_states(mut self, max_last_states: u64) -> Self {
        self.max_last_states = max_last_states;
        self
    }

    /// The default of [`Self::max_last_states`].
    pub const DEFAULT_MAX_LAST_STATES: u64 = 100_000;

    /// The default of [`Self::max_bytes`]: 16 GiB.
    pub const DEFAULT_MAX_BYTES: u64 = 16 << 30;

    /// The directory of the queue's files, and of the others that webhookd keeps on its machine. The
    /// latter only, if the queue is in a database.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The database that has the queue; `None` if the queue is in the directory.
    #[must_use]
    pub fn postgres(&self) -> Option<&PostgresSettings> {
        self.postgres.as_deref()
    }

    /// Where the queue is, without secrets, for people: the directory, or the database and its schema.
    #[must_use]
    pub fn location(&self) -> String {
        match self.postgres() {
            None => self.dir.display().to_string(),
            Some(postgres) => format!("{} (schema {})", postgres.url(), postgres.schema()),
        }
    }

    /// The largest size of the queue's files, or of its events in the database, in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// What happens to a new event when the queue is full or its disk fails.
    #[must_use]
    pub fn when_full(&self) -> WhenFull {
        self.when_full
    }

    /// How many dead letters are kept.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetterSettings {
        &self.dead_letters
    }

    /// The most keys whose last state is known, for inputs with `onlyChanges`.
    #[must_use]
    pub fn max_last_states(&self) -> u64 {
        self.max_last_states
    }

    /// The most bytes that dead letters may take.
    #[must_use]
    pub fn max_dead_letter_bytes(&self) -> u64 {
        let quarter = self.max_bytes / 4;
        self.dead_letters.max_bytes.unwrap_or(quarter)
    }
}

/// How many dead letters of all targets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetterSettings {
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_count: u64,
    pub(crate) max_age: Duration,
}

impl DeadLetterSettings {
    /// Sets the most bytes; a quarter of the queue's if not set, 16 TiB at most.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = Some(max_bytes);
        self
    }

    /// Sets the most dead letters; 1,000,000 if not set, 1,000,000,000 at most.
    #[must_use]
    pub fn with_max_count(mut self, max_count: u64) -> Self {
        self.max_count = max_count;
        self
    }

    /// Sets how long they are kept; 30 days if not set, 10 years at most.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// The most bytes, if they are set; see [`QueueSettings::max_dead_letter_bytes`].
    #[must_use]
    pub fn max_bytes(&self) -> Option<u64> {
        self.max_bytes
    }

    /// The most dead letters.
    #[must_use]
    pub fn max_count(&self) -> u64 {
        self.max_count
    }

    /// How long they are kept.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.max_age
    }
}

impl Default for DeadLetterSettings {
    /// A quarter of the queue's bytes, 1,000,000 letters, 30 days.
    fn default() -> Self {
        DeadLetterSettings {
            max_bytes: None,
            max_count: 1_000_000,
            max_age: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Default for QueueSettings {
    /// The directory `webhook-queue`, 16 GiB, blocking when full.
    fn default() -> Self {
        QueueSettings {
            dir: PathBuf::from("webhook-queue"),
            postgres: None,
            max_bytes: Self::DEFAULT_MAX_BYTES,
            when_full: WhenFull::Block,
            dead_letters: DeadLetterSettings::default(),
            max_last_states: Self::DEFAULT_MAX_LAST_STATES,
        }
    }
}
