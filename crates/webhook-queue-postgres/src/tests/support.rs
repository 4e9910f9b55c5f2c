//! A server, processes that share a queue on it, and changes of the queue by plain statements.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testkit::{DEADLINE, Postgres};
use tokio_postgres::Row;
use webhook_queue::Claim;

use crate::connection::{Connection, Parameter};
use crate::database::Database;
use crate::log::{Flush, TargetId, Totals};
use crate::settings::{Role, Settings};
use crate::targets::Targets;
use crate::worker::Worker;

/// A queue with two targets, 1 and 2.
pub(super) struct Server {
    pub(super) postgres: Postgres,
    pub(super) settings: Settings,
}

/// An entry that was read: its number, key, body, attempts and claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) entry: u64,
    pub(super) key: String,
    pub(super) body: String,
    pub(super) attempts: u32,
    pub(super) claim: Claim,
}

impl Server {
    /// `None` where PostgreSQL is not installed.
    pub(super) fn start() -> Option<Server> {
        let postgres = Postgres::start(&["fsync = off"])?;
        let mut settings = Settings::new(postgres.url());
        settings.lease = Duration::from_secs(2);
        let server = Server { postgres, settings };
        let creator = Process::open(&server, Role::Worker, false);
        creator.change(
            "INSERT INTO {schema}.target (name) VALUES ('one'), ('two')",
            &[],
        );
        Some(server)
    }

    /// A worker with all its threads.
    pub(super) fn worker(&self) -> Process {
        Process::open(self, Role::Worker, true)
    }

    pub(super) fn operator(&self) -> Process {
        Process::open(self, Role::Operator, true)
    }

    pub(super) fn number(&self, sql: &str) -> u64 {
        let answer = self.postgres.query(sql);
        answer
            .parse()
            .unwrap_or_else(|_| panic!("{sql}: {answer:?}"))
    }

    /// Waits until a query has this answer.
    pub(super) fn wait_for(&self, sql: &str, answer: &str) {
        wait_for(sql, || self.postgres.query(sql) == answer);
    }
}

pub(super) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within the deadline: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A process that shares the queue.
pub(super) struct Process {
    pub(super) database: Arc<Database>,
    connection: std::sync::Mutex<Connection>,
    worker: Option<Worker>,
}

impl Process {
    fn open(server: &Server, role: Role, threads: bool) -> Process {
        let mut settings = server.settings.clone();
        settings.role = role;
        let (database, mut connection) = Database::open(settings).expect("the database is there");
        let database = Arc::new(database);
        let targets = Arc::new(Targets::new(&database));
        let worker =
            threads.then(|| Worker::open(&database, targets, &mut connection).expect("it opens"));
        Process {
            database,
            connection: connection.into(),
            worker,
        }
    }

    pub(super) fn worker(&self) -> &Worker {
        self.worker.as_ref().expect("it has threads")
    }

    pub(super) fn query(&self, sql: &str, values: &[Parameter<'_>]) -> Vec<Row> {
        let mut connection = self.connection.lock().expect("no test panicked");
        let sql = self.database.sql(sql);
        let rows = connection.run("test", |session| session.query(&sql, values));
        rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    pub(super) fn change(&self, sql: &str, values: &[Parameter<'_>]) -> u64 {
        let mut connection = self.connection.lock().expect("no test panicked");
        let sql = self.database.sql(sql);
        let changed = connection.run("test", |session| session.execute(&sql, values));
        changed.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// Appends an event; returns its entry.
    pub(super) fn append(&self, key: &str, targets: &[TargetId], body: &str) -> u64 {
        let hash = self.database.hash(key.as_bytes());
        let slot = self.database.slot(hash).cast_signed();
        let mut connection = self.connection.lock().expect("no test panicked");
        let run = |session: &mut crate::connection::Session| {
            session.transaction(|session| {
                let row = session.query_one(&self.database.sql("SELECT segment FROM {schema}.head FOR UPDATE"), &[])?;
                let segment: i16 = row.get(0);
                let row = session.query_one(&self.database.sql("SELECT nextval('{schema}.entry')"), &[])?;
                let entry: i64 = row.get(0);
                let bytes = i32::try_from(body.len() + key.len()).expect("it is small");
                let insert = self.database.sql(&format!(
                    "INSERT INTO {{schema}}.event_{segment} (entry, hash, accepted_at, id, bytes, slot, targets, key, body) \
                     VALUES ($1, $2, 1000, gen_random_uuid(), $3, $4, $5, $6, $7)"
                ));
                session.execute(&insert, &[&entry, &hash, &bytes, &slot, &targets, &key.as_bytes(), &body.as_bytes()])?;
                let ones = vec![1_i64; targets.len()];
                let sizes = vec![i64::from(bytes); targets.len()];
                let zeros = vec![0_i64; targets.len()];
                let log = self.database.sql(&format!(
                    "INSERT INTO {{schema}}.log_{segment} (number, count, total_target, owed, owed_bytes, dead, dead_bytes) \
                     VALUES ($1, 1, $2, $3, $4, $5, $5)"
                ));
                session.execute(&log, &[&entry, &targets, &ones, &sizes, &zeros])?;
                Ok(entry.cast_unsigned())
            })
        };
        let entry = connection.run("test", run).expect("it is appended");
        drop(connection);
        if let Some(worker) = &self.worker {
            worker.note_appended(entry);
        }
        entry
    }

    /// Settles an entry under a claim, or notes a failed attempt. False if the claim had ended.
    pub(super) fn settle(
        &self,
        entry: u64,
        target: TargetId,
        claim: Claim,
        attempts: Option<i32>,
    ) -> bool {
        let mut connection = self.connection.lock().expect("no test panicked");
        let run = |session: &mut crate::connection::Session| {
            session.transaction(|session| {
                let row = session.query_one(&self.database.sql("SELECT segment FROM {schema}.head FOR UPDATE"), &[])?;
                let segment: i16 = row.get(0);
                let fence = self.database.sql("SELECT FROM {schema}.slot WHERE slot = $1 AND epoch = $2");
                let slot = [claim.slot.cast_signed()];
                if session.query_opt(&fence, &[&slot[0], &claim.fence.cast_signed()])?.is_none() {
                    return Ok(None);
                }
                let row = session.query_one(&self.database.sql("SELECT nextval('{schema}.entry')"), &[])?;
                let number: i64 = row.get(0);
                let (entries, targets) = (vec![entry.cast_signed()], vec![target]);
                if let Some(attempts) = attempts {
                    let log = self.database.sql(&format!(
                        "INSERT INTO {{schema}}.log_{segment} (number, count, attempted, attempted_target, attempts, not_before) \
                         VALUES ($1, 0, $2, $3, $4, $5)"
                    ));
                    session.execute(&log, &[&number, &entries, &targets, &vec![attempts], &vec![5_i64]])?;
                } else {
                    let log = self.database.sql(&format!(
                        "INSERT INTO {{schema}}.log_{segment} (number, count, settled, settled_target, total_target, owed, owed_bytes, dead, dead_bytes) \
                         VALUES ($1, 0, $2, $3, $3, '{{-1}}', '{{0}}', '{{0}}', '{{0}}')"
                    ));
                    session.execute(&log, &[&number, &entries, &targets])?;
                    let parked = self.database.sql("DELETE FROM {schema}.parked WHERE entry = $1 AND target = $2");
                    session.execute(&parked, &[&entry.cast_signed(), &target])?;
                }
                Ok(Some(number.cast_unsigned()))
            })
        };
        let number = connection.run("test", run).expect("it is settled");
        let (Some(number), Some(worker)) = (number, &self.worker) else {
            return false;
        };
        let mut flush = Flush {
            number,
            ..Flush::default()
        };
        match attempts {
            Some(attempts) => flush.attempted.push((
                entry,
                target,
                crate::log::Attempt {
                    attempts: attempts.cast_unsigned(),
                    not_before: 5,
                },
            )),
            None => {
                flush.settled.push((entry, target));
                flush.changes.push((
                    target,
                    Totals {
                        owed: -1,
                        ..Totals::default()
                    },
                ));
            }
        }
        worker.log.change(|log| log.apply_own(&flush));
        true
    }

    /// What a target is owed after an entry, up to a number of entries.
    pub(super) fn owed(&self, target: TargetId, after: Option<u64>, most: usize) -> Vec<Read> {
        let mut read = Vec::new();
        let visit = &mut |owed: webhook_queue::Owed<'_>| {
            read.push(read_of(&owed));
            match read.len() < most {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        self.worker()
            .reader
            .owed(target, after, visit)
            .expect("it can be read");
        read
    }

    pub(super) fn entries(&self, target: TargetId, after: Option<u64>) -> Vec<u64> {
        self.owed(target, after, usize::MAX)
            .iter()
            .map(|it| it.entry)
            .collect()
    }

    /// What a target is owed of these keys, up to a number of entries each.
    pub(super) fn owed_of_keys(
        &self,
        target: TargetId,
        keys: &[&str],
        most: usize,
    ) -> Vec<Vec<Read>> {
        let names: Vec<Arc<[u8]>> = keys.iter().map(|key| key.as_bytes().into()).collect();
        let mut read = vec![Vec::new(); keys.len()];
        let visit = &mut |index: usize, owed: webhook_queue::Owed<'_>| {
            read[index].push(read_of(&owed));
            match read[index].len() < most {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        self.worker()
            .reader
            .owed_of_keys(target, &names, visit)
            .expect("it can be read");
        read
    }

    /// Waits until the worker has this many slots.
    pub(super) fn wait_for_slots(&self, count: usize) {
        wait_for("slots", || self.worker().claims().len() == count);
    }

    pub(super) fn follow(&self) {
        let mut connection = self.connection.lock().expect("no test panicked");
        let follower = &self.worker().follower;
        connection
            .run("test", |session| follower.follow(session))
            .expect("the log can be read");
    }
}

fn read_of(owed: &webhook_queue::Owed<'_>) -> Read {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("tests write text");
    Read {
        entry: owed.entry.0,
        key: text(owed.key),
        body: text(owed.body),
        attempts: owed.attempts,
        claim: owed.claim,
    }
}
