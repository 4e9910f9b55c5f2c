//! What a shared queue knows of its processes and its storage.

/// What a shared queue knows of the processes that share it, and of its storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by queues, `..Default::default()`"
)]
pub struct SharedStatistics {
    /// The storage, without secrets, for example its host, database and schema.
    pub storage: String,
    /// Into how many slots the keys are divided.
    pub slots: u16,
    /// The slots that no live process has a claim to.
    pub unclaimed: u16,
    /// The processes with a live lease, this one included.
    pub workers: Vec<WorkerStatistics>,
    /// How often this process has lost its lease.
    pub leases_lost: u64,
    /// Settlements of this process that were not applied, since their claim had ended.
    pub fenced: u64,
    /// How often this process had to connect again.
    pub reconnects: u64,
    /// Whether the storage can be reached now.
    pub reachable: bool,
    /// Parts of the log in use, and how many there are.
    pub segments: (u16, u16),
    /// Dead rows in the tables of the queue, as the storage estimates them.
    pub dead_rows: u64,
    /// For how long the oldest transaction of the storage has kept it from removing dead rows,
    /// milliseconds.
    pub oldest_transaction_ms: u64,
    /// The copies of the storage.
    pub standbys: Standbys,
}

/// A process that shares a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by queues, `..Default::default()`"
)]
pub struct WorkerStatistics {
    /// Its number, which is new after each start and each lost lease.
    pub id: u64,
    /// Its name, for example its host and process id.
    pub name: String,
    /// Whether it is this process.
    pub is_this: bool,
    /// The slots that it has a claim to.
    pub slots: u16,
    /// How long ago its lease was renewed, milliseconds.
    pub lease_age_ms: u64,
    /// How long ago the oldest entry owed in its slots was accepted, milliseconds, if that is known.
    pub lag_ms: Option<u64>,
}

/// The copies of a storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by queues, `..Default::default()`"
)]
pub struct Standbys {
    /// How many there are.
    pub count: u16,
    /// Whether a commit waits for one of them. If not, a failover can lose what was acknowledged.
    pub synchronous: bool,
}
