//! The parts of a process that shares a queue, and their threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use webhook_queue::{Claim, QueueError, SlotGuard};

use crate::connection::Connection;
use crate::database::Database;
use crate::follower::Follower;
use crate::lease::{Lease, Owner, Slots, Stop, boot_time};
use crate::log::Log;
use crate::news::{Happened, News, Pace};
use crate::reader::Reader;
use crate::segments::Segments;
use crate::settings::Role;
use crate::shared_statistics::Shared;
use crate::targets::Targets;

/// The time between two reads of the log, if nothing else reads it.
const FOLLOW: Duration = Duration::from_millis(300);

/// The time between two looks for statistics.
const LOOK: Duration = Duration::from_secs(2);

/// The fence of an operator's reads, under which nothing is delivered.
const OPERATOR: u64 = u64::MAX;

/// What a process knows of a shared queue, and its threads.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) log: Arc<Log>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) follower: Arc<Follower>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) shared: Arc<Shared>,
    slots: Arc<Slots>,
    news: Arc<News>,
    watch: Mutex<Watch>,
    stop: Arc<Stop>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The state of the thread that waits for news.
#[derive(Debug)]
struct Watch {
    pace: Pace,
    /// When the last look was made.
    last: Instant,
    /// The last entry that was announced.
    announced: u64,
    /// Not before this time, unless the last look has left something.
    next: Instant,
}

impl Worker {
    /// Reads the log, and starts the threads of a worker.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn open(
        database: &Arc<Database>,
        targets: Arc<Targets>,
        connection: &mut Connection,
    ) -> Result<Worker, QueueError> {
        let slots = Arc::new(Slots::new(database.meta.slots));
        let log = Arc::new(Log::new(database));
        let reader = Reader::new(database.clone(), log.clone(), slots.clone());
        let (reader, news) = (Arc::new(reader), Arc::new(News::default()));
        let follower = Follower::new(log.clone(), targets, reader.clone(), news.clone());
        let worker = Worker {
            follower: Arc::new(follower),
            lease: Arc::new(Lease::new(database.clone(), slots.clone())),
            shared: Arc::new(Shared::new(database)),
            log,
            reader,
            slots,
            news,
            watch: Mutex::new(Watch {
                pace: Pace::new(database.settings.poll),
                last: Instant::now(),
                announced: 0,
                next: Instant::now(),
            }),
            stop: Arc::default(),
            threads: Mutex::default(),
        };
        worker.look(connection)?;
        match database.settings.role {
            Role::Operator => {
                worker.slots.extend(Duration::MAX);
                for slot in 0..database.meta.slots {
                    let fence = OPERATOR;
                    worker.slots.begin(Claim { slot, fence });
                }
            }
            Role::Worker => worker.start(database.clone())?,
        }
        Ok(worker)
    }

    fn start(&self, database: Arc<Database>) -> Result<(), QueueError> {
        let (lease, follower) = (self.lease.clone(), self.follower.clone());
        self.spawn("queue-lease", move || lease.run(&*follower))?;
        let (stop, follower) = (self.stop.clone(), self.follower.clone());
        let mut upkeep = Upkeep {
            segments: Segments::new(&database, self.log.clone()),
            connection: database.connection(),
            lease: self.lease.clone(),
            shared: self.shared.clone(),
            look: Instant::now(),
            follower,
        };
        self.spawn("queue-log", move || {
            while !stop.wait(FOLLOW) {
                // While the database is away, nothing changes.
                upkeep.step().ok();
            }
        })
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), QueueError> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(run).map_err(|source| QueueError::Storage {
            action: "start a thread of",
            source: source.into(),
        })?;
        self.threads().push(thread);
        Ok(())
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Permission to deliver an entry that was read under this claim.
    pub(crate) fn guard(&self, claim: Claim) -> Option<SlotGuard> {
        if claim.fence == OPERATOR {
            return None;
        }
        self.slots.guard(claim, boot_time())
    }

    /// The claims of now.
    #[cfg(test)]
    pub(crate) fn claims(&self) -> Vec<Claim> {
        self.slots.claims()
    }

    /// Notes that this process has appended entries up to this one.
    pub(crate) fn note_appended(&self, last: u64) {
        self.reader.note_appended(last);
        self.news.note_appended();
    }

    /// Waits until there are new entries, or until all are to be read again, up to `timeout`.
    pub(crate) fn wait_for_news(&self, timeout: Duration) -> webhook_queue::News {
        let deadline = Instant::now() + timeout;
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            let mut happened = Happened::default();
            if now < watch.next {
                let earliest = watch.last + watch.pace.pause_of_own(now);
                self.reader.set_watched(true);
                happened = self.news.wait(earliest, watch.next.min(deadline));
                self.reader.set_watched(false);
            }
            happened.reread |= self.news.take().reread;
            let now = Instant::now();
            if now < watch.next && !happened.appended && !happened.reread {
                return webhook_queue::News::default();
            }
            // While the database is away, the next look is the next attempt.
            let polled = self.reader.poll().unwrap_or_default();
            watch.pace.note(now, polled.found, self.reader.unread());
            watch.last = now;
            watch.next = match polled.more {
                true => now,
                false => now + watch.pace.pause(now),
            };
            // Those that a reader has found by itself are news for the other targets.
            let newest = self.reader.newest();
            let found = newest > watch.announced;
            watch.announced = newest;
            if found || happened.reread || now >= deadline {
                return webhook_queue::News {
                    appended: found,
                    reread: happened.reread,
                };
            }
        }
    }

    /// Follows the log, and reads what statistics have besides. A thread of a worker does so again
    /// and again, and for an operator each call for statistics.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn look(&self, connection: &mut Connection) -> Result<(), QueueError> {
        self.follower.catch_up(connection)?;
        look(&self.follower, &self.shared, None, connection)
    }

    /// Gives all claims back, and ends the threads.
    pub(crate) fn close(&self) {
        self.lease.stop();
        self.stop.set();
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            // A thread that panicked has ended as well.
            thread.join().ok();
        }
    }
}

/// What the thread `queue-log` does.
struct Upkeep {
    follower: Arc<Follower>,
    lease: Arc<Lease>,
    segments: Segments,
    shared: Arc<Shared>,
    connection: Connection,
    /// When statistics are due.
    look: Instant,
}

impl Upkeep {
    fn step(&mut self) -> Result<(), QueueError> {
        self.follower.catch_up(&mut self.connection)?;
        if self.lease.is_first() {
            self.segments.step(&mut self.connection).ok();
        }
        if Instant::now() < self.look {
            return Ok(());
        }
        look(
            &self.follower,
            &self.shared,
            self.lease.worker(),
            &mut self.connection,
        )?;
        self.look = Instant::now() + LOOK;
        Ok(())
    }
}

/// Reads what statistics have besides the log.
fn look(
    follower: &Follower,
    shared: &Shared,
    worker: Option<u64>,
    connection: &mut Connection,
) -> Result<(), QueueError> {
    let targets = follower.log.read().targets();
    follower.ages.refresh(&targets)?;
    connection.run("look at", |session| shared.refresh(session, worker))
}

impl Drop for Worker {
    /// Tells the threads to end.
    fn drop(&mut self) {
        self.lease.stop();
        self.stop.set();
    }
}
