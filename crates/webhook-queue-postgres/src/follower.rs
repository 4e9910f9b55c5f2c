//! Follows the log, and tells the reader what matters to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use webhook_queue::{Claim, QueueError};

use crate::ages::Ages;
use crate::connection::{Connection, Session};
use crate::failure::Failure;
use crate::lease::Owner;
use crate::log::Log;
use crate::news::News;
use crate::reader::Reader;

/// Follows the log. Any thread may do so, with a connection of its own.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) log: Arc<Log>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) news: Arc<News>,
    pub(crate) ages: Arc<Ages>,
    /// Targets were added or removed since [`targets_changed`](Follower::targets_changed).
    targets_changed: AtomicBool,
}

impl Follower {
    pub(crate) fn new(log: Arc<Log>, reader: Arc<Reader>, news: Arc<News>) -> Follower {
        Follower {
            ages: Arc::new(Ages::new(log.clone(), reader.clone())),
            log,
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
        if applied.replayed {
            self.replayed();
        }
        Ok(())
    }

    fn apply(&self, session: &mut Session, after: u64) -> Result<crate::log::Applied, Failure> {
        let page = self.log.fetch(session, after)?;
        // The log forgets settlements of truncated segments, so no reader may show their entries.
        self.reader.forget(page.truncated);
        Ok(self.log.change(|log| log.apply(after, &page)))
    }

    /// Whether targets were added or removed since the last call.
    pub(crate) fn targets_changed(&self) -> bool {
        self.targets_changed.swap(false, Ordering::AcqRel)
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
