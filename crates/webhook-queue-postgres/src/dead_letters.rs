//! Dead letters and targets: what operators look at and repair.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio_postgres::Row;
use webhook_queue::{
    Claim, DeadLetter, DeadLetterLimits, EntryId, Owed, QueueError, Quotas, TargetHold, kept_name,
    target_of_kept,
};

use crate::connection::{Connection, Session};
use crate::database::Database;
use crate::failure::Failure;
use crate::log::{Log, TargetId};
use crate::parameters::Uuid;
use crate::targets::Targets;

/// The most rows that one statement changes, since the append lock is held meanwhile.
const AT_ONCE: usize = 500;

/// The most rows of a page, and the bytes after which no more are read.
const PAGE: i64 = 128;
const PAGE_BYTES: i64 = 4 << 20;

/// The statements of operators.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    database: Arc<Database>,
    targets: Arc<Targets>,
    list: String,
    replay: String,
    /// Makes kept deliveries dead letters of their target, in a transaction that replays these.
    unkeep: String,
    lock_head: String,
    drop_dead: String,
    drop_target: String,
    hold: String,
    expired: String,
    oldest: String,
    oldest_kept: String,
    lock: String,
}

impl DeadLetters {
    pub(crate) fn new(database: Arc<Database>, targets: Arc<Targets>) -> DeadLetters {
        let sql = |statement: &str| database.sql(statement);
        DeadLetters {
            list: sql(
                "SELECT entry, id, key, body, attributes, accepted_at, attempts, slot, \
                           died_at, note FROM ( \
                       SELECT *, sum(bytes) OVER (ORDER BY entry) - bytes AS before FROM ( \
                           SELECT * FROM {schema}.dead WHERE target = $1 AND entry > $2 \
                           ORDER BY entry LIMIT $3) AS page) AS page \
                       WHERE before < $4 ORDER BY entry",
            ),
            replay: sql("SELECT {schema}.replay($1, $2)"),
            lock_head: sql("SELECT FROM {schema}.head FOR UPDATE"),
            unkeep: sql(
                "WITH head AS MATERIALIZED (SELECT segment FROM {schema}.head), \
                 moved AS ( \
                     UPDATE {schema}.dead SET target = $2 \
                     WHERE target = $1 AND entry = ANY ($3) RETURNING bytes \
                 ), sums AS ( \
                     SELECT count(*) AS count, sum(bytes)::int8 AS bytes FROM moved \
                 ) \
                 SELECT {schema}.append_change(segment, nextval('{schema}.entry'), c.target, 0::int8, \
                     0::int8, c.sign * count, c.sign * bytes, NULL, NULL) \
                 FROM sums, head, unnest(ARRAY[$1::int2, $2::int2], ARRAY[-1, 1]) AS c (target, sign) \
                 WHERE count > 0",
            ),
            drop_dead: sql("SELECT {schema}.drop_dead($1, $2)"),
            drop_target: sql("SELECT removed, is_gone FROM {schema}.drop_target($1, $2)"),
            hold: sql("SELECT hold_until, hold_note FROM {schema}.target \
                       WHERE name = $1 AND hold_until IS NOT NULL"),
            expired: sql("SELECT target, array_agg(entry) FROM ( \
                              SELECT target, entry FROM {schema}.dead WHERE died_at < $1 \
                              AND target <> ALL ($3) ORDER BY died_at LIMIT $2) AS expired \
                          GROUP BY target"),
            oldest: sql("SELECT entry, bytes + length(note) FROM {schema}.dead \
                         WHERE target = $1 ORDER BY entry LIMIT $2"),
            oldest_kept: sql("SELECT entry FROM ( \
                    SELECT *, sum(bytes) OVER (ORDER BY entry) - bytes AS before FROM ( \
                        SELECT entry, died_at, bytes FROM {schema}.dead WHERE target = $1 \
                        ORDER BY entry LIMIT $4) AS kept) AS kept \
                 WHERE died_at < $2 OR before < $3"),
            lock: sql("SELECT pg_try_advisory_xact_lock(hashtextextended('trim {schema}', 0))"),
            database,
            targets,
        }
    }

    /// As [`Queue::dead_letters`](webhook_queue::Queue::dead_letters).
    pub(crate) fn visit(
        &self,
        connection: &mut Connection,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError> {
        connection.run("read", |session| self.targets.reload(session))?;
        for (name, id) in self.targets.all().iter() {
            let of = target_of_kept(name);
            if target.map_or(of.is_some(), |target| target != &**name) {
                continue;
            }
            let shown = of.unwrap_or(name);
            let mut after = after.map_or(-1, |after| after.0.cast_signed());
            loop {
                let page = connection.run("read", |session| {
                    session.query(&self.list, &[id, &after, &PAGE, &PAGE_BYTES])
                })?;
                let Some(last) = page.last() else {
                    break;
                };
                after = last.get(0);
                for row in &page {
                    if visit(self.letter(shown, row)).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn letter<'r>(&self, target: &'r str, row: &'r Row) -> DeadLetter<'r> {
        DeadLetter {
            target,
            owed: Owed {
                entry: EntryId(row.get::<_, i64>(0).cast_unsigned()),
                id: row.get::<_, Uuid>(1).into(),
                key: row.get(2),
                body: row.get(3),
                attributes: row.get::<_, Option<_>>(4).unwrap_or_default(),
                accepted_at: self.database.to_local(row.get(5)),
                attempts: row.get::<_, i32>(6).cast_unsigned(),
                not_before: 0,
                claim: Claim {
                    slot: row.get::<_, i16>(7).cast_unsigned(),
                    fence: 0,
                },
            },
            died_at: self.database.to_local(row.get(8)),
            note: row.get(9),
        }
    }

    /// As [`Queue::replay`](webhook_queue::Queue::replay).
    pub(crate) fn replay(
        &self,
        connection: &mut Connection,
        target: &str,
        entries: &[EntryId],
    ) -> Result<u64, QueueError> {
        let Some(owed_by) = target_of_kept(target) else {
            return self.in_steps(connection, target, entries, |session, id, step| {
                session.query_one(&self.replay, &[&id, &step])
            });
        };
        let Some(owed_by) = self.id(connection, owed_by)? else {
            return Ok(0);
        };
        self.in_steps(connection, target, entries, |session, id, step| {
            session.transaction(|session| {
                session.query(&self.lock_head, &[])?;
                session.query(&self.unkeep, &[&id, &owed_by, &step])?;
                session.query_one(&self.replay, &[&owed_by, &step])
            })
        })
    }

    /// As [`Queue::drop_dead`](webhook_queue::Queue::drop_dead).
    pub(crate) fn drop_dead(
        &self,
        connection: &mut Connection,
        target: &str,
        entries: &[EntryId],
    ) -> Result<u64, QueueError> {
        self.in_steps(connection, target, entries, |session, id, step| {
            session.query_one(&self.drop_dead, &[&id, &step])
        })
    }

    fn in_steps(
        &self,
        connection: &mut Connection,
        target: &str,
        entries: &[EntryId],
        change: impl Fn(&mut Session, TargetId, &Vec<i64>) -> Result<Row, Failure>,
    ) -> Result<u64, QueueError> {
        let Some(id) = self.id(connection, target)? else {
            return Ok(0);
        };
        let mut found = 0;
        for step in entries.chunks(AT_ONCE) {
            let step: Vec<i64> = step.iter().map(|it| it.0.cast_signed()).collect();
            let row = connection.run("change", |session| change(session, id, &step));
            match row {
                Ok(row) => found += row.get::<_, i64>(0).unsigned_abs(),
                Err(error) if found == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(found)
    }

    /// As [`Queue::drop_target`](webhook_queue::Queue::drop_target).
    pub(crate) fn drop_target(
        &self,
        connection: &mut Connection,
        target: &str,
    ) -> Result<u64, QueueError> {
        let kept = self.drop_one(connection, &kept_name(target))?;
        Ok(kept + self.drop_one(connection, target)?)
    }

    fn drop_one(&self, connection: &mut Connection, target: &str) -> Result<u64, QueueError> {
        let Some(id) = self.id(connection, target)? else {
            return Ok(0);
        };
        let mut removed = 0;
        loop {
            let most = AT_ONCE as i64;
            let row = connection.run("change", |session| {
                session.query_one(&self.drop_target, &[&id, &most])
            })?;
            removed += row.get::<_, i64>(0).unsigned_abs();
            if row.get(1) {
                break;
            }
        }
        connection.run("read", |session| self.targets.reload(session))?;
        Ok(removed)
    }

    fn id(
        &self,
        connection: &mut Connection,
        target: &str,
    ) -> Result<Option<TargetId>, QueueError> {
        connection.run("read", |session| self.targets.reload(session))?;
        Ok(self.targets.id(target))
    }

    /// As [`Queue::hold`](webhook_queue::Queue::hold).
    pub(crate) fn hold(
        &self,
        connection: &mut Connection,
        target: &str,
    ) -> Result<Option<TargetHold>, QueueError> {
        let row = connection.run("read", |session| session.query_opt(&self.hold, &[&target]))?;
        Ok(row.map(|row| {
            let note: Option<Vec<u8>> = row.get(1);
            TargetHold::new(self.database.to_local(row.get(0)), note.unwrap_or_default())
        }))
    }

    /// As [`Queue::trim_dead_letters`](webhook_queue::Queue::trim_dead_letters). `follow` reads the
    /// log up to now. One process trims at a time, so that none acts on totals from before another
    /// did.
    pub(crate) fn trim(
        &self,
        connection: &mut Connection,
        quotas: &Quotas,
        now: u64,
        log: &Log,
        mut follow: impl FnMut(&mut Session) -> Result<(), Failure>,
    ) -> Result<Vec<(Arc<str>, u64)>, QueueError> {
        let limits = &quotas.dead_letters;
        let oldest = |limits: &DeadLetterLimits| {
            let age = i64::try_from(limits.max_age.as_millis()).unwrap_or(i64::MAX);
            self.database.to_server(now).saturating_sub(age)
        };
        let kept = self.kept(quotas, log);
        if kept.is_empty()
            && !self.are_exceeded(limits, log)
            && limits.max_age == std::time::Duration::MAX
        {
            return Ok(Vec::new());
        }
        let removed = connection.run("change", |session| {
            session.transaction(|session| {
                if !session.query_one(&self.lock, &[])?.get::<_, bool>(0) {
                    return Ok(BTreeMap::new());
                }
                let most = AT_ONCE as i64;
                let all: Vec<TargetId> = self.kept_ids();
                let expired = session.query(&self.expired, &[&oldest(limits), &most, &all])?;
                let mut gone: BTreeMap<TargetId, Vec<i64>> =
                    expired.iter().map(|row| (row.get(0), row.get(1))).collect();
                if gone.is_empty() && self.are_exceeded(limits, log) {
                    follow(session)?;
                    self.targets.reload(session)?;
                    gone = self.over_limits(session, limits, log)?;
                }
                for (id, limits, over) in &kept {
                    let oldest = limits.as_ref().map_or(i64::MAX, oldest);
                    let rows = session.query(&self.oldest_kept, &[id, &oldest, over, &most])?;
                    if !rows.is_empty() {
                        gone.insert(*id, rows.iter().map(|row| row.get(0)).collect());
                    }
                }
                let mut removed = BTreeMap::new();
                for (target, entries) in gone {
                    let row = session.query_one(&self.drop_dead, &[&target, &entries])?;
                    removed.insert(target, row.get::<_, i64>(0).unsigned_abs());
                }
                Ok(removed)
            })
        })?;
        let all = self.targets.all();
        let names = all.iter().filter_map(|(name, id)| {
            let count = removed.get(id).filter(|count| **count > 0)?;
            Some((name.clone(), *count))
        });
        Ok(names.collect())
    }

    fn are_exceeded(&self, limits: &DeadLetterLimits, log: &Log) -> bool {
        let totals = self.dead_totals(log);
        let sum = |part: fn(&(u64, u64)) -> u64| totals.values().map(part).sum();
        limits.are_exceeded(sum(|it| it.0), sum(|it| it.1))
    }

    /// The number and the bytes of each target's dead letters.
    fn dead_totals(&self, log: &Log) -> BTreeMap<TargetId, (u64, u64)> {
        let log = log.read();
        let number = |it: i64| u64::try_from(it).unwrap_or(0);
        let of = |id: TargetId| {
            let totals = log.totals(id);
            (id, (number(totals.dead), number(totals.dead_bytes)))
        };
        let all = self.targets.all();
        let dead = all
            .iter()
            .filter(|(name, _)| target_of_kept(name).is_none());
        dead.map(|(_, id)| of(*id)).collect()
    }

    /// The second names of targets.
    fn kept_ids(&self) -> Vec<TargetId> {
        let all = self.targets.all();
        let kept = all
            .iter()
            .filter(|(name, _)| target_of_kept(name).is_some());
        kept.map(|(_, id)| *id).collect()
    }

    /// The second names under which deliveries are kept, with their bounds, if they have any, and
    /// the bytes over these.
    fn kept(&self, quotas: &Quotas, log: &Log) -> Vec<(TargetId, Option<DeadLetterLimits>, i64)> {
        let log = log.read();
        let all = self.targets.all();
        let kept = all.iter().filter_map(|(name, &id)| {
            let target = target_of_kept(name)?;
            let totals = log.totals(id);
            let limits = quotas.retained.get(target).copied();
            let max = limits.map_or(0, |it| i64::try_from(it.max_bytes).unwrap_or(i64::MAX));
            (totals.dead > 0).then_some((id, limits, totals.dead_bytes - max))
        });
        kept.collect()
    }

    /// Letters to remove: the oldest of the target that has most bytes first, up to a bound.
    fn over_limits(
        &self,
        session: &mut Session,
        limits: &DeadLetterLimits,
        log: &Log,
    ) -> Result<BTreeMap<TargetId, Vec<i64>>, Failure> {
        let mut totals = self.dead_totals(log);
        let mut pages: BTreeMap<TargetId, std::vec::IntoIter<Row>> = BTreeMap::new();
        let mut gone: BTreeMap<TargetId, Vec<i64>> = BTreeMap::new();
        for _ in 0..AT_ONCE {
            let (count, bytes) = totals
                .values()
                .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
            if !limits.are_exceeded(count, bytes) {
                break;
            }
            let Some((&target, total)) = totals.iter_mut().max_by_key(|it| it.1.1) else {
                break;
            };
            let page = match pages.entry(target) {
                Entry::Occupied(page) => page.into_mut(),
                Entry::Vacant(none) => {
                    let most = AT_ONCE as i64;
                    let page = session.query(&self.oldest, &[&target, &most])?;
                    none.insert(page.into_iter())
                }
            };
            let Some(row) = page.next() else {
                break;
            };
            let bytes = u64::try_from(row.get::<_, i32>(1)).unwrap_or(0);
            *total = (total.0.saturating_sub(1), total.1.saturating_sub(bytes));
            gone.entry(target).or_default().push(row.get(0));
        }
        Ok(gone)
    }
}
