//! The settings of a queue in a database.

use std::fmt;
use std::time::Duration;

use webhook_queue::{DuplicateWindow, LastState};

/// Which database has the queue, and how it is used.
#[derive(Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by callers from `Settings::new`"
)]
pub struct Settings {
    /// The database, as libpq takes it: a URL, or keywords and values, without `sslmode` and
    /// certificates. It may have a password, which no error and no `Debug` shows.
    pub connection: String,
    /// Whether connections are encrypted, and the server's certificate is checked.
    pub ssl_mode: SslMode,
    /// The certificates of trusted authorities in PEM. Without one, those of Mozilla's list.
    pub ca_pem: Option<Vec<u8>>,
    /// The certificate that connections present, and its key, in PEM.
    pub client_pem: Option<(Vec<u8>, Vec<u8>)>,
    /// The schema of the tables.
    pub schema: String,
    /// The number of slots that keys are divided into, if the tables are created.
    pub slots: u16,
    /// How long the claims of a worker last without a renewal.
    pub lease: Duration,
    /// The time between two looks for new entries.
    pub poll: Duration,
    /// The most bytes of events and dead letters. An event counts for each of its targets.
    pub max_bytes: u64,
    /// The size of a segment from which events go to the next one. The tables take a few of them.
    pub segment_bytes: u64,
    /// How long idempotency keys are known.
    pub window: DuplicateWindow,
    /// The most last states.
    pub max_last_states: u64,
    /// The name of this process for the others, for example its host and process id.
    pub worker_name: String,
    /// Whether this process delivers.
    pub role: Role,
}

/// What a process does with a shared queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// It claims slots, and delivers their entries.
    Worker,
    /// It looks at the queue and repairs it, and has no claims. It reads the entries of all slots.
    Operator,
}

/// Whether a connection is encrypted, and the server's certificate checked: libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SslMode {
    /// Not encrypted.
    Disable,
    /// Encrypted if the server offers it; its certificate is not checked.
    Prefer,
    /// Encrypted; the server's certificate is not checked.
    Require,
    /// Encrypted, with a certificate of a trusted authority.
    VerifyCa,
    /// Encrypted, with a certificate of a trusted authority for the server's name.
    VerifyFull,
}

impl Settings {
    /// The schema `webhook` of this database, 64 slots, a lease of 5 s, a poll of 5 ms, 16 GiB, for
    /// a worker.
    #[must_use]
    pub fn new(connection: impl Into<String>) -> Settings {
        Settings {
            connection: connection.into(),
            ssl_mode: SslMode::Prefer,
            ca_pem: None,
            client_pem: None,
            schema: "webhook".to_owned(),
            slots: 64,
            lease: Duration::from_secs(5),
            poll: Duration::from_millis(5),
            max_bytes: 16 << 30,
            segment_bytes: 128 << 20,
            window: DuplicateWindow::DEFAULT,
            max_last_states: LastState::DEFAULT_COUNT,
            worker_name: format!("process {}", std::process::id()),
            role: Role::Worker,
        }
    }
}

impl fmt::Debug for Settings {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("ssl_mode", &self.ssl_mode)
            .field("schema", &self.schema)
            .field("slots", &self.slots)
            .field("lease", &self.lease)
            .field("poll", &self.poll)
            .field("max_bytes", &self.max_bytes)
            .field("worker_name", &self.worker_name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}
