//! What is known of the processes that share the queue, and of the database.

use std::sync::{Mutex, PoisonError};

use webhook_queue::{SharedStatistics, Standbys, WorkerStatistics};

use crate::connection::Session;
use crate::database::Database;
use crate::failure::Failure;
use crate::schema::SEGMENTS;

const WORKERS: &str = "\
    SELECT id, name, (SELECT count(*) FROM {schema}.slot WHERE owner = worker.id), \
        (extract(epoch FROM clock_timestamp() - renewed) * 1000)::int8, lag_msec \
    FROM {schema}.worker WHERE expires > clock_timestamp() ORDER BY id";

/// `$1`: the name of the schema. Transactions of other users are seen with the role
/// `pg_read_all_stats` only.
const DATABASE: &str = "\
    SELECT (SELECT count(*) FROM {schema}.slot WHERE NOT EXISTS ( \
            SELECT FROM {schema}.worker WHERE id = slot.owner AND expires > clock_timestamp())), \
        (SELECT count(*) FROM {schema}.segment WHERE ordinal IS NOT NULL), \
        (SELECT coalesce(sum(n_dead_tup), 0)::int8 FROM pg_stat_all_tables WHERE schemaname = $1), \
        (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) * 1000 \
            FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid())::int8, \
        (SELECT count(*) FROM pg_stat_replication), \
        current_setting('synchronous_standby_names') <> ''";

/// The statistics as of the last look.
#[derive(Debug)]
pub(crate) struct Shared {
    workers: String,
    database: String,
    schema: String,
    last: Mutex<SharedStatistics>,
}

impl Shared {
    pub(crate) fn new(database: &Database) -> Shared {
        Shared {
            workers: database.sql(WORKERS),
            database: database.sql(DATABASE),
            schema: database.settings.schema.clone(),
            last: Mutex::new(SharedStatistics {
                storage: database.storage().to_owned(),
                slots: database.meta.slots,
                segments: (1, SEGMENTS),
                ..SharedStatistics::default()
            }),
        }
    }

    /// Looks again. `this` is the id of this worker.
    pub(crate) fn refresh(&self, session: &mut Session, this: Option<u64>) -> Result<(), Failure> {
        let workers = session.query(&self.workers, &[])?;
        let row = session.query_one(&self.database, &[&self.schema])?;
        let workers = workers.iter().map(|row| {
            let id = row.get::<_, i64>(0).cast_unsigned();
            WorkerStatistics {
                id,
                name: row.get(1),
                is_this: this == Some(id),
                slots: small(row.get(2)),
                lease_age_ms: unsigned(row.get(3)),
                lag_ms: row.get::<_, Option<i64>>(4).map(unsigned),
            }
        });
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.workers = workers.collect();
        last.unclaimed = small(row.get(0));
        last.segments.0 = small(row.get(1));
        last.dead_rows = unsigned(row.get(2));
        last.oldest_transaction_ms = unsigned(row.get(3));
        last.standbys = Standbys {
            count: small(row.get(4)),
            synchronous: row.get(5),
        };
        Ok(())
    }

    /// The statistics as of the last look.
    pub(crate) fn last(&self) -> SharedStatistics {
        let last = self.last.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn small(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
