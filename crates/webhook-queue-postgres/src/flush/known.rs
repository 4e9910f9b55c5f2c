//! Idempotency keys and last states: looks them up, and forgets those over the bounds.

use std::collections::HashMap;
use std::sync::Arc;

use webhook_queue::{Event, QueueError};

use super::admission::dropped;
use super::group::{body_hash, fingerprint, window};
use crate::connection::Connection;
use crate::database::Database;
use crate::log::{Flush, Log, Totals};
use crate::parameters::Uuid;

/// Keys that are learnt between two looks for keys to forget.
const LOOK_EVERY: i64 = 256;

/// The most last states that one statement removes.
const AT_ONCE: i64 = 2048;

/// The part of the bound by which last states may exceed it, so that they are forgotten together.
const SLACK: u64 = 256;

/// The target's number for the count of last states in the totals.
const STATES: i16 = 0;

/// The statements, and what was forgotten.
#[derive(Debug)]
pub(crate) struct Known {
    keys: String,
    states: String,
    forget_keys: String,
    forget_states: String,
    /// Keys learnt since the last look.
    learnt: i64,
    /// Up to which number rows were removed: a search from there does not meet removed rows, which
    /// stay in the indexes for as long as a transaction elsewhere may see them.
    forgotten_keys: i64,
    forgotten_states: i64,
}

impl Known {
    pub(crate) fn new(database: &Database) -> Known {
        Known {
            keys: database.sql(
                "SELECT print, id, body_hash, learnt_at, \
                 number > (SELECT last_value FROM {schema}.known_number) - $2::int8 \
                 FROM {schema}.known WHERE print = ANY ($1)",
            ),
            states: database
                .sql("SELECT print, state FROM {schema}.last_state WHERE print = ANY ($1)"),
            forget_keys: database.sql("SELECT {schema}.forget_keys($1, $2, $3, $4)"),
            forget_states: database
                .sql("SELECT number, forgotten, up_to FROM {schema}.forget_states($1, $2)"),
            learnt: 0,
            forgotten_keys: 0,
            forgotten_states: 0,
        }
    }

    /// Which events will be dropped, as far as is known now.
    pub(super) fn dropped(
        &self,
        database: &Database,
        connection: &mut Connection,
        events: &[Event],
    ) -> Result<Vec<bool>, QueueError> {
        let key = |event: &Event| {
            let key = event.idempotency_key.as_deref();
            key.map(|key| fingerprint(database, key))
        };
        let has_state = |event: &Event| {
            let state = event.last_state.as_deref();
            state.map(|it| fingerprint(database, &it.key))
        };
        let keys: Vec<Uuid> = events.iter().filter_map(key).collect();
        let states: Vec<Uuid> = events.iter().filter_map(has_state).collect();
        let most = window(database).1;
        let (known, last) = connection.run("read", |session| {
            let rows = session.query(&self.keys, &[&keys, &most])?;
            let known = rows.iter().filter(|row| row.get(4));
            let known = known.map(|row| (row.get(0), row.get::<_, i64>(3)));
            let known: HashMap<Uuid, i64> = known.collect();
            let rows = session.query(&self.states, &[&states])?;
            let last = rows.iter().map(|row| (row.get(0), row.get(1)));
            Ok((known, last.collect::<HashMap<Uuid, Vec<u8>>>()))
        })?;
        let age_of_window = window(database).0;
        let is_repeated = |at: usize| {
            let learnt_at = key(&events[at]).and_then(|it| known.get(&it));
            let age = |learnt_at: i64| {
                database
                    .to_server(events[at].accepted_at)
                    .saturating_sub(learnt_at)
            };
            learnt_at.is_some_and(|it| age(*it) < age_of_window)
        };
        let last_state = |at: usize| has_state(&events[at]).and_then(|it| last.get(&it).cloned());
        Ok(dropped(events, is_repeated, last_state))
    }

    /// As [`Queue::is_repetition`](webhook_queue::Queue::is_repetition).
    pub(crate) fn is_repetition(
        &self,
        database: &Database,
        connection: &mut Connection,
        key: &[u8],
        body: &[u8],
    ) -> Result<bool, QueueError> {
        let keys = [fingerprint(database, key)];
        let rows = connection.run("read", |session| {
            session.query(&self.keys, &[&&keys[..], &0_i64])
        })?;
        let hash = body_hash(database, body);
        Ok(rows.first().is_none_or(|row| row.get::<_, i64>(2) == hash))
    }

    /// As [`Queue::last_state`](webhook_queue::Queue::last_state).
    pub(crate) fn last_state(
        &self,
        database: &Database,
        connection: &mut Connection,
        key: &[u8],
    ) -> Result<Option<Arc<[u8]>>, QueueError> {
        let keys = [fingerprint(database, key)];
        let rows = connection.run("read", |session| session.query(&self.states, &[&&keys[..]]))?;
        Ok(rows.first().map(|row| row.get::<_, Vec<u8>>(1).into()))
    }

    /// Removes what is over the bounds, after these events were committed.
    pub(super) fn forget(
        &mut self,
        database: &Database,
        log: &Log,
        connection: &mut Connection,
        events: &[Event],
    ) -> Result<(), QueueError> {
        let keys = events.iter().filter(|it| it.idempotency_key.is_some());
        self.learnt += keys.count() as i64;
        if self.learnt >= LOOK_EVERY {
            let (age, keys) = window(database);
            let (floor, most) = (self.forgotten_keys, self.learnt * 4);
            let row = connection.run("commit to", |session| {
                session.query_one(&self.forget_keys, &[&age, &keys, &floor, &most])
            })?;
            (self.forgotten_keys, self.learnt) = (row.get(0), 0);
        }
        let max = database.settings.max_last_states;
        let over = states(log).saturating_sub(max);
        let changed = events.iter().any(|it| it.last_state.is_some());
        if changed && over > (max / 16).min(SLACK) {
            let over = i64::try_from(over).unwrap_or(AT_ONCE).min(AT_ONCE);
            let floor = self.forgotten_states;
            let row = connection.run("commit to", |session| {
                session.query_one(&self.forget_states, &[&over, &floor])
            })?;
            let (number, forgotten): (i64, i64) = (row.get(0), row.get(1));
            self.forgotten_states = row.get(2);
            log.change(|log| {
                let change = Totals {
                    owed: -forgotten,
                    ..Totals::default()
                };
                log.apply_own(&Flush {
                    number: number.cast_unsigned(),
                    changes: vec![(STATES, change)],
                    ..Flush::default()
                });
            });
        }
        Ok(())
    }
}

/// How many last states are known, as far as the log was followed.
pub(crate) fn states(log: &Log) -> u64 {
    u64::try_from(log.read().totals(STATES).owed).unwrap_or(0)
}
