//! The ring of segments: begins the next one when the current is large enough, and truncates the
//! oldest once all of its events are settled or copied out.
//!
//! One worker at a time does so. If two do, the second finds that it is done.

mod oldest;
mod rule;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use webhook_queue::QueueError;

use crate::connection::Connection;
use crate::database::Database;
use crate::log::{Attempt, Log, TargetId};
use oldest::Oldest;
use rule::{Ring, Step};

/// Entries that are copied out in one statement, which holds the append lock.
const PARKED_AT_ONCE: usize = 256;

/// Rows of a segment that are read at once, without bodies.
const ROWS: i64 = 20_000;

/// The pause after a segment could not be truncated, since another transaction reads it; each is
/// twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Keeps the ring turning.
#[derive(Debug)]
pub(crate) struct Segments {
    log: Arc<Log>,
    statements: Statements,
    segment_bytes: u64,
    oldest: Option<Oldest>,
    /// When segments in use were seen to be not the current one any more.
    closed: BTreeMap<u64, Instant>,
    pause: Duration,
    truncate_at: Instant,
}

#[derive(Debug)]
struct Statements {
    in_use: String,
    begin: String,
    rows: String,
    targets: String,
    park: String,
    truncate: String,
}

/// A segment in use.
#[derive(Clone, Copy, Debug)]
struct Segment {
    ordinal: u64,
    first: u64,
    bytes: u64,
}

impl Segments {
    pub(crate) fn new(database: &Database, log: Arc<Log>) -> Segments {
        let sql = |statement: &str| database.sql(statement);
        Segments {
            log,
            statements: Statements {
                in_use: sql("SELECT ordinal, first, bytes FROM {schema}.segments_in_use()"),
                begin: sql("SELECT {schema}.begin_segment($1)"),
                rows: sql("SELECT entry, targets FROM {schema}.events \
                     WHERE entry > $1 AND entry < $2 ORDER BY entry LIMIT $3"),
                targets: sql("SELECT id FROM {schema}.target"),
                park: sql("SELECT {schema}.park($1, $2, $3, $4, $5)"),
                truncate: sql("SELECT {schema}.truncate_segment($1)"),
            },
            segment_bytes: database.settings.segment_bytes,
            oldest: None,
            closed: BTreeMap::new(),
            pause: FIRST_PAUSE,
            truncate_at: Instant::now(),
        }
    }

    /// Does what is due. The log was followed just before.
    ///
    /// # Errors
    /// The database refused a step, or is away. The next call tries again.
    pub(crate) fn step(&mut self, connection: &mut Connection) -> Result<(), QueueError> {
        loop {
            let segments = self.in_use(connection)?;
            let [oldest, next, ..] = segments[..] else {
                self.oldest = None;
                return self.begin_next(connection, &segments);
            };
            self.begin_next(connection, &segments)?;
            let now = Instant::now();
            self.closed.retain(|ordinal, _| *ordinal >= oldest.ordinal);
            for segment in &segments[..segments.len() - 1] {
                self.closed.entry(segment.ordinal).or_insert(now);
            }
            if now < self.truncate_at {
                return Ok(());
            }
            if self
                .oldest
                .as_ref()
                .is_none_or(|it| it.ordinal != oldest.ordinal)
            {
                self.oldest = Some(self.load(connection, oldest, next.first)?);
            }
            let targets = self.targets(connection)?;
            let Some(loaded) = &mut self.oldest else {
                return Ok(());
            };
            let exists = |target| targets.contains(&target);
            loaded.settle(&self.log.read(), exists, now);
            let ring = Ring {
                segment_bytes: self.segment_bytes,
                used: segments.len(),
                current_bytes: segments.last().map_or(0, |it| it.bytes),
            };
            match ring.step(loaded.owed(), loaded.total(), loaded.stalled(now)) {
                Step::Wait => return Ok(()),
                Step::Park => self.park(connection)?,
                Step::Truncate => self.truncate(connection, oldest.ordinal)?,
            }
        }
    }

    fn in_use(&self, connection: &mut Connection) -> Result<Vec<Segment>, QueueError> {
        let rows = connection.run("look at", |session| {
            session.query(&self.statements.in_use, &[])
        })?;
        let segment = |row: &tokio_postgres::Row| Segment {
            ordinal: row.get::<_, i64>(0).cast_unsigned(),
            first: row.get::<_, i64>(1).cast_unsigned(),
            bytes: row.get::<_, i64>(2).cast_unsigned(),
        };
        Ok(rows.iter().map(segment).collect())
    }

    /// Begins the next segment if the current one is large enough.
    fn begin_next(
        &self,
        connection: &mut Connection,
        segments: &[Segment],
    ) -> Result<(), QueueError> {
        let Some(current) = segments.last().filter(|it| it.bytes >= self.segment_bytes) else {
            return Ok(());
        };
        connection.run("begin a segment of", |session| {
            session.query(&self.statements.begin, &[&current.ordinal.cast_signed()])
        })?;
        Ok(())
    }

    fn targets(&self, connection: &mut Connection) -> Result<Vec<TargetId>, QueueError> {
        let rows = connection.run("look at", |session| {
            session.query(&self.statements.targets, &[])
        })?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Reads which targets the entries of a segment go to.
    fn load(
        &self,
        connection: &mut Connection,
        segment: Segment,
        end: u64,
    ) -> Result<Oldest, QueueError> {
        let closed = self.closed.get(&segment.ordinal).copied();
        let mut oldest = Oldest::new(segment.ordinal, closed.unwrap_or_else(Instant::now));
        let mut after = segment.first.saturating_sub(1);
        loop {
            let rows = connection.run("look at", |session| {
                let bounds = [after.cast_signed(), end.cast_signed()];
                session.query(&self.statements.rows, &[&bounds[0], &bounds[1], &ROWS])
            })?;
            for row in &rows {
                after = row.get::<_, i64>(0).cast_unsigned();
                oldest.add(after, &row.get::<_, Vec<TargetId>>(1));
            }
            if rows.len() < ROWS as usize {
                return Ok(oldest);
            }
        }
    }

    /// Copies some entries of the oldest segment out.
    fn park(&mut self, connection: &mut Connection) -> Result<(), QueueError> {
        let Some(oldest) = &mut self.oldest else {
            return Ok(());
        };
        let asked = oldest.first_owed(PARKED_AT_ONCE);
        let (known, attempts) = {
            let log = self.log.read();
            let attempt = |(entry, target): &(u64, TargetId)| log.attempt(*target, *entry);
            let attempts: Vec<Attempt> = asked
                .iter()
                .map(|it| attempt(it).unwrap_or_default())
                .collect();
            (log.last().cast_signed(), attempts)
        };
        let entries: Vec<i64> = asked.iter().map(|it| it.0.cast_signed()).collect();
        let targets: Vec<TargetId> = asked.iter().map(|it| it.1).collect();
        let not_before: Vec<i64> = attempts.iter().map(|it| it.not_before).collect();
        let attempts: Vec<i32> = attempts
            .iter()
            .map(|it| it.attempts.cast_signed())
            .collect();
        connection.run("copy events within", |session| {
            session.query(
                &self.statements.park,
                &[&entries, &targets, &attempts, &not_before, &known],
            )
        })?;
        oldest.remove(&asked);
        Ok(())
    }

    fn truncate(&mut self, connection: &mut Connection, ordinal: u64) -> Result<(), QueueError> {
        let truncated = connection.run("truncate a segment of", |session| {
            session.query(&self.statements.truncate, &[&ordinal.cast_signed()])
        });
        match truncated {
            Ok(_) => {
                (self.oldest, self.pause) = (None, FIRST_PAUSE);
                Ok(())
            }
            Err(error) => {
                self.truncate_at = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                Err(error)
            }
        }
    }
}
