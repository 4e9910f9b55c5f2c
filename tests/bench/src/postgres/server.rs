//! The PostgreSQL server of a measurement, and its counters.

use super::results::ServerCounts;
use anyhow::{Context, Result};
use std::time::Duration;
use testkit::{Postgres, Process, proc};

/// Lines of postgresql.conf; all else is the server's default.
pub(super) fn settings() -> [&'static str; 5] {
    [
        "shared_buffers = 512MB",
        "max_wal_size = 4GB",
        "max_connections = 300",
        "shared_preload_libraries = 'pg_stat_statements'",
        "fsync = on",
    ]
}

/// A new server with an empty database.
#[derive(Debug)]
pub(crate) struct Server {
    postgres: Postgres,
    /// Its first process.
    pid: u32,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    /// Bytes of WAL since the server was made.
    wal: f64,
    statements: f64,
}

impl Server {
    pub(crate) fn start() -> Result<Server> {
        let postgres = Postgres::start(&settings()).context("PostgreSQL is not installed")?;
        postgres.query("CREATE EXTENSION pg_stat_statements");
        let path = postgres.folder().join("data/postmaster.pid");
        let text = std::fs::read_to_string(path).context("cannot read postmaster.pid")?;
        let pid = text.lines().next().and_then(|line| line.parse().ok());
        Ok(Server {
            postgres,
            pid: pid.context("postmaster.pid has no process number")?,
        })
    }

    pub(crate) fn url(&self) -> String {
        self.postgres.url()
    }

    /// Runs SQL as the role of the workers' database.
    pub(super) fn create(&self, sql: &str) {
        self.postgres.query(&format!("SET ROLE webhook; {sql}"));
    }

    /// The processor time of all its processes so far.
    pub(super) fn processor_time(&self) -> Duration {
        proc::family_processor_time(self.pid).unwrap_or_default()
    }

    /// A transaction that holds a snapshot and a transaction number until it is dropped.
    pub(super) fn hold_xmin(&self) -> Process {
        let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()";
        self.postgres.session(sql)
    }

    pub(super) fn counters(&self) -> Counters {
        let sql = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn,
            (SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s
             JOIN pg_roles r ON r.oid = s.userid WHERE r.rolname = 'webhook' AND s.toplevel)";
        let [wal, statements] = numbers(&self.postgres.query(sql));
        Counters { wal, statements }
    }

    /// The counts for each event, once the workers have ended: `total` events since the server was
    /// started, `events` of them since `before`.
    pub(super) fn counts(&self, before: Counters, events: u64, total: u64) -> ServerCounts {
        let now = self.counters();
        let sql = "SELECT coalesce(sum(n_tup_upd + n_tup_del), 0), coalesce(sum(n_dead_tup), 0),
            (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())
            FROM pg_stat_user_tables";
        let [dead, dead_at_end, commits] = numbers(&self.postgres.query(sql));
        let (each, of_all) = (1.0 / events as f64, 1.0 / total as f64);
        ServerCounts {
            wal_bytes: (now.wal - before.wal) * each,
            statements: (now.statements - before.statements) * each * 1_000.0,
            dead_tuples: dead * of_all,
            dead_at_end: dead_at_end * of_all,
            commits: commits * of_all * 1_000.0,
        }
    }
}

/// The numbers of a row.
fn numbers<const N: usize>(row: &str) -> [f64; N] {
    let mut columns = row.split('|').map(|text| text.parse().unwrap_or(f64::NAN));
    [(); N].map(|()| columns.next().unwrap_or(f64::NAN))
}
