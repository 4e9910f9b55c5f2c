//! Commits groups, one at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use webhook_queue::{Event, QueueError, Quotas, Settled, Settlement};

use super::admission::Usage;
use super::answer::{Answer, Appends, Committed};
use super::group::{Group, window};
use super::keeping;
use super::known::Known;
use super::unresolved::Unresolved;
use crate::connection::{Connection, Parameter, Session};
use crate::database::Database;
use crate::failure::{self, Failure};
use crate::follower::Follower;
use crate::log::Log;
use crate::parameters::Array;
use crate::targets::Targets;

/// How long a call is repeated whose connection was lost, before its outcome counts as unknown.
const RESOLVE: Duration = Duration::from_secs(5);

/// The error of the function when a target was removed that the call names.
const TARGET_REMOVED: &str = "WQ001";

/// Commits groups, one at a time.
#[derive(Debug)]
pub(crate) struct Flusher {
    database: Arc<Database>,
    log: Arc<Log>,
    follower: Arc<Follower>,
    targets: Arc<Targets>,
    quotas: Mutex<Arc<Quotas>>,
    statements: Statements,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Statements {
    flush: String,
    /// As `flush`, of a group whose deliveries are kept.
    keep: String,
    writer: String,
}

/// What only the thread that commits uses.
#[derive(Debug)]
struct State {
    connection: Connection,
    /// The writer's id, once it has one. It is not that of a lease: a process that loses its lease
    /// must not write as another.
    writer: Option<i64>,
    /// The number of the last call.
    n: i64,
    unresolved: Unresolved,
    /// Calls were resolved of which the log may not know the settlements.
    is_log_behind: bool,
    known: Known,
}

impl Flusher {
    pub(crate) fn new(
        database: Arc<Database>,
        follower: Arc<Follower>,
        targets: Arc<Targets>,
        connection: Connection,
    ) -> Flusher {
        let parameters = (3..=41).map(|at| format!(", ${at}")).collect::<String>();
        let flush = format!(
            "SELECT number, count, total_target, owed, owed_bytes, dead, dead_bytes, \
             fenced, not_owed, verdicts, first_ids, previous \
             FROM {}.flush($1, $2{parameters})",
            database.schema
        );
        let statements = Statements {
            keep: database.sql(&keeping::STATEMENT.replace("{flush}", &flush)),
            flush,
            writer: database.sql("SELECT nextval('{schema}.writer_id')"),
        };
        Flusher {
            log: Arc::clone(&follower.log),
            follower,
            targets,
            quotas: Mutex::default(),
            statements,
            state: Mutex::new(State {
                connection,
                writer: None,
                n: 0,
                unresolved: Unresolved::default(),
                is_log_behind: false,
                known: Known::new(&database),
            }),
            database,
        }
    }

    pub(crate) fn set_quotas(&self, quotas: Quotas) {
        *self.quotas.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(quotas);
    }

    pub(crate) fn quotas(&self) -> Arc<Quotas> {
        let quotas = self.quotas.lock();
        quotas.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Queue::commit`](webhook_queue::Queue::commit).
    pub(crate) fn commit(
        &self,
        events: &[Event],
        settlements: &[Settlement],
    ) -> Result<Committed, QueueError> {
        let mut state = self.state();
        let state = &mut *state;
        self.resolve(state, events)?;
        if events.is_empty() && settlements.is_empty() {
            return Ok(Committed::default());
        }
        // Events that turned out to be stored are answered from memory.
        let all = events;
        let stored = state.unresolved.stored(events);
        let is_any_stored = stored.iter().any(Option::is_some);
        let failed = |error: QueueError| match error {
            QueueError::Unavailable { .. } if is_any_stored => QueueError::Unknown {
                source: error.into(),
            },
            error => error,
        };
        let rest: Vec<Event>;
        let events = match stored.iter().all(Option::is_none) {
            true => events,
            false => {
                let unknown = events.iter().zip(&stored).filter(|it| it.1.is_none());
                rest = unknown.map(|it| it.0.clone()).collect();
                &rest
            }
        };
        self.follow(state).map_err(failed)?;
        let committed = self.flush(state, events, settlements);
        let mut committed = committed.map_err(failed)?;
        state.unresolved.forget(all);
        let mut appended = std::mem::take(&mut committed.result.accepted).into_iter();
        let accepted = stored.into_iter().map(|it| it.or_else(|| appended.next()));
        committed.result.accepted = accepted.flatten().collect();
        // What is forgotten later takes room until then, and nothing else.
        let forgotten =
            state
                .known
                .forget(&self.database, &self.log, &mut state.connection, events);
        forgotten.ok();
        Ok(committed)
    }

    fn flush(
        &self,
        state: &mut State,
        events: &[Event],
        settlements: &[Settlement],
    ) -> Result<Committed, QueueError> {
        let over_quota = self.admit(state, events)?;
        let held = settlements
            .iter()
            .filter(|it| matches!(it.outcome, Settled::Held { .. }));
        let held: Vec<_> = held.map(|it| &it.target).collect();
        let kept = keeping::kept_names(settlements, || self.usage());
        for is_last in [false, true] {
            let names = events.iter().flat_map(|it| it.targets.iter());
            let names = names.chain(held.iter().copied()).chain(kept.values());
            self.targets.create(&mut state.connection, names)?;
            let names = self.targets.all();
            let mut group = Group::new(&self.database, &names, events, &over_quota);
            let log = self.log.read();
            group.settle(&self.database, &names, &log, settlements, &kept);
            group.kept.bound(&names, (&log, &self.quotas()), &kept);
            drop(log);
            match self.call(state, &group, events, &over_quota)? {
                Ok(answer) => {
                    let committed = answer.committed(&group, events, &over_quota, settlements);
                    self.log.change(|log| {
                        log.apply_own(&answer.flush(&group));
                        answer.kept.iter().for_each(|it| log.apply_own(it));
                    });
                    return Ok(committed);
                }
                Err(failure) => {
                    let removed = SqlState::from_code(TARGET_REMOVED);
                    if is_last || failure.code() != Some(&removed) {
                        return Err(failure.into_error(self.database.storage(), "commit to"));
                    }
                    let targets = &self.targets;
                    state
                        .connection
                        .run("read", |session| targets.reload(session))?;
                }
            }
        }
        unreachable!("the last round returns")
    }

    /// Calls the function. `Ok(Err)` if the database refused it: nothing was changed.
    fn call(
        &self,
        state: &mut State,
        group: &Group<'_>,
        events: &[Event],
        over_quota: &[Vec<Arc<str>>],
    ) -> Result<Result<Answer, Failure>, QueueError> {
        let writer = self.writer(state)?;
        let n = state.n + 1;
        let deadline = Instant::now() + RESOLVE;
        let mut session = state.connection.session()?;
        let mut lost = match self.call_once(session, writer, n, group) {
            Ok(answer) => {
                state.n = n;
                return Ok(Ok(answer));
            }
            Err(Failure::Lost(lost)) => lost,
            Err(refused) => return Ok(Err(refused)),
        };
        // From here on the first call may have taken effect, or still take effect, whatever becomes
        // of its repetitions.
        state.n = n;
        loop {
            state.connection.lost();
            match state.connection.session_until(deadline) {
                Err(error) => {
                    state.unresolved.add(n, Appends::new(events, over_quota));
                    let detail = failure::describe(&*lost);
                    let source = format!("{detail}; then: {}", failure::describe(&error));
                    return Err(QueueError::Unknown {
                        source: source.into(),
                    });
                }
                Ok(again) => session = again,
            }
            match self.call_once(session, writer, n, group) {
                Ok(answer) => return Ok(Ok(answer)),
                Err(Failure::Lost(again)) if Instant::now() < deadline => lost = again,
                Err(failure) => {
                    if failure.is_lost() {
                        state.connection.lost();
                    }
                    state.unresolved.add(n, Appends::new(events, over_quota));
                    let error = failure.into_error(self.database.storage(), "commit to");
                    return Err(QueueError::Unknown {
                        source: error.into(),
                    });
                }
            }
        }
    }

    fn call_once(
        &self,
        session: &mut Session,
        writer: i64,
        n: i64,
        group: &Group<'_>,
    ) -> Result<Answer, Failure> {
        group.with_parameters(window(&self.database), |parameters| {
            let mut all: Vec<Parameter<'_>> = vec![&writer, &n];
            all.extend_from_slice(parameters);
            let kept = &group.kept;
            if kept.at.is_empty() {
                let row = session.query_one(&self.statements.flush, &all)?;
                return Ok(Answer::new(&row));
            }
            let keep: [Parameter<'_>; 8] = [
                &Array(&kept.at),
                &Array(&kept.target),
                &Array(&kept.attempts),
                &Array(&kept.delivered_at),
                &Array(&kept.bounded),
                &Array(&kept.oldest),
                &Array(&kept.over),
                &kept.most,
            ];
            all.extend(keep);
            let row = session.query_one(&self.statements.keep, &all)?;
            let mut answer = Answer::new(&row);
            answer.kept = keeping::changes(&row);
            Ok(answer)
        })
    }

    /// Finds out what became of earlier calls.
    fn resolve(&self, state: &mut State, events: &[Event]) -> Result<(), QueueError> {
        let Some(writer) = state.writer else {
            return Ok(());
        };
        while let Some(n) = state.unresolved.next() {
            let nothing = Group::default();
            // It stores nothing, and ends the call if that has not taken effect.
            let answer = state.connection.run("commit to", |session| {
                self.call_once(session, writer, n, &nothing)
            });
            match answer {
                Ok(answer) => {
                    state.unresolved.resolve(n, &answer);
                    state.is_log_behind = true;
                }
                Err(source) if state.unresolved.concerns(events) => {
                    return Err(QueueError::Unknown {
                        source: source.into(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the settlements of calls that were resolved: they must not count twice when they are
    /// committed again.
    fn follow(&self, state: &mut State) -> Result<(), QueueError> {
        if state.is_log_behind {
            let follow = |session: &mut Session| self.follower.follow(session);
            state.connection.run("read", follow)?;
            state.is_log_behind = false;
        }
        Ok(())
    }

    fn writer(&self, state: &mut State) -> Result<i64, QueueError> {
        if let Some(writer) = state.writer {
            return Ok(writer);
        }
        let statement = &self.statements.writer;
        let row = state
            .connection
            .run("commit to", |session| session.query_one(statement, &[]))?;
        let writer = row.get(0);
        state.writer = Some(writer);
        Ok(writer)
    }

    /// The targets of each event that are over their quotas.
    fn admit(&self, state: &mut State, events: &[Event]) -> Result<Vec<Vec<Arc<str>>>, QueueError> {
        let quotas = self.quotas();
        let usage = self.usage();
        let admitted = usage.admit(events, &quotas, |_| false);
        let is_short = admitted
            .as_ref()
            .map_or(true, |over| over.iter().any(|it| !it.is_empty()));
        let may_drop = |it: &Event| it.idempotency_key.is_some() || it.last_state.is_some();
        if !is_short || !events.iter().any(may_drop) {
            return admitted;
        }
        // Events that will be dropped take no room.
        let dropped = state
            .known
            .dropped(&self.database, &mut state.connection, events)?;
        usage.admit(events, &quotas, |at| dropped[at])
    }

    /// The use that is made of the queue, as far as it was followed.
    pub(crate) fn usage(&self) -> Usage {
        let log = self.log.read();
        let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        let mut usage = Usage {
            max_bytes: self.database.settings.max_bytes,
            ..Usage::default()
        };
        for (name, id) in self.targets.all().iter() {
            let totals = log.totals(*id);
            usage.bytes += bytes(totals.owed_bytes) + bytes(totals.dead_bytes);
            usage.owed.insert(name.clone(), bytes(totals.owed_bytes));
        }
        usage
    }
}
