//! The numbers of the targets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use webhook_queue::QueueError;

use crate::connection::{Connection, Session};
use crate::database::Database;
use crate::failure::Failure;
use crate::log::TargetId;

/// The targets of the queue, as last read.
#[derive(Debug)]
pub(crate) struct Targets {
    by_name: RwLock<Arc<BTreeMap<Arc<str>, TargetId>>>,
    /// Held during a read, so that no older list replaces a newer one.
    reading: Mutex<()>,
    list: String,
    create: String,
}

impl Targets {
    pub(crate) fn new(database: &Database) -> Targets {
        Targets {
            by_name: RwLock::default(),
            reading: Mutex::default(),
            list: database.sql("SELECT name, id FROM {schema}.target"),
            create: database.sql(
                "INSERT INTO {schema}.target (name) \
                 SELECT name FROM unnest($1::text[]) AS new (name) \
                 WHERE NOT EXISTS (SELECT FROM {schema}.target WHERE target.name = new.name) \
                 ON CONFLICT (name) DO NOTHING",
            ),
        }
    }

    /// The numbers by name, in the order of the names.
    pub(crate) fn all(&self) -> Arc<BTreeMap<Arc<str>, TargetId>> {
        let all = self.by_name.read();
        Arc::clone(&all.unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of a target, if the queue knows it.
    pub(crate) fn id(&self, name: &str) -> Option<TargetId> {
        self.all().get(name).copied()
    }

    /// Reads the targets again.
    pub(crate) fn reload(&self, session: &mut Session) -> Result<(), Failure> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = session.query(&self.list, &[])?;
        let name = |row: &tokio_postgres::Row| (row.get::<_, &str>(0).into(), row.get(1));
        let all = Arc::new(rows.iter().map(name).collect());
        *self.by_name.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }

    /// Creates those of the targets that the queue does not know.
    pub(crate) fn create<'n>(
        &self,
        connection: &mut Connection,
        names: impl Iterator<Item = &'n Arc<str>>,
    ) -> Result<(), QueueError> {
        let all = self.all();
        let mut unknown: Vec<&str> = names
            .filter(|name| !all.contains_key(*name))
            .map(|name| &**name)
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        unknown.dedup();
        connection.run("add a target to", |session| {
            session.execute(&self.create, &[&unknown])?;
            self.reload(session)
        })
    }
}
