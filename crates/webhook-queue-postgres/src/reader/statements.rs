//! The queries of the reader. Each is one statement, so it sees one state of the tables, also if a
//! segment is truncated at that moment.

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use webhook_queue::{Claim, EntryId, EventId, Owed};

use crate::database::Database;
use crate::log::{Attempt, TargetId};

/// The queries, with the name of the schema.
#[derive(Debug)]
pub(crate) struct Statements {
    /// `$1` after, `$2` slots, `$3` most rows, `$4` most bytes.
    pub(crate) tail: String,
    /// `$1` after, `$2` slots, `$3` target, `$4` most rows, `$5` most bytes, `$6` whether with bodies.
    pub(crate) page: String,
    /// `$1` entries, `$2` target.
    pub(crate) bodies: String,
    /// `$1` hashes, `$2` and `$3` after these entries, parked and of segments, `$4` target, `$5` most
    /// rows of a hash.
    pub(crate) keys: String,
    /// The last entry.
    pub(crate) last: String,
}

/// The most rows of one read with bodies: more than a group of events has, so that one read finds a
/// group and its end.
pub(crate) const ROWS: i64 = 1024;

/// The most bytes of one read with bodies: one more row than those within it.
pub(crate) const BYTES: i64 = 4 << 20;

/// The columns that all queries but `keys` begin with.
const COLUMNS: &str = "entry, slot, id, accepted_at, key, attributes";

/// Rows of this are of a segment. Those of `parked` have [`PARKED`], and the one that has the last
/// entry has [`HORIZON`].
const SEGMENT: i16 = 1;
const PARKED: i16 = 0;
const HORIZON: i16 = 2;

/// The first rows of `source`, up to a number and up to a sum of bytes.
fn bounded(source: &str, rows: &str, bytes: &str, columns: &str) -> String {
    format!(
        "SELECT {columns} FROM (SELECT *, sum(bytes) OVER (ORDER BY entry ROWS UNBOUNDED PRECEDING) \
         - bytes AS before FROM (SELECT * FROM {source} ORDER BY entry LIMIT {rows}) found) found \
         WHERE before < {bytes}"
    )
}

impl Statements {
    pub(crate) fn new(database: &Database) -> Statements {
        let tail = bounded(
            "{schema}.events WHERE entry > $1 AND slot = ANY ($2)",
            "$3",
            "$4",
            &format!("{COLUMNS}, body, bytes, NULL::int4, NULL::int8, {SEGMENT}::int2, targets"),
        );
        let body = "CASE WHEN $6 THEN body END, bytes";
        let parked = bounded(
            "{schema}.parked WHERE entry > $1 AND slot = ANY ($2) AND target = $3",
            "$4",
            "$5",
            &format!("{COLUMNS}, {body}, attempts, not_before, {PARKED}::int2"),
        );
        let segments = bounded(
            "{schema}.events WHERE entry > $1 AND slot = ANY ($2) AND $3 = ANY (targets)",
            "$4",
            "$5",
            &format!("{COLUMNS}, {body}, NULL, NULL, {SEGMENT}::int2"),
        );
        let horizon = format!(
            "SELECT (SELECT max(entry) FROM {{schema}}.events), NULL, NULL, NULL, NULL, NULL, NULL, \
             NULL, NULL, NULL, {HORIZON}::int2"
        );
        let bodies = format!(
            "SELECT {COLUMNS}, body, bytes, attempts, not_before, {PARKED}::int2 \
             FROM {{schema}}.parked WHERE entry = ANY ($1) AND target = $2 \
             UNION ALL SELECT {COLUMNS}, body, bytes, NULL, NULL, {SEGMENT}::int2 \
             FROM {{schema}}.events WHERE entry = ANY ($1)"
        );
        let keys = format!(
            "SELECT keys.i::int4, found.entry, found.bytes, found.source \
             FROM unnest($1::int8[], $2::int8[], $3::int8[]) \
             WITH ORDINALITY keys (hash, parked_after, after, i) \
             CROSS JOIN LATERAL ((SELECT entry, bytes, {PARKED}::int2 AS source FROM {{schema}}.parked \
             WHERE hash = keys.hash AND entry > keys.parked_after AND target = $4 \
             ORDER BY entry LIMIT $5) \
             UNION ALL (SELECT entry, bytes, {SEGMENT}::int2 FROM {{schema}}.events \
             WHERE hash = keys.hash AND entry > keys.after AND $4 = ANY (targets) \
             ORDER BY entry LIMIT $5)) found"
        );
        let last = "SELECT max(entry) FROM {schema}.events";
        Statements {
            tail: database.sql(&format!("{tail} UNION ALL {horizon}, NULL")),
            page: database.sql(&format!(
                "{parked} UNION ALL {segments} UNION ALL {horizon}"
            )),
            bodies: database.sql(&bodies),
            keys: database.sql(&keys),
            last: database.sql(last),
        }
    }
}

/// Where a row is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Copied out of its segment: owed, whatever the log says.
    Parked,
    /// A segment: owed unless the log says that it is settled.
    Segment,
}

/// A stored event, as it was read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) entry: u64,
    pub(crate) slot: u16,
    pub(crate) source: Source,
    /// What it counts for each of its targets.
    pub(crate) bytes: u64,
    /// That of its row, if it is parked.
    pub(crate) attempt: Option<Attempt>,
    row: Row,
}

/// The id of an event.
struct Id([u8; 16]);

impl<'a> FromSql<'a> for Id {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Id, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Id(raw.try_into()?))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }
}

impl Found {
    /// What a row has, or the last entry.
    fn read(row: Row) -> Result<Found, u64> {
        let source = match row.get::<_, i16>(10) {
            HORIZON => return Err(row.get::<_, Option<i64>>(0).unwrap_or(0).cast_unsigned()),
            PARKED => Source::Parked,
            _ => Source::Segment,
        };
        let attempt = row.get::<_, Option<i32>>(8).map(|attempts| Attempt {
            attempts: u32::try_from(attempts).unwrap_or(0),
            not_before: row.get::<_, Option<i64>>(9).unwrap_or(0),
        });
        Ok(Found {
            entry: row.get::<_, i64>(0).cast_unsigned(),
            slot: u16::try_from(row.get::<_, i16>(1)).unwrap_or(u16::MAX),
            source,
            bytes: u64::try_from(row.get::<_, i32>(7)).unwrap_or(0),
            attempt,
            row,
        })
    }

    fn id(&self) -> EventId {
        EventId(self.row.get::<_, Id>(2).0)
    }

    /// Of the server's clock.
    pub(super) fn accepted_at(&self) -> i64 {
        self.row.get(3)
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.row.get(4)
    }

    fn attributes(&self) -> &[u8] {
        self.row.get::<_, Option<&[u8]>>(5).unwrap_or_default()
    }

    /// Empty if it was not asked for.
    fn body(&self) -> &[u8] {
        self.row.get::<_, Option<&[u8]>>(6).unwrap_or_default()
    }

    /// The entry, with an attempt that the log has of it.
    pub(crate) fn owed(
        &self,
        database: &Database,
        known: Option<Attempt>,
        claim: Claim,
    ) -> Owed<'_> {
        let row = self.attempt.unwrap_or_default();
        let attempt = match known {
            Some(known) if known.attempts > row.attempts => known,
            _ => row,
        };
        Owed {
            entry: EntryId(self.entry),
            id: self.id(),
            key: self.key(),
            body: self.body(),
            attributes: self.attributes(),
            accepted_at: database.to_local(self.accepted_at()),
            attempts: attempt.attempts,
            not_before: database.to_local(attempt.not_before),
            claim,
        }
    }

    /// Those of a row of the tail.
    pub(crate) fn targets(&self) -> Vec<TargetId> {
        self.row.get(11)
    }
}

/// Splits the answer to a query into the rows of each source and the last entry.
pub(crate) fn split(rows: Vec<Row>) -> ([Vec<Found>; 2], u64) {
    let mut horizon = 0;
    let (mut parked, mut segment) = (Vec::new(), Vec::with_capacity(rows.len()));
    for row in rows {
        match Found::read(row) {
            Ok(found) if found.source == Source::Parked => parked.push(found),
            Ok(found) => segment.push(found),
            Err(last) => horizon = last,
        }
    }
    ([parked, segment], horizon)
}

/// Whether a read ended at one of its bounds, so that there may be more.
pub(crate) fn is_full(found: &[Found], rows: i64, bytes: i64) -> bool {
    let sum: u64 = found.iter().map(|it| it.bytes).sum();
    found.len() >= rows.unsigned_abs() as usize || sum >= bytes.unsigned_abs()
}
