//! What a target owes of a task, and which of its tasks are stuck.

use crate::shared::event_summary::EventSummary;
use crate::shared::{event_key, event_summary};
use crate::target::lanes::LaneReport;
use crate::worker::handle::{Command, Inspection, TargetHandle};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use webhook_queue::{EventId, Owed, Queue, QueueError};

/// How long a worker may take to report its tasks. It does not block, so it takes far less.
const REPORT_TIME: Duration = Duration::from_secs(2);
/// Events that are counted behind all stuck tasks of a page.
const COUNTED: usize = 1_000;
/// Events that are counted behind one of them.
const COUNTED_OF_ONE: usize = 100;

/// A task whose next event has failed, so that its other events wait.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StuckTask {
    /// The events' own key.
    pub key: Vec<u8>,
    /// When the event that failed was accepted, epoch milliseconds.
    pub accepted_at: u64,
    /// Attempts made at it.
    pub attempts: u32,
    /// When it is attempted again, epoch milliseconds; `None` while an attempt is under way or about
    /// to be.
    pub next_try_at: Option<u64>,
    /// Events behind it. At most 100 are counted of a task, and fewer if many tasks are shown.
    pub behind: usize,
    /// Whether there are more behind it than were counted.
    pub behind_more: bool,
}

/// Stuck tasks of a target, those first whose event was accepted first.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StuckTasks {
    /// The tasks.
    pub tasks: Vec<StuckTask>,
    /// Whether there are more.
    pub more: bool,
}

/// An event that is pending.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PendingEvent {
    /// Its id.
    pub id: EventId,
    /// Its new state, if it has one.
    pub state: Option<String>,
    /// When it was accepted, epoch milliseconds.
    pub accepted_at: u64,
    /// Attempts made.
    pub attempts: u32,
    /// The earliest time of the next attempt, epoch milliseconds; `None` if it never failed.
    pub not_before: Option<u64>,
}

/// What a target owes of a task.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OwedOfTask {
    /// The first events, in order.
    pub pending: Vec<PendingEvent>,
    /// Whether there are more.
    pub more: bool,
    /// Whether an attempt at the first one is under way.
    pub in_flight: bool,
    /// When the first one is attempted again, epoch milliseconds, if it waits.
    pub next_try_at: Option<u64>,
}

/// Up to `limit` stuck tasks of a target.
///
/// # Errors
/// The queue cannot be read.
pub(super) fn stuck(
    queue: Option<&dyn Queue>,
    handle: &TargetHandle,
    limit: usize,
) -> Result<StuckTasks, QueueError> {
    let mut reports = inspect(handle, Inspection::Stuck(limit.saturating_add(1)));
    let more = reports.len() > limit;
    reports.truncate(limit);
    let keys: Vec<_> = reports.iter().map(|it| Arc::clone(&it.key)).collect();
    let mut tasks: Vec<StuckTask> = reports.into_iter().map(StuckTask::of).collect();
    let most = (COUNTED / keys.len().max(1)).clamp(1, COUNTED_OF_ONE);
    let mut found = vec![0; keys.len()];
    if let Some(queue) = queue {
        queue.owed_of_keys(&handle.name, &keys, &mut |index, _| {
            found[index] += 1;
            match found[index] > most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
    }
    for (task, found) in tasks.iter_mut().zip(found) {
        task.behind = found.saturating_sub(1);
        task.behind_more = found > most;
    }
    Ok(StuckTasks { tasks, more })
}

/// What a target owes of the events under these keys of the queue, up to `most` events.
///
/// # Errors
/// The queue cannot be read.
pub(super) fn owed(
    queue: &dyn Queue,
    handle: &TargetHandle,
    keys: &[Arc<[u8]>],
    most: usize,
) -> Result<OwedOfTask, QueueError> {
    let mut owed = OwedOfTask::default();
    queue.owed_of_keys(&handle.name, keys, &mut |_, event| {
        if owed.pending.len() == most {
            owed.more = true;
            return ControlFlow::Break(());
        }
        owed.pending.push(PendingEvent::of(&event));
        ControlFlow::Continue(())
    })?;
    if owed.pending.is_empty() {
        return Ok(owed);
    }
    for report in inspect(handle, Inspection::Keys(keys.into())) {
        owed.in_flight |= report.in_flight;
        let earliest = owed.next_try_at.into_iter().chain(report.next_try_at);
        owed.next_try_at = earliest.min();
    }
    Ok(owed)
}

/// What the target's worker reports. Nothing if it has ended.
fn inspect(handle: &TargetHandle, inspection: Inspection) -> Vec<LaneReport> {
    let (reply, report) = crossbeam_channel::bounded(1);
    if !handle.command(Command::Inspect(inspection, reply)) {
        return Vec::new();
    }
    report.recv_timeout(REPORT_TIME).unwrap_or_default()
}

impl StuckTask {
    fn of(report: LaneReport) -> StuckTask {
        StuckTask {
            key: event_key(&report.key).to_vec(),
            accepted_at: report.accepted_at,
            attempts: report.attempts,
            next_try_at: report.next_try_at,
            behind: 0,
            behind_more: false,
        }
    }
}

impl PendingEvent {
    fn of(owed: &Owed<'_>) -> PendingEvent {
        let (state, _) = match owed.attributes {
            [] => event_summary::decode(EventSummary::of_body(owed.body).as_slice()),
            attributes => event_summary::decode(attributes),
        };
        PendingEvent {
            id: owed.id,
            state,
            accepted_at: owed.accepted_at,
            attempts: owed.attempts,
            not_before: Some(owed.not_before).filter(|at| *at > 0),
        }
    }
}
