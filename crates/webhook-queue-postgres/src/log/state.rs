//! What the flush log says, in memory: which entries are settled, what was attempted, and the totals.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

/// A target's number in the schema.
pub(crate) type TargetId = i16;

/// One row of the flush log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flush {
    /// Grows with each flush of any process.
    pub(crate) number: u64,
    /// Entries that are owed no longer, each at one target.
    pub(crate) settled: Vec<(u64, TargetId)>,
    /// Failed attempts, of entries that are still owed.
    pub(crate) attempted: Vec<(u64, TargetId, Attempt)>,
    /// How it changed the totals.
    pub(crate) changes: Vec<(TargetId, Totals)>,
    /// Whether entries are owed again that were settled before.
    pub(crate) replayed: bool,
    /// Whether targets were added or removed.
    pub(crate) targets_changed: bool,
}

/// The last failed attempt of an entry at a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Attempts made so far.
    pub(crate) attempts: u32,
    /// The earliest time of the next one, epoch milliseconds of the server's clock.
    pub(crate) not_before: i64,
}

/// What one target is owed, or how that has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) owed: i64,
    pub(crate) owed_bytes: i64,
    pub(crate) dead: i64,
    pub(crate) dead_bytes: i64,
}

/// The rows of the log after a number, and the sum of those that were truncated; read in one
/// snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogPage {
    /// Rows up to this number were truncated.
    pub(crate) truncated: u64,
    /// The totals of the truncated rows.
    pub(crate) base: Vec<(TargetId, Totals)>,
    /// The rows after the number that was asked for, in order.
    pub(crate) flushes: Vec<Flush>,
}

/// What a page of the log has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Rows were truncated before they were read: the whole log is to be read again.
    pub(crate) reload: bool,
    /// Entries are owed again that were settled before.
    pub(crate) replayed: bool,
    /// Targets were added or removed, as far as the rows tell.
    pub(crate) targets_changed: bool,
}

/// The state of the log. Rows are applied in the order of their numbers; a flush of this process is
/// applied at once, before the rows of others that were committed before it.
#[derive(Debug, Default)]
pub(crate) struct LogState {
    /// The last row that was read.
    last: u64,
    /// Rows and entries up to this one were truncated, and their settlements forgotten.
    truncated: u64,
    targets: BTreeMap<TargetId, TargetState>,
    /// Flushes of this process after `last`.
    own: BTreeMap<u64, Vec<(TargetId, Totals)>>,
}

#[derive(Debug, Default)]
struct TargetState {
    settled: RoaringTreemap,
    attempts: BTreeMap<u64, Attempt>,
    /// As of the last row that was read.
    totals: Totals,
    /// The changes of `own`.
    ahead: Totals,
}

impl LogState {
    /// The number of the last row that was read.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Settlements of entries up to this one were forgotten, since their segments were truncated: an
    /// entry that was read before may look as if it were owed.
    pub(crate) fn truncated(&self) -> u64 {
        self.truncated
    }

    /// Applies a flush of this process, which need not have been read yet.
    pub(crate) fn apply_own(&mut self, flush: &Flush) {
        if flush.number <= self.last || self.own.contains_key(&flush.number) {
            return;
        }
        self.settle(flush);
        for (target, change) in &flush.changes {
            self.targets.entry(*target).or_default().ahead.add(*change);
        }
        self.own.insert(flush.number, flush.changes.clone());
    }

    /// Applies the rows that were read after `after`.
    pub(crate) fn apply(&mut self, after: u64, page: &LogPage) -> Applied {
        let mut applied = Applied::default();
        if page.truncated > self.last {
            if after > 0 {
                applied.reload = true;
                return applied;
            }
            self.restart(page);
            applied.targets_changed = true;
        }
        if page.truncated > self.truncated {
            self.truncated = page.truncated;
            for target in self.targets.values_mut() {
                target.settled.remove_range(..=page.truncated);
            }
        }
        for flush in &page.flushes {
            if flush.number <= self.last {
                continue;
            }
            self.last = flush.number;
            applied.replayed |= flush.replayed;
            let mut named = flush.changes.iter();
            let is_new = named.any(|(id, _)| !self.targets.contains_key(id));
            applied.targets_changed |= flush.targets_changed || is_new;
            if let Some(changes) = self.own.remove(&flush.number) {
                for (target, change) in changes {
                    self.targets
                        .entry(target)
                        .or_default()
                        .ahead
                        .subtract(change);
                }
            } else {
                self.settle(flush);
            }
            for (target, change) in &flush.changes {
                self.targets.entry(*target).or_default().totals.add(*change);
            }
        }
        applied
    }

    /// Goes on from the sum of the truncated rows. Settled entries stay settled.
    fn restart(&mut self, page: &LogPage) {
        self.last = page.truncated;
        for target in self.targets.values_mut() {
            target.totals = Totals::default();
        }
        for (target, totals) in &page.base {
            self.targets.entry(*target).or_default().totals = *totals;
        }
        let truncated = |number: &u64| *number <= page.truncated;
        while let Some(first) = self.own.first_entry().filter(|it| truncated(it.key())) {
            for (target, change) in first.remove() {
                self.targets
                    .entry(target)
                    .or_default()
                    .ahead
                    .subtract(change);
            }
        }
    }

    fn settle(&mut self, flush: &Flush) {
        for (entry, target, attempt) in &flush.attempted {
            let target = self.targets.entry(*target).or_default();
            target.attempts.insert(*entry, *attempt);
        }
        for (entry, target) in &flush.settled {
            let target = self.targets.entry(*target).or_default();
            target.settled.insert(*entry);
            target.attempts.remove(entry);
        }
    }

    /// The targets that the log names.
    pub(crate) fn targets(&self) -> Vec<TargetId> {
        // 0 counts the last states.
        let targets = self.targets.keys().copied();
        targets.filter(|it| *it > 0).collect()
    }

    /// Forgets the targets that were removed.
    pub(crate) fn retain(&mut self, exists: impl Fn(TargetId) -> bool) {
        self.targets.retain(|target, _| exists(*target));
    }

    /// Whether an entry of a live segment is settled at a target.
    pub(crate) fn is_settled(&self, target: TargetId, entry: u64) -> bool {
        let target = self.targets.get(&target);
        target.is_some_and(|it| it.settled.contains(entry))
    }

    /// The settled entries of a target.
    pub(crate) fn settled(&self, target: TargetId) -> Option<&RoaringTreemap> {
        self.targets.get(&target).map(|it| &it.settled)
    }

    /// The last failed attempt of an entry, if the log has one.
    pub(crate) fn attempt(&self, target: TargetId, entry: u64) -> Option<Attempt> {
        self.targets.get(&target)?.attempts.get(&entry).copied()
    }

    /// What a target is owed, with the flushes of this process.
    pub(crate) fn totals(&self, target: TargetId) -> Totals {
        let mut totals = Totals::default();
        if let Some(target) = self.targets.get(&target) {
            totals = target.totals;
            totals.add(target.ahead);
        }
        totals
    }
}

impl Totals {
    pub(crate) fn add(&mut self, change: Totals) {
        self.owed += change.owed;
        self.owed_bytes += change.owed_bytes;
        self.dead += change.dead;
        self.dead_bytes += change.dead_bytes;
    }

    fn subtract(&mut self, change: Totals) {
        self.owed -= change.owed;
        self.owed_bytes -= change.owed_bytes;
        self.dead -= change.dead;
        self.dead_bytes -= change.dead_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owed(owed: i64) -> Totals {
        Totals {
            owed,
            owed_bytes: owed * 100,
            ..Totals::default()
        }
    }

    fn attempt(attempts: u32) -> Attempt {
        Attempt {
            attempts,
            not_before: 7,
        }
    }

    fn settles(number: u64, entry: u64) -> Flush {
        Flush {
            number,
            settled: vec![(entry, 1)],
            changes: vec![(1, owed(-1))],
            ..Flush::default()
        }
    }

    fn page(flushes: &[Flush]) -> LogPage {
        LogPage {
            flushes: flushes.to_vec(),
            ..LogPage::default()
        }
    }

    #[test]
    fn an_own_flush_counts_at_once_and_once() {
        let mut state = LogState::default();
        state.apply_own(&settles(5, 30));
        assert!(state.is_settled(1, 30));
        assert_eq!(state.totals(1), owed(-1));
        state.apply_own(&settles(5, 30));
        state.apply(0, &page(&[settles(4, 29), settles(5, 30)]));
        state.apply_own(&settles(5, 30));
        assert!(state.is_settled(1, 29) && state.is_settled(1, 30));
        assert_eq!((state.totals(1), state.last()), (owed(-2), 5));
    }

    #[test]
    fn an_attempt_of_an_earlier_row_does_not_replace_a_later_one_of_this_process() {
        let mut state = LogState::default();
        for (number, attempts) in [(5, 1), (6, 2)] {
            state.apply_own(&Flush {
                number,
                attempted: vec![(30, 1, attempt(attempts))],
                ..Flush::default()
            });
        }
        state.apply(
            0,
            &page(&[Flush {
                number: 5,
                attempted: vec![(30, 1, attempt(1))],
                ..Flush::default()
            }]),
        );
        assert_eq!(state.attempt(1, 30), Some(attempt(2)));
    }

    #[test]
    fn rows_that_were_truncated_unread_ask_for_the_whole_log() {
        let mut state = LogState::default();
        state.apply(0, &page(&[settles(3, 1)]));
        let mut rest = page(&[settles(9, 70)]);
        (rest.truncated, rest.base) = (8, vec![(1, owed(-6))]);
        assert!(state.apply(3, &rest).reload);
        assert_eq!((state.totals(1), state.last()), (owed(-1), 3));
        assert!(!state.apply(0, &rest).reload);
        assert_eq!((state.totals(1), state.last()), (owed(-7), 9));
        assert!(!state.is_settled(1, 1) && state.is_settled(1, 70));
    }

    // Entries are 1000 and more, so that no truncated number counts as one of them.
    /// What happens to a log with rows of two processes, as the follower of the first one sees it.
    #[derive(Clone, Debug)]
    enum Step {
        /// A row is committed, by the follower's own process or by another, and settles an entry.
        Commit { own: bool, told: bool, entry: u64 },
        /// The follower reads; another reading that began before it may end after it.
        Read { stale: bool },
        /// This many of the oldest rows are truncated.
        Truncate(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (any::<bool>(), any::<bool>(), 1000..1040_u64)
                .prop_map(|(own, told, entry)| Step::Commit { own, told, entry }),
            2 => any::<bool>().prop_map(|stale| Step::Read { stale }),
            1 => (1..6_usize).prop_map(Step::Truncate),
        ];
        proptest::collection::vec(step, 1..60)
    }

    #[derive(Default)]
    struct Server {
        rows: Vec<Flush>,
        truncated: u64,
        base: Totals,
    }

    impl Server {
        fn read(&self, after: u64) -> LogPage {
            let later = self.rows.iter().filter(|it| it.number > after);
            LogPage {
                truncated: self.truncated,
                base: vec![(1, self.base)],
                flushes: later.cloned().collect(),
            }
        }

        fn totals(&self) -> Totals {
            let mut totals = self.base;
            for row in &self.rows {
                totals.add(row.changes[0].1);
            }
            totals
        }
    }

    fn catch_up(state: &mut LogState, server: &Server) {
        let after = state.last();
        if state.apply(after, &server.read(after)).reload {
            assert!(!state.apply(0, &server.read(0)).reload);
        }
    }

    proptest! {
        #[test]
        fn a_follower_agrees_with_the_log_however_it_is_read(steps in steps()) {
            let mut state = LogState::default();
            let mut server = Server::default();
            let mut settled = Vec::new();
            let mut stale: Option<(u64, LogPage)> = None;
            for (number, step) in (1..).zip(steps) {
                match step {
                    Step::Commit { own, told, entry } => {
                        let row = settles(number, entry);
                        settled.push(entry);
                        server.rows.push(row.clone());
                        if own && told {
                            state.apply_own(&row);
                            prop_assert!(state.is_settled(1, entry));
                        }
                    }
                    Step::Read { stale: true } => {
                        let after = state.last();
                        stale.get_or_insert((after, server.read(after)));
                    }
                    Step::Read { stale: false } => {
                        catch_up(&mut state, &server);
                        prop_assert_eq!(state.totals(1), server.totals());
                        let truncated = state.truncated();
                        let mut live = server.rows.iter().map(|row| row.settled[0].0);
                        prop_assert!(live.all(|entry| entry <= truncated || state.is_settled(1, entry)));
                        if let Some((after, page)) = stale.take() {
                            state.apply(after, &page);
                            prop_assert_eq!(state.totals(1), server.totals());
                        }
                    }
                    Step::Truncate(count) => {
                        for row in server.rows.drain(..count.min(server.rows.len())) {
                            server.base.add(row.changes[0].1);
                            server.truncated = row.number;
                        }
                    }
                }
            }
            catch_up(&mut state, &server);
            prop_assert_eq!(state.totals(1), server.totals());
            for entry in 1000..1040 {
                prop_assert!(!state.is_settled(1, entry) || settled.contains(&entry));
            }
        }
    }
}
