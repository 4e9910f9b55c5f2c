//! The log follower: each process keeps in memory what the log says.

mod state;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio_postgres::Row;

use crate::connection::Session;
use crate::connector::Connector;
use crate::database::Database;
use crate::failure::Failure;

pub(crate) use state::{Applied, Attempt, Flush, LogPage, LogState, TargetId, Totals};

/// The state of the log, and how it is read.
#[derive(Debug)]
pub(crate) struct Log {
    state: RwLock<LogState>,
    statement: String,
    connector: Arc<Connector>,
}

/// `$1`: after this number. The row with a null as `number` has the sum of the truncated rows
/// and the last number that was drawn.
const STATEMENT: &str = "\
    SELECT NULL::int8 AS number, NULL::int8[], NULL::int2[], NULL::int8[], NULL::int2[], \
        NULL::int4[], NULL::int8[], array_agg(target), array_agg(owed), array_agg(owed_bytes), \
        array_agg(dead), array_agg(dead_bytes), NULL::boolean, NULL::boolean, \
        (SELECT greatest(min(first) - 1, 0) FROM {schema}.segment), \
        (SELECT last_value FROM {schema}.entry) \
    FROM {schema}.total \
    UNION ALL \
    SELECT number, settled, settled_target, attempted, attempted_target, attempts, not_before, \
        total_target, owed, owed_bytes, dead, dead_bytes, parked, targets_changed, NULL, NULL \
    FROM {schema}.log WHERE number > $1";

impl Log {
    pub(crate) fn new(database: &Database) -> Log {
        Log {
            state: RwLock::default(),
            statement: database.sql(STATEMENT),
            connector: Arc::clone(&database.connector),
        }
    }

    /// The state as of the last catch-up and the last flush of this process. To be held shortly.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, LogState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, shortly.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut LogState) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the rows after a number.
    pub(crate) fn fetch(&self, session: &mut Session, after: u64) -> Result<LogPage, Failure> {
        let rows = session.query(&self.statement, &[&after.cast_signed()])?;
        let drawn = rows.iter().find_map(|row| row.get::<_, Option<i64>>(15));
        if drawn.is_some_and(|drawn| drawn.cast_unsigned() < after) {
            self.connector.note_replaced();
            return Err(Failure::Lost("the numbers of the log began again".into()));
        }
        Ok(page(&rows))
    }
}

fn page(rows: &[Row]) -> LogPage {
    let mut page = LogPage::default();
    for row in rows {
        let Some(number) = row.get::<_, Option<i64>>(0) else {
            page.truncated = row.get::<_, Option<i64>>(14).unwrap_or(0).cast_unsigned();
            page.base = totals(row);
            continue;
        };
        let attempts = pairs(row, 3, 4).zip(pairs::<i32, i64>(row, 5, 6));
        page.flushes.push(Flush {
            number: number.cast_unsigned(),
            settled: pairs(row, 1, 2)
                .map(|(entry, target): (i64, _)| (entry.cast_unsigned(), target))
                .collect(),
            attempted: attempts
                .map(|((entry, target), (attempts, not_before)): ((i64, _), _)| {
                    let attempt = Attempt {
                        attempts: attempts.cast_unsigned(),
                        not_before,
                    };
                    (entry.cast_unsigned(), target, attempt)
                })
                .collect(),
            changes: totals(row),
            replayed: row.get::<_, Option<bool>>(12).unwrap_or(false),
            targets_changed: row.get::<_, Option<bool>>(13).unwrap_or(false),
        });
    }
    page.flushes.sort_unstable_by_key(|flush| flush.number);
    page
}

/// Two parallel arrays.
fn pairs<'r, A, B>(row: &'r Row, first: usize, second: usize) -> impl Iterator<Item = (A, B)>
where
    A: tokio_postgres::types::FromSql<'r>,
    B: tokio_postgres::types::FromSql<'r>,
{
    let first = row.get::<_, Option<Vec<A>>>(first).unwrap_or_default();
    let second = row.get::<_, Option<Vec<B>>>(second).unwrap_or_default();
    first.into_iter().zip(second)
}

fn totals(row: &Row) -> Vec<(TargetId, Totals)> {
    let owed = pairs::<i64, i64>(row, 8, 9);
    let dead = pairs::<i64, i64>(row, 10, 11);
    let targets = row.get::<_, Option<Vec<TargetId>>>(7).unwrap_or_default();
    let totals = owed
        .zip(dead)
        .map(|((owed, owed_bytes), (dead, dead_bytes))| Totals {
            owed,
            owed_bytes,
            dead,
            dead_bytes,
        });
    targets.into_iter().zip(totals).collect()
}
