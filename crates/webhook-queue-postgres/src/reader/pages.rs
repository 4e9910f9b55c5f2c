//! Pages of the tables, for a target whose cursor is before the tail.

use std::collections::HashMap;
use std::sync::Arc;

use webhook_queue::QueueError;

use super::statements::{BYTES, Found, ROWS, Source, Statements, is_full, split};
use crate::log::{Attempt, Log, TargetId};
use crate::pool::Pool;

/// The most rows of a page that is read without bodies.
const SPARSE_ROWS: i64 = 4096;

/// Pages that are read to find the oldest entry.
const PAGES: usize = 4;

/// Entries that a target is owed.
#[derive(Debug)]
pub(super) struct Page {
    /// Each with an attempt that the log has of it.
    pub(super) owed: Vec<(Found, Option<Attempt>)>,
    /// The page has all entries up to this one.
    pub(super) end: u64,
    /// There were no more.
    pub(super) is_last: bool,
    /// Most entries were settled: the next page is better read without bodies.
    pub(super) is_sparse: bool,
}

/// Where the oldest entry is that a target is owed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// No entry up to this one is owed.
    pub(crate) after: u64,
    /// When the next one that is was accepted, by the server's clock.
    pub(crate) accepted_at: Option<i64>,
}

/// Reads pages.
#[derive(Debug)]
pub(super) struct Pages {
    log: Arc<Log>,
    statements: Arc<Statements>,
    connections: Arc<Pool>,
}

impl Pages {
    pub(super) fn new(log: Arc<Log>, statements: Arc<Statements>, connections: Arc<Pool>) -> Pages {
        Pages {
            log,
            statements,
            connections,
        }
    }

    /// The next entries that a target is owed after `after`. A sparse page reads the entries first,
    /// and then the bodies of those that are owed.
    pub(super) fn page(
        &self,
        target: TargetId,
        slots: &[i16],
        after: u64,
        sparse: bool,
    ) -> Result<Page, QueueError> {
        let mut page = self.scan(target, slots, after, sparse)?;
        if sparse {
            self.fill(target, &mut page)?;
        }
        Ok(page)
    }

    /// Finds the oldest entry that a target is owed in some slots, from where it was found before. It
    /// reads a few pages at most, and goes on from there the next time.
    pub(super) fn oldest(
        &self,
        target: TargetId,
        slots: &[i16],
        mut place: Place,
    ) -> Result<Place, QueueError> {
        for _ in 0..PAGES {
            let page = self.scan(target, slots, place.after, true)?;
            if let Some((found, _)) = page.owed.first() {
                return Ok(Place {
                    after: found.entry - 1,
                    accepted_at: Some(found.accepted_at()),
                });
            }
            if page.is_last {
                return Ok(Place {
                    after: page.end,
                    accepted_at: None,
                });
            }
            place.after = page.end;
        }
        Ok(place)
    }

    /// A page, without bodies if it is sparse.
    fn scan(
        &self,
        target: TargetId,
        slots: &[i16],
        after: u64,
        sparse: bool,
    ) -> Result<Page, QueueError> {
        loop {
            let truncated = self.log.read().truncated();
            let (rows, bytes) = match sparse {
                true => (SPARSE_ROWS, i64::MAX),
                false => (ROWS, BYTES),
            };
            let found = self.connections.run("read", |session| {
                session.query(
                    &self.statements.page,
                    &[
                        &after.cast_signed(),
                        &slots,
                        &target,
                        &rows,
                        &bytes,
                        &!sparse,
                    ],
                )
            })?;
            let (sources, last) = split(found);
            let full = sources.iter().filter(|found| is_full(found, rows, bytes));
            let bound = full.filter_map(|found| Some(found.last()?.entry)).min();
            let ends = sources.iter().filter_map(|found| Some(found.last()?.entry));
            let end = bound.unwrap_or_else(|| ends.fold(last, u64::max));
            let mut page = Page {
                owed: Vec::new(),
                end,
                is_last: bound.is_none(),
                is_sparse: false,
            };
            let found = merge(sources, end);
            let scanned = found.len();
            {
                let log = self.log.read();
                if log.truncated() != truncated {
                    // Entries of a segment that was truncated meanwhile would look as if owed.
                    continue;
                }
                let is_owed = |found: &Found| {
                    found.source == Source::Parked || !log.is_settled(target, found.entry)
                };
                for found in found.into_iter().filter(is_owed) {
                    let attempt = log.attempt(target, found.entry);
                    page.owed.push((found, attempt));
                }
            }
            page.is_sparse = page.owed.len() * 2 < scanned;
            return Ok(page);
        }
    }

    /// Reads the bodies of a page, and cuts it where they are too many.
    fn fill(&self, target: TargetId, page: &mut Page) -> Result<(), QueueError> {
        let mut bytes = 0;
        let within = |(found, _): &&(Found, Option<Attempt>)| {
            let fits = bytes < BYTES.unsigned_abs();
            bytes += found.bytes;
            fits
        };
        let kept = page
            .owed
            .iter()
            .take_while(within)
            .count()
            .min(ROWS as usize);
        if kept < page.owed.len() {
            page.owed.truncate(kept);
            page.is_last = false;
            page.end = page.owed.last().map_or(page.end, |(found, _)| found.entry);
        }
        if page.owed.is_empty() {
            return Ok(());
        }
        let entries: Vec<u64> = page.owed.iter().map(|(found, _)| found.entry).collect();
        let mut bodies = self.bodies(target, &entries)?;
        let found = std::mem::take(&mut page.owed);
        for (found, attempt) in found {
            // One that is gone was settled meanwhile.
            if let Some(body) = bodies.remove(&found.entry) {
                page.owed.push((body, attempt));
            }
        }
        Ok(())
    }

    /// The events of these entries that exist: of two rows, the one that is parked.
    pub(super) fn bodies(
        &self,
        target: TargetId,
        entries: &[u64],
    ) -> Result<HashMap<u64, Found>, QueueError> {
        let entries: Vec<i64> = entries.iter().map(|it| it.cast_signed()).collect();
        let rows = self.connections.run("read", |session| {
            session.query(&self.statements.bodies, &[&entries, &target])
        })?;
        let ([parked, segment], _) = split(rows);
        // The later ones replace the earlier ones.
        let found = segment.into_iter().chain(parked);
        Ok(found.map(|found| (found.entry, found)).collect())
    }
}

/// The rows up to `end` in order; of two rows of an entry, the one that is parked.
fn merge([parked, segment]: [Vec<Found>; 2], end: u64) -> Vec<Found> {
    let mut found = parked;
    match found.is_empty() {
        true => found = segment,
        false => {
            found.extend(segment);
            found.sort_by_key(|it| (it.entry, it.source));
            found.dedup_by_key(|it| it.entry);
        }
    }
    found.retain(|it| it.entry <= end);
    found
}
