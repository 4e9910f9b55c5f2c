//! Makes connections to the database.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use webhook_queue::QueueError;

use crate::failure::{describe, of_connecting, unusable};
use crate::settings::{Settings, SslMode};
use crate::tls;

/// The time-out of a connection attempt, unless the URL has one.
const CONNECT: Duration = Duration::from_secs(5);

/// The oldest server that has all that the tables need (lz4 for bodies).
const OLDEST_SERVER: u32 = 14;

/// Settings of each session. Times are milliseconds. A commit is on the disk when it returns,
/// whatever the default of the database is. Every read has an index that has its order, and there may
/// be no statistics from which the planner could know that; plans are made once.
const SESSION: &str = "SET statement_timeout = 10000; SET lock_timeout = 5000; \
     SET idle_in_transaction_session_timeout = 10000; SET idle_session_timeout = 0; \
     SET default_transaction_isolation = 'read committed'; SET client_min_messages = warning; \
     SET jit = off; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
     SET enable_bitmapscan = off; SET enable_sort = off; \
     SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') = 'off'";

/// The timeline of a primary, the first eight digits of the names of its files.
const TIMELINE: &str = "SELECT CASE WHEN NOT pg_is_in_recovery() \
     THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END";

/// Makes connections to the database, and knows whether it can be reached.
pub(crate) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    storage: String,
    reconnects: AtomicU64,
    opened: AtomicBool,
    reachable: AtomicBool,
    /// Why the last attempt to connect failed.
    found: Mutex<Option<String>>,
    /// Of the first connection to a primary that told it.
    timeline: OnceLock<String>,
    replaced: AtomicBool,
}

impl Connector {
    pub(crate) fn new(settings: &Settings) -> Result<Connector, QueueError> {
        // The cause is left out: it may have a part of a password.
        let mut config: Config = settings.connection.parse().map_err(|_| {
            unusable(
                "the database",
                "its URL is not valid: postgres://USER:PASSWORD@HOST:5432/DATABASE, or keywords \
                 and values as in libpq",
            )
        })?;
        let storage = storage(&config, &settings.schema);
        let hosts = config.get_hosts().to_vec();
        let is_local = hosts.iter().all(|host| matches!(host, Host::Unix(_)));
        let ssl_mode = match is_local {
            // As in libpq, whatever is asked for.
            true => SslMode::Disable,
            false => settings.ssl_mode,
        };
        let tls = tls::config(settings, ssl_mode).map_err(|detail| unusable(&storage, detail))?;
        config.ssl_mode(match ssl_mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("webhookd");
        }
        if hosts.len() > 1 {
            // The one of them that can be written to.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config.keepalives(true);
        config.keepalives_idle(Duration::from_secs(5));
        config.keepalives_interval(Duration::from_secs(2));
        config.keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(10));
        Ok(Connector {
            config,
            tls: tls.map(MakeRustlsConnect::new),
            storage,
            reconnects: AtomicU64::new(0),
            opened: AtomicBool::new(false),
            reachable: AtomicBool::new(false),
            found: Mutex::default(),
            timeline: OnceLock::new(),
            replaced: AtomicBool::new(false),
        })
    }

    /// The database and the schema, without secrets, for errors.
    pub(crate) fn storage(&self) -> &str {
        &self.storage
    }

    /// How many connections were made again.
    pub(crate) fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    pub(crate) fn note_reconnect(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the queue could be opened.
    pub(crate) fn set_opened(&self) {
        self.opened.store(true, Ordering::Relaxed);
    }

    fn was_opened(&self) -> bool {
        self.opened.load(Ordering::Relaxed)
    }

    /// Whether the last attempt to reach the database succeeded.
    pub(crate) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// Notes that the database has an earlier state than this process has seen, or another one.
    pub(crate) fn note_replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// Fails once the database was replaced. The numbers of entries, calls and claims may have been
    /// given again since, so nothing may be read or changed by what this process remembers of them.
    pub(crate) fn check_replaced(&self) -> Result<(), QueueError> {
        match self.replaced.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(QueueError::Replaced {
                storage: self.storage.clone(),
            }),
        }
    }

    /// Fails if it cannot be reached, as far as is known, or was replaced.
    pub(crate) fn check(&self) -> Result<(), QueueError> {
        self.check_replaced()?;
        match self.is_reachable() {
            true => Ok(()),
            false => Err(self.unavailable()),
        }
    }

    /// The error while it cannot be reached, with what the last attempt found.
    pub(crate) fn unavailable(&self) -> QueueError {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        QueueError::Unavailable {
            storage: self.storage.clone(),
            source: match &*found {
                Some(found) => found.clone().into(),
                None => "the connection was lost".into(),
            },
        }
    }

    pub(crate) fn set_reachable(&self, reachable: bool) {
        self.reachable.store(reachable, Ordering::Relaxed);
    }

    /// Connects. The task that carries the connection's messages runs on `runtime`.
    pub(crate) async fn connect(
        &self,
        runtime: &Runtime,
    ) -> Result<(Client, JoinHandle<()>), QueueError> {
        let made = match self.attempt(runtime).await {
            // What could be used will be again, once its cause is mended.
            Err(QueueError::Unusable { storage, detail }) if self.was_opened() => {
                let source = detail.into();
                Err(QueueError::Unavailable { storage, source })
            }
            made => made,
        };
        self.set_reachable(made.is_ok());
        let found = made.as_ref().err().map(|error| match error {
            QueueError::Unavailable { source, .. } => describe(&**source),
            error => describe(error),
        });
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        made
    }

    async fn attempt(&self, runtime: &Runtime) -> Result<(Client, JoinHandle<()>), QueueError> {
        let error = |error| of_connecting(error, &self.storage);
        let (client, task) = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(error)?;
                (
                    client,
                    runtime.spawn(async { connection.await.unwrap_or(()) }),
                )
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(error)?;
                (
                    client,
                    runtime.spawn(async { connection.await.unwrap_or(()) }),
                )
            }
        };
        client.batch_execute(SESSION).await.map_err(error)?;
        let row = client
            .query_one(
                "SELECT current_setting('server_version_num')::int4, \
                 current_setting('server_version')",
                &[],
            )
            .await
            .map_err(error)?;
        // Each promotion and each restore to a point in time begins a timeline. Without the right to
        // ask, an earlier state is still found by its last entry.
        let answer = client.simple_query(TIMELINE).await.unwrap_or_default();
        let timeline = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        if timeline.is_some_and(|it| self.timeline.get_or_init(|| it.to_owned()) != it) {
            self.note_replaced();
        }
        self.check_replaced()?;
        let (number, version): (i32, String) = (row.get(0), row.get(1));
        if number < (OLDEST_SERVER * 10_000) as i32 {
            return Err(unusable(
                &self.storage,
                format!("it is PostgreSQL {version}; {OLDEST_SERVER} or newer is needed"),
            ));
        }
        Ok((client, task))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}

/// Names the database without secrets.
fn storage(config: &Config, schema: &str) -> String {
    let hosts: Vec<_> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let database = config.get_dbname().or(config.get_user());
    format!(
        "the database {} at {} (schema {schema})",
        database.unwrap_or("of the user"),
        hosts.join(","),
    )
}
