//! The queue as a whole.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use webhook_queue::{
    Claim, CommitResult, DeadLetter, EntryId, Event, News, Owed, Queue, QueueError, Quotas,
    Settlement, SharedStatistics, SlotGuard, Statistics, TargetHold, TargetStatistics, merge_kept,
};

use crate::connection::Connection;
use crate::database::Database;
use crate::dead_letters::DeadLetters;
use crate::flush::{Flusher, Known, states};
use crate::lease::Owner;
use crate::settings::{Role, Settings};
use crate::targets::Targets;
use crate::worker::Worker;

/// A [`Queue`] in a PostgreSQL database, which several processes share.
///
/// Bounds are those of the whole queue, and each process knows its use as of a moment ago: workers
/// that accept events at once may exceed a bound by what they accept in that moment. An event counts
/// for each of its targets.
#[derive(Debug)]
pub struct PostgresQueue {
    database: Arc<Database>,
    targets: Arc<Targets>,
    flusher: Flusher,
    dead_letters: DeadLetters,
    known: Known,
    pub(crate) worker: Worker,
    /// For what operators look at and change, and for single look-ups.
    connection: Mutex<Connection>,
    fenced: AtomicU64,
}

impl PostgresQueue {
    /// Opens the queue; creates its tables if there are none and this process is a worker.
    ///
    /// # Errors
    /// [`Unavailable`](QueueError::Unavailable) if the database cannot be reached, and
    /// [`Unusable`](QueueError::Unusable) with what to do if it cannot be used.
    pub fn open(settings: Settings) -> Result<PostgresQueue, QueueError> {
        let (database, mut connection) = Database::open(settings)?;
        let database = Arc::new(database);
        let targets = Arc::new(Targets::new(&database));
        connection.run("read", |session| targets.reload(session))?;
        let worker = Worker::open(&database, targets.clone(), &mut connection)?;
        let flusher = Flusher::new(
            database.clone(),
            worker.follower.clone(),
            targets.clone(),
            database.connection(),
        );
        Ok(PostgresQueue {
            dead_letters: DeadLetters::new(database.clone(), targets.clone()),
            known: Known::new(&database),
            connection: Mutex::new(connection),
            fenced: AtomicU64::new(0),
            flusher,
            targets,
            worker,
            database,
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        let connection = self.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the log after a change of this process that has no effect on it by itself.
    fn follow(&self, connection: &mut Connection) {
        // What is not read now is read within a moment.
        connection
            .run("read", |session| self.worker.follower.follow(session))
            .ok();
    }

    fn target(&self, name: &str) -> Result<Option<i16>, QueueError> {
        if self.database.settings.role == Role::Operator {
            // No thread follows the log for it.
            self.worker.follower.catch_up(&mut self.connection())?;
        }
        Ok(self.targets.id(name))
    }
}

impl Queue for PostgresQueue {
    fn commit(
        &self,
        appends: &[Event],
        settlements: &[Settlement],
    ) -> Result<CommitResult, QueueError> {
        let committed = self.flusher.commit(appends, settlements)?;
        self.fenced.fetch_add(committed.fenced, Ordering::Relaxed);
        if let Some(last) = committed.last {
            self.worker.note_appended(last);
        }
        Ok(committed.result)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn guard(&self, claim: Claim) -> Option<SlotGuard> {
        self.worker.guard(claim)
    }

    fn wait_for_news(&self, timeout: Duration) -> News {
        self.worker.wait_for_news(timeout)
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.flusher.set_quotas(quotas);
    }

    fn trim_dead_letters(&self, now: u64) -> Result<Vec<(Arc<str>, u64)>, QueueError> {
        let quotas = self.flusher.quotas();
        let mut connection = self.connection();
        let follower = &self.worker.follower;
        let follow = |session: &mut _| follower.follow(session);
        let removed =
            self.dead_letters
                .trim(&mut connection, &quotas, now, &self.worker.log, follow)?;
        if !removed.is_empty() {
            self.follow(&mut connection);
        }
        Ok(removed)
    }

    fn is_repetition(&self, key: &[u8], body: &[u8]) -> Result<bool, QueueError> {
        self.known
            .is_repetition(&self.database, &mut self.connection(), key, body)
    }

    fn last_state(&self, key: &[u8]) -> Result<Option<Arc<[u8]>>, QueueError> {
        self.known
            .last_state(&self.database, &mut self.connection(), key)
    }

    fn owed(
        &self,
        target: &str,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        match self.target(target)? {
            Some(id) => self.worker.reader.owed(id, after.map(|it| it.0), visit),
            None => Ok(()),
        }
    }

    fn owed_of_keys(
        &self,
        target: &str,
        keys: &[Arc<[u8]>],
        visit: &mut dyn FnMut(usize, Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        match self.target(target)? {
            Some(id) => self.worker.reader.owed_of_keys(id, keys, visit),
            None => Ok(()),
        }
    }

    fn dead_letters(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        // A connection of its own: `visit` may take its time, and use the queue.
        let mut connection = self.database.connection();
        self.dead_letters
            .visit(&mut connection, target, after, visit)
    }

    fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        let mut connection = self.connection();
        let found = self.dead_letters.replay(&mut connection, target, entries);
        self.follow(&mut connection);
        found
    }

    fn drop_dead(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError> {
        let mut connection = self.connection();
        let found = self
            .dead_letters
            .drop_dead(&mut connection, target, entries);
        self.follow(&mut connection);
        found
    }

    fn drop_target(&self, target: &str) -> Result<u64, QueueError> {
        let mut connection = self.connection();
        let removed = self.dead_letters.drop_target(&mut connection, target);
        self.follow(&mut connection);
        removed
    }

    fn hold(&self, target: &str) -> Result<Option<TargetHold>, QueueError> {
        self.dead_letters.hold(&mut self.connection(), target)
    }

    fn check(&self) -> Result<(), QueueError> {
        self.database.connector.check()
    }

    fn close(&self) -> Result<(), QueueError> {
        self.worker.close();
        Ok(())
    }

    fn statistics(&self) -> Result<Statistics, QueueError> {
        if self.database.settings.role == Role::Operator {
            self.worker.look(&mut self.connection())?;
        }
        let usage = self.flusher.usage();
        let number = |it: i64| u64::try_from(it).unwrap_or(0);
        let mut statistics = Statistics {
            bytes: usage.bytes,
            max_bytes: usage.max_bytes,
            usable_bytes: usage.max_bytes,
            last_states: states(&self.worker.log),
            shared: Some(SharedStatistics {
                leases_lost: self.worker.lease.lost(),
                fenced: self.fenced.load(Ordering::Relaxed),
                reconnects: self.database.connector.reconnects(),
                reachable: self.database.connector.is_reachable(),
                ..self.worker.shared.last()
            }),
            ..Statistics::default()
        };
        let ages = &self.worker.follower.ages;
        let log = self.worker.log.read();
        for (name, id) in self.targets.all().iter() {
            let totals = log.totals(*id);
            statistics.events += number(totals.owed) + number(totals.dead);
            statistics.targets.push(TargetStatistics {
                target: name.to_string(),
                pending: number(totals.owed),
                oldest_accepted_at: ages.oldest(*id).map(|it| self.database.to_local(it)),
                owed_bytes: number(totals.owed_bytes),
                dead: number(totals.dead),
                dead_bytes: number(totals.dead_bytes),
                ..TargetStatistics::default()
            });
        }
        statistics.targets = merge_kept(statistics.targets);
        Ok(statistics)
    }
}
