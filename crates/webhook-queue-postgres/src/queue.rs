//! The queue as a whole.

use std::sync::Arc;

use webhook_queue::QueueError;

use crate::database::Database;
use crate::settings::Settings;

/// A [`Queue`](webhook_queue::Queue) in a PostgreSQL database, which several processes share.
#[derive(Debug)]
pub struct PostgresQueue {
    database: Arc<Database>,
}

impl PostgresQueue {
    /// Opens the queue; creates its tables if there are none and this process is a worker.
    ///
    /// # Errors
    /// [`Unavailable`](QueueError::Unavailable) if the database cannot be reached, and
    /// [`Unusable`](QueueError::Unusable) with what to do if it cannot be used.
    pub fn open(settings: Settings) -> Result<PostgresQueue, QueueError> {
        let (database, _connection) = Database::open(settings)?;
        Ok(PostgresQueue {
            database: Arc::new(database),
        })
    }
}
