//! The contract between a dispatcher and the queue that stores its events.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    Claim, CommitResult, DeadLetter, EntryId, Event, News, Owed, Quarantined, QueueError, Quotas,
    Settlement, SharedStatistics, SlotGuard, TargetHold, Verification,
};

/// What a queue holds for one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetStatistics {
    /// Its name.
    pub target: String,
    /// Entries owed.
    pub pending: u64,
    /// When the oldest of them was accepted, epoch milliseconds.
    pub oldest_accepted_at: Option<u64>,
    /// Bytes that they take. An event that several targets are owed counts for each.
    pub owed_bytes: u64,
    /// Dead letters.
    pub dead: u64,
    /// Bytes that they take, counted likewise.
    pub dead_bytes: u64,
    /// Deliveries that are kept, see [`Settled::Kept`](crate::Settled::Kept).
    pub kept: u64,
    /// Bytes that they take, counted likewise.
    pub kept_bytes: u64,
}

/// What a queue holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// One for each target that the queue knows.
    pub targets: Vec<TargetStatistics>,
    /// Events stored.
    pub events: u64,
    /// Bytes in use.
    pub bytes: u64,
    /// Bytes that it may use.
    pub max_bytes: u64,
    /// Bytes up to which it stores events. The rest is left for settling those that it holds.
    pub usable_bytes: u64,
    /// Entries quarantined because their record does not match its checksum. No target is owed
    /// them, and no other count includes them.
    pub corrupt: u64,
    /// Keys whose last state is known.
    pub last_states: u64,
    /// What a queue knows of the processes that share it.
    pub shared: Option<SharedStatistics>,
}

/// Stores events until each of their targets has settled them. Each method says what is guaranteed
/// when it returns.
///
/// A queue may be shared by several processes ([`is_shared`](Queue::is_shared)). Each of them may
/// append events for any key, and reads and delivers the entries of the slots that it has a
/// [`Claim`] to. An entry never appears before one that was read, except when
/// [`News::reread`] says so.
///
/// All times are of this process's clock. A shared queue keeps those of its storage, and converts
/// them.
///
/// ```
/// use std::ops::ControlFlow;
/// use webhook_queue::{Event, EventId, MemoryQueue, Queue, Settled, Settlement, SlotGuard};
///
/// let queue = MemoryQueue::new(1 << 20);
/// let event = Event::new(EventId([7; 16]), &b"hello-0"[..], &b"{}"[..], 1_464_992_060_258, ["audit"]);
/// queue.commit(&[event], &[])?;
///
/// let mut owed = Vec::new();
/// queue.owed("audit", None, &mut |it| {
///     owed.push((it.entry, it.body.to_vec()));
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(owed[0].1, b"{}");
///
/// let delivered = Settlement {
///     target: "audit".into(),
///     entry: owed[0].0,
///     outcome: Settled::Delivered,
///     guard: SlotGuard::SOLE, // the queue is not shared
/// };
/// queue.commit(&[], &[delivered])?;
/// assert_eq!(queue.statistics()?.targets[0].pending, 0);
/// # Ok::<(), webhook_queue::QueueError>(())
/// ```
pub trait Queue: Send + Sync + 'static {
    /// Stores `appends` and applies `settlements`, all or nothing. Returns the result of each of
    /// them, in order, once the change is durable: once it survives a crash and a power loss. A
    /// settlement whose claim has ended is not applied
    /// ([`Fenced`](crate::SettlementResult::Fenced)), and the rest of its group is.
    ///
    /// An event whose idempotency key is known is a duplicate: it is not stored, and takes no room.
    /// An idempotency key is known from its event on, also to later events of the same commit, for
    /// as long as the queue's [`DuplicateWindow`](crate::DuplicateWindow) says. It stays known over
    /// crashes and whatever the outcome of the event. A failed commit leaves none of its keys
    /// known.
    ///
    /// An event with a [`LastState`](crate::LastState) that is its key's last one is dropped
    /// ([`Unchanged`](crate::Accepted::Unchanged)). Otherwise its state becomes the last one, also
    /// if it has no targets, and that counts for later events of the same commit. A duplicate and
    /// an event that is over the quotas of all its targets change no state. The number of last
    /// states is bounded: those that were not changed for longest are forgotten.
    ///
    /// # Errors
    /// Nothing was stored or applied, with two exceptions, where the storage cannot tell:
    /// [`QueueError::Refusing`] (the appended events may be there when the queue is opened again),
    /// and [`QueueError::Unknown`] (they may be there now; an event that is committed again under
    /// the same id is stored once).
    fn commit(
        &self,
        appends: &[Event],
        settlements: &[Settlement],
    ) -> Result<CommitResult, QueueError>;

    /// Whether other processes may use the queue.
    fn is_shared(&self) -> bool {
        false
    }

    /// Permission to deliver an entry that was read under this claim. `None` once the claim has
    /// ended or is about to: another process may deliver the entry. Cheap enough to be called for
    /// each delivery.
    fn guard(&self, _claim: Claim) -> Option<SlotGuard> {
        Some(SlotGuard::SOLE)
    }

    /// Waits until something has happened to a shared queue since the last call, up to `timeout`.
    /// To be called by one thread.
    fn wait_for_news(&self, timeout: Duration) -> News {
        std::thread::sleep(timeout);
        News::default()
    }

    /// Sets what the targets may use from now on; nothing is bounded before. Entries that a target
    /// is owed already stay.
    ///
    /// An event is stored for those of its targets that are within their quotas
    /// ([`over_quota`](crate::Accepted::over_quota) names the others). If there is none, it is not
    /// stored: [`OverQuota`](crate::Accepted::OverQuota) if another target is within its quota, and
    /// [`QueueError::Full`] if none is, since the queue has no room then for any target.
    fn set_quotas(&self, quotas: Quotas);

    /// Removes some of the dead letters and of the kept deliveries over the bounds of the quotas,
    /// if there are any; `now` is epoch milliseconds. Returns how many were removed of each target,
    /// once that is durable, those of kept deliveries under their own [name](crate::kept_name).
    /// When it returns none, the bounds are kept.
    ///
    /// # Errors
    /// Nothing was removed.
    fn trim_dead_letters(&self, now: u64) -> Result<Vec<(Arc<str>, u64)>, QueueError>;

    /// Whether a duplicate repeats the event that had its idempotency key: whether `body` is that
    /// event's body. An event whose body is not known (its key is not, or an earlier version stored
    /// it) counts as repeated.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn is_repetition(&self, _idempotency_key: &[u8], _body: &[u8]) -> Result<bool, QueueError> {
        Ok(true)
    }

    /// The last state of a key, as of the last commit, if it is known.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn last_state(&self, _key: &[u8]) -> Result<Option<Arc<[u8]>>, QueueError> {
        Ok(None)
    }

    /// Visits the entries after `after` that `target` is owed, in order, until `visit` breaks; of a
    /// shared queue those of the slots that this process has a claim to. Slots claimed since the
    /// target was last read from the beginning (`after` is `None`) are left out until it is again.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn owed(
        &self,
        target: &str,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError>;

    /// Visits the entries of each of these keys that `target` is owed, in order. `visit` gets the
    /// index of the key; a break ends the visit of that key alone. As [`owed`](Queue::owed), keys
    /// without a claim have none.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn owed_of_keys(
        &self,
        target: &str,
        keys: &[Arc<[u8]>],
        visit: &mut dyn FnMut(usize, Owed<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError>;

    /// Visits the dead letters after `after`, of one target or of all, until `visit` breaks:
    /// ordered by the target's name, and for one target in the order accepted. The deliveries to a
    /// target that are kept are visited by their [name](crate::kept_name) alone, as if they were
    /// letters of the target.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn dead_letters(
        &self,
        target: Option<&str>,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError>;

    /// Visits the dead letters of a key, of all targets, until `visit` breaks. Looks at up to `most`
    /// entries of the queue, and returns whether there are no others that might be of the key.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn dead_letters_of_key(
        &self,
        key: &[u8],
        most: usize,
        visit: &mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>,
    ) -> Result<bool, QueueError> {
        let (mut seen, mut are_all) = (0, true);
        self.dead_letters(None, None, &mut |letter| {
            if seen == most {
                are_all = false;
                return ControlFlow::Break(());
            }
            seen += 1;
            match letter.owed.key == key {
                true => visit(letter),
                false => ControlFlow::Continue(()),
            }
        })?;
        Ok(are_all)
    }

    /// Makes dead letters owed again, under their old ids and handles, as if never attempted,
    /// even if the target is over its quota; kept deliveries, if `target` is their
    /// [name](crate::kept_name). Returns how many were found, once the change is durable. A queue
    /// with little room may work in steps, each durable; if a later step fails, it returns the count
    /// of those before, and the call can be repeated.
    ///
    /// # Errors
    /// Nothing was changed.
    fn replay(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError>;

    /// Removes dead letters, or kept deliveries by their name. Returns how many were found, once the
    /// change is durable. It may work in steps, as [`replay`](Queue::replay).
    ///
    /// # Errors
    /// Nothing was changed.
    fn drop_dead(&self, target: &str, entries: &[EntryId]) -> Result<u64, QueueError>;

    /// Removes a target, the entries that it is owed, its dead letters and what is kept of its
    /// deliveries. Returns how many entries were removed. It may work in steps, each durable; events
    /// appended for the target meanwhile may stay.
    ///
    /// # Errors
    /// Some entries may have been removed, the others are unchanged. The call can be repeated.
    fn drop_target(&self, target: &str) -> Result<u64, QueueError>;

    /// The last hold of a target that was committed and not ended, also if its time has passed.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn hold(&self, _target: &str) -> Result<Option<TargetHold>, QueueError> {
        Ok(None)
    }

    /// How its records are checked, if that is its own concern, not its storage's.
    fn verifier(&self) -> Option<&dyn Verify> {
        None
    }

    /// Whether events can be stored, as far as that is known without storing one. Cheap enough to be
    /// called every second.
    ///
    /// # Errors
    /// The error that [`commit`](Queue::commit) would return for an event. If it is not
    /// [retryable](QueueError::is_retryable), the queue refuses events until it is opened again.
    fn check(&self) -> Result<(), QueueError> {
        Ok(())
    }

    /// Makes sure that the next opening finds everything that the queue holds, also if its files
    /// were deleted while it was open. Ends all claims to a shared queue, so that other processes
    /// go on at once. To be called when nothing more will be changed.
    ///
    /// # Errors
    /// What the queue holds is lost when the process ends. The call can be repeated.
    fn close(&self) -> Result<(), QueueError> {
        Ok(())
    }

    /// The counts of each target and of the whole queue. A shared queue keeps them in memory: it is
    /// called after each commit.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn statistics(&self) -> Result<Statistics, QueueError>;
}

/// Checks the records of a queue, and shows those that are damaged.
pub trait Verify {
    /// Visits the quarantined entries after `after`, in the order accepted, until `visit` breaks.
    /// Their records are damaged, and no target is owed them.
    ///
    /// # Errors
    /// When the storage cannot be read.
    fn quarantined(
        &self,
        after: Option<EntryId>,
        visit: &mut dyn FnMut(Quarantined<'_>) -> ControlFlow<()>,
    ) -> Result<(), QueueError>;

    /// Checks every record that was stored when it was called. It changes nothing, and blocks
    /// neither commits nor readers. It takes as long as reading the storage once.
    ///
    /// # Errors
    /// When the storage cannot be read to its end. A damaged record is not an error: the result
    /// lists it.
    fn verify(&self) -> Result<Verification, QueueError>;
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{EventId, MemoryQueue, Settled};

    #[test]
    fn a_queue_of_one_process_gives_a_guard_for_each_entry_and_has_no_news() {
        let queue = MemoryQueue::new(1 << 20);
        assert!(!queue.is_shared());
        let guard = queue.guard(Claim::SOLE).unwrap();
        assert_eq!(guard.claim(), Claim::SOLE);
        let until = Instant::now() + Duration::from_millis(5);
        assert!(queue.wait_for_news(Duration::from_millis(5)).is_none());
        assert!(Instant::now() >= until);
    }

    #[test]
    fn the_dead_letters_of_a_key_are_looked_for_among_so_many_as_is_said() {
        let queue = MemoryQueue::new(1 << 20);
        for number in 1..=3_u8 {
            let key = [number % 2];
            let event = Event::new(EventId([number; 16]), &key[..], &b"{}"[..], 0, ["t"]);
            let entry = queue.commit(&[event], &[]).unwrap().accepted[0].entry();
            let dead = Settlement {
                target: "t".into(),
                entry: entry.unwrap(),
                outcome: Settled::Dead {
                    attempts: 1,
                    died_at: 0,
                    note: Vec::new(),
                },
                guard: SlotGuard::SOLE,
            };
            queue.commit(&[], &[dead]).unwrap();
        }
        let find = |most| {
            let mut found = Vec::new();
            let mut visit = |letter: DeadLetter<'_>| {
                found.push(letter.owed.entry.0);
                ControlFlow::Continue(())
            };
            let are_all = queue.dead_letters_of_key(&[1], most, &mut visit);
            (found, are_all.unwrap())
        };
        assert_eq!(find(0), (vec![], false));
        assert_eq!(find(2), (vec![1], false));
        assert_eq!(find(3), (vec![1, 3], true));
    }
}
