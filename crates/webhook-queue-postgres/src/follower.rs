//! Follows the log, and tells the reader what matters to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use webhook_queue::{Claim, QueueError};

use crate::ages::Ages;
use crate::connection::{Connection, Session};
use crate::failure::Failure;
use crate::lease::Owner;
use crate::log::{Log, TargetId};
use crate::news::News;
use crate::reader::Reader;
use crate::targets::Targets;

/// Follows the log. Any thread may do so, with a connection of its own.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) log: Arc<Log>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) news: Arc<News>,
    pub(crate) ages: Arc<Ages>,
    targets: Arc<Targets>,
    /// Targets were added or removed since they were read.
    targets_changed: AtomicBool,
}

impl Follower {
    pub(crate) fn new(
        log: Arc<Log>,
        targets: Arc<Targets>,
        reader: Arc<Reader>,
        news: Arc<News>,
    ) -> Follower {
        Follower {
            ages: Arc::new(Ages::new(log.clone(), reader.clone())),
            log,
            targets,
            reader,
            news,
            targets_changed: AtomicBool::new(false),
        }
    }

    /// Reads the rows of the log that were committed before this call.
    ///
    /// # Errors
    /// The log cannot be read; what was read so far counts.
    pub(crate) fn follow(&self, session: &mut Session) -> Result<(), Failure> {
        let after = self.log.read().last();
        let mut applied = self.apply(session, after)?;
        if applied.reload {
            // Rows that were truncated unread may have been of any kind.
            applied = self.apply(session, 0)?;
            (applied.replayed, applied.targets_changed) = (true, true);
        }
        if applied.targets_changed {
            self.targets_changed.store(true, Ordering::Release);
        }
        if self.targets_changed.load(Ordering::Acquire) {
            self.reload_targets(session)?;
        }
        if applied.replayed {
            self.replayed();
        }
        Ok(())
    }

    /// Reads the targets again. One that another process has added may be owed something already.
    fn reload_targets(&self, session: &mut Session) -> Result<(), Failure> {
        let before = self.targets.all();
        self.targets_changed.store(false, Ordering::Release);
        if let Err(failure) = self.targets.reload(session) {
            self.targets_changed.store(true, Ordering::Release);
            return Err(failure);
        }
        let after = self.targets.all();
        let removed: Vec<TargetId> = before
            .values()
            .copied()
            .filter(|id| !after.values().any(|it| it == id))
            .collect();
        if !removed.is_empty() {
            self.reader.retain(|id| !removed.contains(&id));
            self.log
                .change(|log| log.retain(|id| !removed.contains(&id)));
        }
        self.news.note_reread();
        Ok(())
    }

    fn apply(&self, session: &mut Session, after: u64) -> Result<crate::log::Applied, Failure> {
        let page = self.log.fetch(session, after)?;
        // The log forgets settlements of truncated segments, so no reader may show their entries.
        self.reader.forget(page.truncated);
        Ok(self.log.change(|log| log.apply(after, &page)))
    }

    /// Entries are owed again that were settled: all targets begin at the first entry.
    pub(crate) fn replayed(&self) {
        self.reader.reread();
        self.news.note_reread();
    }
}

impl Owner for Follower {
    fn catch_up(&self, connection: &mut Connection) -> Result<(), QueueError> {
        connection.run("read", |session| self.follow(session))
    }

    fn oldest(&self) -> Option<i64> {
        self.ages.oldest_of_own()
    }

    fn begin(&self, connection: &mut Connection, claims: &[Claim]) -> Result<(), QueueError> {
        let statement = self.reader.last_entry_statement();
        let row = connection.run("read", |session| session.query_one(statement, &[]))?;
        let last = row.get::<_, Option<i64>>(0).unwrap_or(0);
        self.reader.begin_claims(claims, last.cast_unsigned());
        self.news.note_reread();
        Ok(())
    }
}
