//! Keeps deliveries: as dead letters of their targets' second names.
//!
//! The function `flush` settles them. The statement that calls it inserts them besides, and removes
//! the oldest ones over the bounds, in the same transaction and under the same append lock. It uses no
//! function that workers of an earlier version do not have.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::Row;
use webhook_queue::{Quotas, Settled, Settlement, has_room_to_keep, kept_name};

use super::admission::Usage;
use crate::log::{Flush, LogState, TargetId, Totals};

/// The most kept deliveries of a target that a flush removes, besides two for each one that it adds.
const REMOVED_AT_ONCE: i64 = 256;

/// What follows the call of `flush`, whose parameters are `$1` to `$41`: `$42` to `$45` are the
/// deliveries ([`Kept`]), and `$46` to `$49` the bounds. The statement sees the tables as they were
/// before it, so that it finds what `flush` removes.
pub(super) const STATEMENT: &str = "\
    WITH flushed AS MATERIALIZED ({flush}), \
    kept AS ( \
        INSERT INTO {schema}.dead (entry, hash, accepted_at, id, bytes, slot, target, key, \
                attributes, body, attempts, died_at, note) \
            SELECT e.entry, e.hash, e.accepted_at, e.id, e.bytes, e.slot, k.target, e.key, \
                e.attributes, e.body, k.attempts, k.at, ''::bytea \
            FROM flushed f, unnest($42::int4[], $43::int2[], $44::int4[], $45::int8[]) \
                AS k (i, target, attempts, at), \
            LATERAL ( \
                SELECT 0 AS rank, p.entry, p.hash, p.accepted_at, p.id, p.bytes, p.slot, p.key, \
                    p.attributes, p.body \
                FROM {schema}.parked p \
                WHERE p.entry = ($23::int8[])[k.i] AND p.target = ($24::int2[])[k.i] \
                UNION ALL \
                SELECT 1, e.entry, e.hash, e.accepted_at, e.id, e.bytes, e.slot, e.key, \
                    e.attributes, e.body \
                FROM {schema}.events e \
                WHERE e.entry = ($23::int8[])[k.i] AND ($24::int2[])[k.i] = ANY (e.targets) \
                    AND ($25::boolean[])[k.i] \
                ORDER BY rank LIMIT 1 \
            ) AS e \
            WHERE k.i <> ALL (coalesce(f.not_owed, '{}')) \
                AND ($26::int2[])[k.i] <> ALL (coalesce(f.fenced, '{}')) \
                AND NOT EXISTS (SELECT FROM {schema}.log l WHERE l.writer = $1 AND l.n = $2) \
                AND NOT EXISTS (SELECT FROM {schema}.writer w WHERE w.writer = $1 AND w.n >= $2) \
                AND EXISTS (SELECT FROM {schema}.target WHERE target.id = k.target) \
            ON CONFLICT DO NOTHING RETURNING target, bytes \
    ), \
    added AS (SELECT target, count(*) AS count, sum(bytes) AS bytes FROM kept GROUP BY target), \
    old AS ( \
        SELECT t.target, d.entry \
        FROM unnest($46::int2[], $47::int8[], $48::int8[]) AS t (target, oldest, over) \
            JOIN added ON added.target = t.target, \
        LATERAL ( \
            SELECT d.entry, d.died_at, sum(d.bytes) OVER (ORDER BY d.entry) - d.bytes AS before \
            FROM (SELECT entry, died_at, bytes FROM {schema}.dead \
                WHERE dead.target = t.target ORDER BY entry LIMIT $49::int8) AS d \
        ) AS d \
        WHERE d.died_at < t.oldest OR d.before < t.over + added.bytes \
    ), \
    gone AS ( \
        DELETE FROM {schema}.dead d USING old WHERE d.target = old.target AND d.entry = old.entry \
        RETURNING d.target, d.bytes \
    ), \
    changed AS ( \
        SELECT target, sum(count)::int8 AS count, sum(bytes)::int8 AS bytes \
        FROM (SELECT target, count, bytes FROM added \
            UNION ALL SELECT target, -1, -bytes FROM gone) AS c \
        GROUP BY target \
    ), \
    at AS (SELECT head.segment FROM {schema}.head, flushed FOR UPDATE OF head), \
    numbered AS MATERIALIZED ( \
        SELECT changed.*, at.segment, nextval('{schema}.entry') AS number FROM changed, at \
    ), \
    logged AS MATERIALIZED ( \
        SELECT number, target, count, bytes, {schema}.append_change(segment, number, target, \
            0::int8, 0::int8, count, bytes, NULL, NULL) FROM numbered \
    ) \
    SELECT flushed.*, l.* FROM flushed, ( \
        SELECT array_agg(number), array_agg(target), array_agg(count), array_agg(bytes) FROM logged \
    ) AS l";

/// Deliveries of a group that are kept: parameters of [`STATEMENT`].
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Their indexes among the settled entries, from 1.
    pub(super) at: Vec<i32>,
    /// The second names of their targets.
    pub(super) target: Vec<TargetId>,
    pub(super) attempts: Vec<i32>,
    pub(super) delivered_at: Vec<i64>,
    /// The bounds of each second name: when the oldest was delivered, and by how many bytes the bound
    /// is exceeded.
    pub(super) bounded: Vec<TargetId>,
    pub(super) oldest: Vec<i64>,
    pub(super) over: Vec<i64>,
    pub(super) most: i64,
}

/// The second names of the targets whose deliveries in `settlements` are kept, by their names.
pub(super) fn kept_names(
    settlements: &[Settlement],
    usage: impl FnOnce() -> Usage,
) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut names = BTreeMap::new();
    for settlement in settlements {
        if matches!(settlement.outcome, Settled::Kept { .. })
            && !names.contains_key(&settlement.target)
        {
            let name = kept_name(&settlement.target).into();
            names.insert(Arc::clone(&settlement.target), name);
        }
    }
    if !names.is_empty() {
        let usage = usage();
        if !has_room_to_keep(usage.bytes, usage.max_bytes) {
            names.clear();
        }
    }
    names
}

impl Kept {
    /// Adds the bounds of the targets.
    pub(super) fn bound(
        &mut self,
        ids: &BTreeMap<Arc<str>, TargetId>,
        (log, quotas): (&LogState, &Quotas),
        names: &BTreeMap<Arc<str>, Arc<str>>,
    ) {
        let newest = self.delivered_at.iter().max().copied().unwrap_or(0);
        for (target, name) in names {
            let (Some(&id), Some(limits)) = (ids.get(name), quotas.retained.get(target)) else {
                continue;
            };
            let age = i64::try_from(limits.max_age.as_millis()).unwrap_or(i64::MAX);
            let max = i64::try_from(limits.max_bytes).unwrap_or(i64::MAX);
            self.bounded.push(id);
            self.oldest.push(newest.saturating_sub(age));
            self.over
                .push(log.totals(id).dead_bytes.saturating_sub(max));
        }
        let added = i64::try_from(self.at.len()).unwrap_or(0);
        self.most = REMOVED_AT_ONCE + 2 * added;
    }
}

/// The rows of the log that the statement appended for what it kept and removed.
pub(super) fn changes(row: &Row) -> Vec<Flush> {
    let numbers = |at: usize| row.get::<_, Option<Vec<i64>>>(at).unwrap_or_default();
    let targets = row.get::<_, Option<Vec<TargetId>>>(13).unwrap_or_default();
    let [number, count, bytes] = [12, 14, 15].map(numbers);
    let change = |at: usize| Flush {
        number: number[at].cast_unsigned(),
        changes: vec![(
            targets[at],
            Totals {
                dead: count[at],
                dead_bytes: bytes[at],
                ..Totals::default()
            },
        )],
        ..Flush::default()
    };
    (0..number.len()).map(change).collect()
}
