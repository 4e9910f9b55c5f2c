//! Leases: which slots this process may deliver, and until when.
//!
//! A thread renews the lease, claims slots up to this worker's [share], and gives those over it away.

mod share;
mod slots;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use webhook_queue::{Claim, QueueError};

use crate::connection::Connection;
use crate::database::Database;

pub(crate) use share::share;
pub(crate) use slots::{Slots, boot_time};

/// Renewals during one lease.
const RENEWALS: u32 = 16;

/// The time between two looks at slots that are being given away.
const GIVING: Duration = Duration::from_millis(10);

/// What a new owner of slots does: it reads the log before it uses the claims.
pub(crate) trait Owner: Send + Sync {
    /// Reads the log up to now.
    ///
    /// # Errors
    /// The log cannot be read.
    fn catch_up(&self, connection: &mut Connection) -> Result<(), QueueError>;

    /// When the oldest entry was accepted that this process's slots are owed, by the server's clock.
    fn oldest(&self) -> Option<i64>;

    /// Begins claims, after [`catch_up`](Owner::catch_up).
    ///
    /// # Errors
    /// The database cannot be read; no claim begins.
    fn begin(&self, connection: &mut Connection, claims: &[Claim]) -> Result<(), QueueError>;
}

/// The lease of this process.
#[derive(Debug)]
pub(crate) struct Lease {
    database: Arc<Database>,
    slots: Arc<Slots>,
    statements: Statements,
    /// The id of the worker; 0 without a lease.
    worker: AtomicU64,
    /// Whether no other worker has a smaller id.
    first: AtomicBool,
    lost: AtomicU64,
    stop: Stop,
    /// Held during each step of the thread.
    step: Mutex<()>,
}

#[derive(Debug)]
struct Statements {
    join: String,
    renew: String,
    claim: String,
    release: String,
    leave: [String; 2],
}

/// Tells a thread to end.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(crate) fn set(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits up to `timeout`; whether the thread is to end.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, timeout, |it| !*it);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Lease {
    pub(crate) fn new(database: Arc<Database>, slots: Arc<Slots>) -> Lease {
        let sql = |statement: &str| database.sql(statement);
        Lease {
            statements: Statements {
                join: sql("INSERT INTO {schema}.worker (id, name, expires) \
                     VALUES (nextval('{schema}.worker_id'), $1, clock_timestamp() + $2::int8 * interval '1 ms') \
                     RETURNING id"),
                renew: sql("SELECT renewed, now_ms, workers, rank, free \
                     FROM {schema}.renew_lease($1, $2::int8 * interval '1 ms', $3)"),
                claim: sql("SELECT claimed, fence FROM {schema}.claim_slots($1, $2, $3)"),
                release: sql(
                    "UPDATE {schema}.slot SET owner = NULL WHERE owner = $1 AND slot = ANY ($2)",
                ),
                leave: [
                    sql("UPDATE {schema}.slot SET owner = NULL WHERE owner = $1"),
                    sql("DELETE FROM {schema}.worker WHERE id = $1"),
                ],
            },
            database,
            slots,
            worker: AtomicU64::new(0),
            first: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            stop: Stop::default(),
            step: Mutex::default(),
        }
    }

    /// The id of this worker, while it has a lease.
    pub(crate) fn worker(&self) -> Option<u64> {
        Some(self.worker.load(Ordering::Acquire)).filter(|id| *id > 0)
    }

    /// Whether this worker does what one is to do: the one with the smallest id.
    pub(crate) fn is_first(&self) -> bool {
        self.worker().is_some() && self.first.load(Ordering::Relaxed)
    }

    /// How often the lease was lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Ends [`run`](Lease::run).
    pub(crate) fn stop(&self) {
        self.stop.set();
    }

    /// Keeps the lease and its share of the slots until it is stopped, and gives all back then.
    pub(crate) fn run(&self, owner: &dyn Owner) {
        let mut keeper = Keeper {
            lease: self,
            connection: self.database.connection(),
            leaving: BTreeSet::new(),
            renew_at: Duration::ZERO,
        };
        let mut pause = Duration::ZERO;
        while !self.stop.wait(pause) {
            let _step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
            pause = keeper.step(owner);
        }
        keeper.leave();
    }

    /// Keeps the thread from renewing the lease while the result exists.
    #[cfg(test)]
    pub(crate) fn pause(&self) -> std::sync::MutexGuard<'_, ()> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn length(&self) -> Duration {
        self.database.settings.lease
    }
}

/// The state of the thread.
struct Keeper<'l> {
    lease: &'l Lease,
    connection: Connection,
    /// Slots whose claims have ended and that this worker still owns in the database.
    leaving: BTreeSet<u16>,
    /// When the lease is to be renewed, as a time of [`boot_time`].
    renew_at: Duration,
}

impl Keeper<'_> {
    /// Does what is due; returns the time to the next step.
    fn step(&mut self, owner: &dyn Owner) -> Duration {
        let tick = self.lease.length() / RENEWALS;
        if boot_time() >= self.renew_at {
            self.renew_at = boot_time() + tick;
            // While the database is away, the permission to send ends by itself.
            self.renew(owner).ok();
        }
        self.release().ok();
        let rest = self.renew_at.saturating_sub(boot_time());
        match self.leaving.is_empty() {
            true => rest,
            false => rest.min(GIVING),
        }
    }

    fn renew(&mut self, owner: &dyn Owner) -> Result<(), QueueError> {
        let worker = match self.lease.worker() {
            Some(worker) => worker,
            None => {
                // It may take long. The settlements since are read after the claim.
                owner.catch_up(&mut self.connection)?;
                self.join()?
            }
        };
        let (lease, statements) = (self.lease, &self.lease.statements);
        let oldest = owner.oldest();
        let before = boot_time();
        let row = self.connection.run("renew the lease of", |session| {
            session.query_one(
                &statements.renew,
                &[
                    &worker.cast_signed(),
                    &milliseconds(lease.length()),
                    &oldest,
                ],
            )
        })?;
        let (renewed, now_ms): (bool, i64) = (row.get(0), row.get(1));
        if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) {
            let took = boot_time().saturating_sub(before) / 2;
            let now = now.saturating_sub(took).as_millis();
            lease
                .database
                .set_clock_offset(now_ms - i64::try_from(now).unwrap_or(now_ms));
        }
        if !renewed {
            lease.slots.end_all();
            lease.worker.store(0, Ordering::Release);
            lease.lost.fetch_add(1, Ordering::Relaxed);
            self.leaving.clear();
            self.renew_at = Duration::ZERO;
            return Ok(());
        }
        let mut claims = lease.slots.claims();
        // The margin is for clocks that do not run at the same speed.
        let send_until = before + lease.length() - lease.length() / 10;
        if !lease.slots.extend(send_until) {
            // The slots go back, and are claimed again.
            self.leaving.extend(claims.drain(..).map(|it| it.slot));
        }
        let [workers, rank, free]: [i32; 3] = [row.get(2), row.get(3), row.get(4)];
        lease.first.store(rank == 0, Ordering::Relaxed);
        let slots = lease.slots.count();
        let share = share(slots, workers.cast_unsigned(), rank.cast_unsigned());
        let mut have: BTreeSet<u16> = claims.iter().map(|it| it.slot).collect();
        have.extend(&self.leaving);
        let share = usize::from(share);
        if have.len() > share {
            let surplus = have.len() - share;
            self.give_away(claims, surplus.saturating_sub(self.leaving.len()));
        } else if have.len() < share && have.len() < free.unsigned_abs() as usize {
            let most = share - have.len();
            self.claim(owner, worker, most, &have)?;
        }
        Ok(())
    }

    fn join(&mut self) -> Result<u64, QueueError> {
        let lease = self.lease;
        let settings = &lease.database.settings;
        let row = self.connection.run("join", |session| {
            let values: [crate::connection::Parameter<'_>; 2] =
                [&settings.worker_name, &milliseconds(settings.lease)];
            session.query_one(&lease.statements.join, &values)
        })?;
        let worker = row.get::<_, i64>(0).cast_unsigned();
        lease.worker.store(worker, Ordering::Release);
        Ok(worker)
    }

    fn claim(
        &mut self,
        owner: &dyn Owner,
        worker: u64,
        most: usize,
        have: &BTreeSet<u16>,
    ) -> Result<(), QueueError> {
        let statement = &self.lease.statements.claim;
        let have: Vec<i16> = have.iter().map(|slot| slot.cast_signed()).collect();
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let rows = self.connection.run("claim slots of", |session| {
            session.query(statement, &[&worker.cast_signed(), &most, &have])
        })?;
        let claim = |row: &tokio_postgres::Row| Claim {
            slot: row.get::<_, i16>(0).cast_unsigned(),
            fence: row.get::<_, i64>(1).cast_unsigned(),
        };
        let claims: Vec<Claim> = rows.iter().map(claim).collect();
        if claims.is_empty() {
            return Ok(());
        }
        let begun = owner.catch_up(&mut self.connection);
        let begun = begun.and_then(|()| owner.begin(&mut self.connection, &claims));
        if begun.is_err() {
            // They are owned and not used: given back, and claimed again.
            self.leaving.extend(claims.iter().map(|it| it.slot));
        }
        begun
    }

    /// Ends claims, first to slots without guards.
    fn give_away(&mut self, mut claims: Vec<Claim>, surplus: usize) {
        let slots = &self.lease.slots;
        claims.sort_by_key(|it| !slots.is_unused(it.slot));
        for claim in claims.iter().take(surplus) {
            slots.end(claim.slot);
            self.leaving.insert(claim.slot);
        }
    }

    /// Gives the slots back that are not used any more.
    fn release(&mut self) -> Result<(), QueueError> {
        let slots = &self.lease.slots;
        let unused = self
            .leaving
            .iter()
            .copied()
            .filter(|slot| slots.is_unused(*slot));
        let unused: Vec<i16> = unused.map(u16::cast_signed).collect();
        let Some(worker) = self.lease.worker().filter(|_| !unused.is_empty()) else {
            return Ok(());
        };
        let statement = &self.lease.statements.release;
        self.connection.run("give slots back to", |session| {
            session.execute(statement, &[&worker.cast_signed(), &unused])
        })?;
        self.leaving
            .retain(|slot| !unused.contains(&slot.cast_signed()));
        Ok(())
    }

    /// Gives everything back.
    fn leave(&mut self) {
        self.lease.slots.end_all();
        let Some(worker) = self.lease.worker() else {
            return;
        };
        self.lease.worker.store(0, Ordering::Release);
        let left = self.connection.run("leave", |session| {
            session.transaction(|session| {
                for statement in &self.lease.statements.leave {
                    session.execute(statement, &[&worker.cast_signed()])?;
                }
                Ok(())
            })
        });
        // If the database is away, the lease expires.
        left.ok();
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
