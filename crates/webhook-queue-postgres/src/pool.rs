//! A few connections that several threads share.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use webhook_queue::QueueError;

use crate::connection::{Connection, Session};
use crate::database::Database;
use crate::failure::Failure;

/// The most connections for reading. A thread waits while all are in use.
const CONNECTIONS: usize = 4;

/// Connections for statements that change nothing.
#[derive(Debug)]
pub(crate) struct Pool {
    database: Arc<Database>,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    used: usize,
}

impl Pool {
    pub(crate) fn new(database: Arc<Database>) -> Pool {
        Pool {
            database,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// As [`Connection::run`], on one of the connections.
    pub(crate) fn run<T>(
        &self,
        action: &'static str,
        statements: impl FnMut(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, QueueError> {
        let mut used = Used {
            pool: self,
            connection: Some(self.take()),
        };
        let connection = used.connection.as_mut().expect("it is taken by drop alone");
        connection.run(action, statements)
    }

    fn take(&self) -> Connection {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |state: &mut State| state.used >= CONNECTIONS;
        let state = self.freed.wait_while(state, is_full);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.used += 1;
        let idle = state.idle.pop();
        idle.unwrap_or_else(|| self.database.connection())
    }
}

/// Gives a connection back, also after a panic.
struct Used<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        let state = self.pool.state.lock();
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.used -= 1;
        state.idle.extend(self.connection.take());
        self.pool.freed.notify_one();
    }
}
