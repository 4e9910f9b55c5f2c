//! The content of a queue as values to compare, and events for tests.

use std::ops::ControlFlow;
use std::sync::Arc;

use webhook_queue::{
    EntryId, Event, EventId, Owed, Queue, QueueError, Settled, Settlement, SlotGuard, kept_name,
};

/// An event whose id, time and body are derived from its number.
pub(crate) fn event<'a>(
    number: u64,
    key: &[u8],
    size: usize,
    targets: impl IntoIterator<Item = &'a str>,
) -> Event {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    Event {
        id: EventId(id),
        key: key.into(),
        body: (0..size)
            .map(|at| (at as u64).wrapping_mul(number | 1) as u8)
            .collect(),
        accepted_at: 1_000_000 + number,
        targets: targets.into_iter().map(Arc::from).collect(),
        attributes: Arc::default(),
        idempotency_key: None,
        last_state: None,
    }
}

/// What a read returns once it does not fail: a database on a machine under load may be late.
pub(crate) fn patiently<T>(mut read: impl FnMut() -> Result<T, QueueError>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        match read() {
            Err(error) if error.is_retryable() && std::time::Instant::now() < deadline => {}
            result => return result.unwrap(),
        }
    }
}

/// Commits events that are not duplicates; their handles.
pub(crate) fn stored(
    queue: &dyn Queue,
    appends: &[Event],
    settlements: &[Settlement],
) -> Result<Vec<EntryId>, QueueError> {
    let accepted = queue.commit(appends, settlements)?.accepted;
    let entries = accepted.iter().map(|accepted| accepted.entry());
    Ok(entries.map(|entry| entry.expect("no duplicate")).collect())
}

/// The number of an event that [`event`] made.
pub(crate) fn number(id: EventId) -> u64 {
    u64::from_le_bytes(id.0[..8].try_into().unwrap())
}

pub(crate) fn delivered(target: &str, entry: EntryId) -> Settlement {
    Settlement {
        target: target.into(),
        entry,
        outcome: Settled::Delivered,
        guard: SlotGuard::SOLE,
    }
}

/// An owed entry, without its handle: two queues give different ones.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OwedView {
    pub(crate) id: EventId,
    pub(crate) key: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) attributes: Vec<u8>,
    pub(crate) accepted_at: u64,
    pub(crate) attempts: u32,
    pub(crate) not_before: u64,
}

impl std::fmt::Debug for OwedView {
    /// In a line: of bytes, how many there are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let OwedView {
            key,
            body,
            attributes,
            ..
        } = self;
        write!(
            f,
            "event {} of key {key:?} ({} and {} bytes, accepted at {}, {} attempts, not before {})",
            number(self.id),
            body.len(),
            attributes.len(),
            self.accepted_at,
            self.attempts,
            self.not_before
        )
    }
}

/// A time, as the nearest multiple.
fn nearest(time: u64, unit: u64) -> u64 {
    match unit {
        1 => time,
        _ => (time + unit / 2) / unit * unit,
    }
}

impl OwedView {
    /// With times that are the nearest multiples of this many milliseconds.
    pub(crate) fn rounding_times(self, unit: u64) -> OwedView {
        OwedView {
            accepted_at: nearest(self.accepted_at, unit),
            not_before: nearest(self.not_before, unit),
            ..self
        }
    }
}

impl From<Owed<'_>> for OwedView {
    fn from(owed: Owed<'_>) -> OwedView {
        OwedView {
            id: owed.id,
            key: owed.key.to_vec(),
            body: owed.body.to_vec(),
            attributes: owed.attributes.to_vec(),
            accepted_at: owed.accepted_at,
            attempts: owed.attempts,
            not_before: owed.not_before,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadView {
    pub(crate) target: String,
    pub(crate) owed: OwedView,
    pub(crate) died_at: u64,
    pub(crate) note: Vec<u8>,
}

impl DeadView {
    /// With times that are the nearest multiples of this many milliseconds.
    pub(crate) fn rounding_times(self, unit: u64) -> DeadView {
        DeadView {
            owed: self.owed.rounding_times(unit),
            died_at: nearest(self.died_at, unit),
            ..self
        }
    }
}

/// All that a queue shows of what it holds, but for bytes and handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// Of each target what is pending, when the oldest was accepted, and what is dead and kept.
    pub(crate) targets: Vec<(String, u64, Option<u64>, [u64; 2])>,
    pub(crate) events: u64,
    pub(crate) corrupt: u64,
    pub(crate) last_states: u64,
    pub(crate) owed: Vec<Vec<OwedView>>,
    pub(crate) dead: Vec<DeadView>,
    pub(crate) kept: Vec<DeadView>,
}

impl View {
    /// With times that are the nearest multiples of this many milliseconds.
    pub(crate) fn rounding_times(mut self, unit: u64) -> View {
        for (_, _, oldest, _) in &mut self.targets {
            *oldest = oldest.map(|time| nearest(time, unit));
        }
        for owed in &mut self.owed {
            let rounded = owed.drain(..).map(|owed| owed.rounding_times(unit));
            *owed = rounded.collect();
        }
        for letters in [&mut self.dead, &mut self.kept] {
            let rounded = letters.drain(..).map(|letter| letter.rounding_times(unit));
            *letters = rounded.collect();
        }
        self
    }

    pub(crate) fn of(queue: &dyn Queue) -> View {
        let statistics = patiently(|| queue.statistics());
        let targets = statistics.targets;
        View {
            owed: targets
                .iter()
                .map(|of| owed(queue, &of.target, None))
                .collect(),
            dead: dead(queue, None, None),
            kept: targets
                .iter()
                .flat_map(|of| dead(queue, Some(&kept_name(&of.target)), None))
                .collect(),
            targets: targets
                .into_iter()
                .map(|of| {
                    let oldest = of.oldest_accepted_at;
                    (of.target, of.pending, oldest, [of.dead, of.kept])
                })
                .collect(),
            events: statistics.events,
            corrupt: statistics.corrupt,
            last_states: statistics.last_states,
        }
    }
}

pub(crate) fn owed(queue: &dyn Queue, target: &str, after: Option<EntryId>) -> Vec<OwedView> {
    patiently(|| {
        let mut found = Vec::new();
        queue.owed(target, after, &mut collect(&mut found))?;
        Ok(found)
    })
}

pub(crate) fn owed_of_key(
    queue: &dyn Queue,
    target: &str,
    key: &[u8],
    after: Option<EntryId>,
) -> Vec<OwedView> {
    patiently(|| {
        let mut found = Vec::new();
        let mut collect = collect(&mut found);
        let mut visit = |_, owed: Owed<'_>| match after.is_none_or(|after| owed.entry > after) {
            true => collect(owed),
            false => ControlFlow::Continue(()),
        };
        queue.owed_of_keys(target, &[key.into()], &mut visit)?;
        drop(collect);
        Ok(found)
    })
}

pub(crate) fn handles(queue: &dyn Queue, target: &str) -> Vec<EntryId> {
    patiently(|| {
        let mut found = Vec::new();
        let mut visit = |owed: Owed<'_>| {
            found.push(owed.entry);
            ControlFlow::Continue(())
        };
        queue.owed(target, None, &mut visit)?;
        Ok(found)
    })
}

pub(crate) fn dead(
    queue: &dyn Queue,
    target: Option<&str>,
    after: Option<EntryId>,
) -> Vec<DeadView> {
    let all = patiently(|| {
        let mut found = Vec::new();
        queue.dead_letters(target, after, &mut |letter| {
            found.push(DeadView::of(&letter));
            ControlFlow::Continue(())
        })?;
        Ok(found)
    });
    if target.is_none() && after.is_none() {
        check_keys(queue, &all);
    }
    all
}

/// Checks that each of these dead letters is found by its key, too, with the others of the key alone.
fn check_keys(queue: &dyn Queue, all: &[DeadView]) {
    for DeadView { owed, .. } in all {
        let mut found = patiently(|| {
            let mut found = Vec::new();
            let are_all = queue.dead_letters_of_key(&owed.key, usize::MAX, &mut |letter| {
                found.push(DeadView::of(&letter));
                ControlFlow::Continue(())
            })?;
            assert!(are_all);
            Ok(found)
        });
        found.sort_by(|one, other| one.target.cmp(&other.target));
        let expected = all.iter().filter(|it| it.owed.key == owed.key);
        assert!(found.iter().eq(expected), "{found:?}");
    }
}

impl DeadView {
    fn of(letter: &webhook_queue::DeadLetter<'_>) -> DeadView {
        DeadView {
            target: letter.target.into(),
            owed: letter.owed.into(),
            died_at: letter.died_at,
            note: letter.note.to_vec(),
        }
    }
}

fn collect(found: &mut Vec<OwedView>) -> impl FnMut(Owed<'_>) -> ControlFlow<()> {
    |owed| {
        found.push(owed.into());
        ControlFlow::Continue(())
    }
}
