//! What all parts know of the database.

use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use siphasher::sip::SipHasher13;
use webhook_queue::QueueError;

use crate::connection::Connection;
use crate::connector::Connector;
use crate::schema::{self, Meta};
use crate::settings::Settings;

/// A smaller difference between two clocks counts as none, so that times do not change by how long
/// a message took.
const CLOCKS_AGREE_MS: i64 = 1000;

/// The database of a queue: what was fixed when its tables were created, and how to connect.
pub(crate) struct Database {
    pub(crate) settings: Settings,
    pub(crate) meta: Meta,
    /// The schema, quoted, for statements.
    pub(crate) schema: String,
    pub(crate) connector: Arc<Connector>,
    /// The server's clock minus this process's, milliseconds.
    clock_offset: AtomicI64,
}

impl Database {
    /// Connects, and finds or creates the tables. Returns the connection, too.
    pub(crate) fn open(settings: Settings) -> Result<(Database, Connection), QueueError> {
        let connector = Arc::new(Connector::new(&settings)?);
        let mut connection = Connection::new(connector.clone());
        let session = connection.session()?;
        let meta = schema::prepare(session, &settings, connector.storage())?;
        connector.set_opened();
        let database = Database {
            schema: schema::identifier(&settings.schema),
            settings,
            meta,
            connector,
            clock_offset: AtomicI64::new(0),
        };
        Ok((database, connection))
    }

    /// The database and the schema, without secrets, for errors.
    pub(crate) fn storage(&self) -> &str {
        self.connector.storage()
    }

    /// A new connection, which is made when it is used.
    pub(crate) fn connection(&self) -> Connection {
        Connection::new(self.connector.clone())
    }

    /// A statement, with the schema filled in for `{schema}`.
    pub(crate) fn sql(&self, statement: &str) -> String {
        statement.replace("{schema}", &self.schema)
    }

    /// The hash of a key.
    pub(crate) fn hash(&self, key: &[u8]) -> i64 {
        let mut hasher = SipHasher13::new_with_key(&self.meta.secret);
        hasher.write(key);
        hasher.finish().cast_signed()
    }

    /// The slot of a key with this hash.
    pub(crate) fn slot(&self, hash: i64) -> u16 {
        let slot = hash.cast_unsigned() % u64::from(self.meta.slots);
        u16::try_from(slot).expect("it is less than the number of slots")
    }

    /// Notes how far the server's clock is ahead of this process's.
    pub(crate) fn set_clock_offset(&self, offset_ms: i64) {
        let offset_ms = match offset_ms.abs() < CLOCKS_AGREE_MS {
            true => 0,
            false => offset_ms,
        };
        self.clock_offset.store(offset_ms, Ordering::Relaxed);
    }

    /// A time of this process as one of the server, epoch milliseconds. 0 stays 0, and the largest
    /// stays that.
    pub(crate) fn to_server(&self, time: u64) -> i64 {
        let time = i64::try_from(time).unwrap_or(i64::MAX);
        match time {
            0 | i64::MAX => time,
            _ => time.saturating_add(self.clock_offset.load(Ordering::Relaxed)),
        }
    }

    /// The reverse.
    pub(crate) fn to_local(&self, time: i64) -> u64 {
        let time = match time {
            0 | i64::MAX => time,
            _ => time.saturating_sub(self.clock_offset.load(Ordering::Relaxed)),
        };
        u64::try_from(time).unwrap_or(0)
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("storage", &self.storage())
            .finish_non_exhaustive()
    }
}
