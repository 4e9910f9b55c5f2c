//! One connection to the database, as a blocking object that connects again when it was lost.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};
use webhook_queue::QueueError;

use crate::connector::Connector;
use crate::failure::Failure;

/// The pause after a failed connection attempt; each is twice as long as the one before, up to
/// [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The time that a statement may take. The server's own time-outs are shorter; this one ends the
/// wait for a server that does not answer at all.
const STATEMENT: Duration = Duration::from_secs(15);

/// The time that is given to the server to be told of the end of a connection.
const FAREWELL: Duration = Duration::from_millis(100);

/// A parameter of a statement.
pub(crate) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// A connection for one thread at a time. It is made when it is needed.
pub(crate) struct Connection {
    connector: Arc<Connector>,
    session: Option<Session>,
    was_made: bool,
    pause: Duration,
    /// Until when no attempt is made to connect again.
    retry_at: Option<Instant>,
}

/// A live connection.
pub(crate) struct Session {
    client: Option<Client>,
    task: Option<JoinHandle<()>>,
    /// Prepared, by their text.
    statements: HashMap<String, Statement>,
    runtime: Runtime,
    connector: Arc<Connector>,
}

impl Connection {
    pub(crate) fn new(connector: Arc<Connector>) -> Connection {
        Connection {
            connector,
            session: None,
            was_made: false,
            pause: FIRST_PAUSE,
            retry_at: None,
        }
    }

    /// Runs statements that change nothing, or that can be repeated. `action` is what is done to the
    /// queue, for an error. A connection that was lost since the last call is made again.
    pub(crate) fn run<T>(
        &mut self,
        action: &'static str,
        mut statements: impl FnMut(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, QueueError> {
        let was_open = self.session.is_some();
        let session = self.session()?;
        let mut result = statements(session);
        if result.as_ref().is_err_and(Failure::is_lost) {
            self.lost();
            if was_open {
                result = statements(self.session()?);
                if result.as_ref().is_err_and(Failure::is_lost) {
                    self.lost();
                }
            }
        }
        if result.is_ok() {
            // An attempt to connect may have failed meanwhile, for lack of a free connection say.
            self.connector.set_reachable(true);
        }
        result.map_err(|failure| failure.into_error(self.connector.storage(), action))
    }

    /// The live connection; connects if there is none. After a failed attempt the next is made after
    /// a pause, and calls before fail at once.
    pub(crate) fn session(&mut self) -> Result<&mut Session, QueueError> {
        self.connector.check_replaced()?;
        if self.session.is_none() {
            if let Some(retry_at) = self.retry_at
                && Instant::now() < retry_at
            {
                return Err(self.connector.unavailable());
            }
            match Session::open(&self.connector) {
                Ok(session) => {
                    if std::mem::replace(&mut self.was_made, true) {
                        self.connector.note_reconnect();
                    }
                    self.session = Some(session);
                    self.pause = FIRST_PAUSE;
                    self.retry_at = None;
                }
                Err(error) => {
                    self.retry_at = Some(Instant::now() + self.pause);
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                    return Err(error);
                }
            }
        }
        Ok(self.session.as_mut().expect("it was made above"))
    }

    /// As [`session`](Connection::session), and tries until `deadline` while the database is away.
    pub(crate) fn session_until(&mut self, deadline: Instant) -> Result<&mut Session, QueueError> {
        loop {
            match self.session() {
                Ok(_) => break,
                Err(error) => {
                    let is_final = !matches!(error, QueueError::Unavailable { .. });
                    if is_final || Instant::now() >= deadline {
                        return Err(error);
                    }
                }
            }
            let retry_at = self.retry_at.unwrap_or_else(Instant::now).min(deadline);
            std::thread::sleep(retry_at.saturating_duration_since(Instant::now()));
        }
        self.session()
    }

    /// Drops a connection that was lost. The next attempt to connect tells whether the database can
    /// be reached: the server may have ended this connection alone.
    pub(crate) fn lost(&mut self) {
        if let Some(session) = &mut self.session {
            // The connection is gone: there is nothing to close.
            session.task = None;
        }
        self.session = None;
    }
}

impl Session {
    fn open(connector: &Arc<Connector>) -> Result<Session, QueueError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| QueueError::Storage {
                action: "connect to",
                source: source.into(),
            })?;
        let connecting = async {
            match tokio::time::timeout(STATEMENT, connector.connect(&runtime)).await {
                Ok(made) => made,
                Err(late) => Err(QueueError::Unavailable {
                    storage: connector.storage().to_owned(),
                    source: late.into(),
                }),
            }
        };
        let (client, task) = runtime.block_on(connecting)?;
        Ok(Session {
            client: Some(client),
            task: Some(task),
            statements: HashMap::new(),
            runtime,
            connector: connector.clone(),
        })
    }

    /// Runs a query, which is prepared once.
    pub(crate) fn query(
        &mut self,
        sql: &str,
        values: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.prepared(sql)?;
        self.wait(async |client| client.query(&statement, values).await)
    }

    /// Runs a query that has one row.
    pub(crate) fn query_one(
        &mut self,
        sql: &str,
        values: &[Parameter<'_>],
    ) -> Result<Row, Failure> {
        let statement = self.prepared(sql)?;
        self.wait(async |client| client.query_one(&statement, values).await)
    }

    /// Runs a query that has at most one row.
    pub(crate) fn query_opt(
        &mut self,
        sql: &str,
        values: &[Parameter<'_>],
    ) -> Result<Option<Row>, Failure> {
        let statement = self.prepared(sql)?;
        self.wait(async |client| client.query_opt(&statement, values).await)
    }

    /// Runs a statement; returns how many rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, values: &[Parameter<'_>]) -> Result<u64, Failure> {
        let statement = self.prepared(sql)?;
        self.wait(async |client| client.execute(&statement, values).await)
    }

    /// Runs several statements without parameters.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), Failure> {
        self.wait(async |client| client.batch_execute(sql).await)
    }

    /// Runs statements in one transaction, which is rolled back if one fails.
    pub(crate) fn transaction<T>(
        &mut self,
        statements: impl FnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.batch("BEGIN")?;
        let result = statements(self);
        match &result {
            Ok(_) => self.batch("COMMIT")?,
            Err(failure) if failure.is_lost() => {}
            Err(_) => self.batch("ROLLBACK")?,
        }
        result
    }

    fn prepared(&mut self, sql: &str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.wait(async |client| client.prepare(sql).await)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Waits for the answer of the database, up to a deadline.
    fn wait<T>(
        &self,
        call: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Failure> {
        let client = self.client.as_ref().expect("it is taken by drop alone");
        let answer = async { tokio::time::timeout(STATEMENT, call(client)).await };
        match self.runtime.block_on(answer) {
            Ok(Ok(answer)) => {
                self.connector.set_reachable(true);
                Ok(answer)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(late) => Err(Failure::Lost(late.into())),
        }
    }
}

impl Drop for Session {
    /// Tells the server that the connection ends.
    fn drop(&mut self) {
        self.client = None;
        if let Some(task) = self.task.take() {
            let farewell = async { tokio::time::timeout(FAREWELL, task).await };
            // Without it the server finds out by itself.
            self.runtime.block_on(farewell).ok();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("storage", &self.connector.storage())
            .field("is_open", &self.session.is_some())
            .finish_non_exhaustive()
    }
}
