//! Reads pending events of a target that are not in memory from the queue.

use crate::shared::clock::Moment;
use crate::target::backlog::Backlog;
use crate::target::lanes::Offered;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use webhook_queue::{Queue, QueueError};

/// Entries read in one go; more would delay the senders' reports.
const READ_AT_ONCE: usize = 512;

/// Reads the lanes that are due, then on from the cursor. Returns whether anything was done.
///
/// # Errors
/// The queue cannot be read. Events read so far are kept.
pub(crate) fn read(
    backlog: &mut Backlog,
    target: &str,
    queue: &dyn Queue,
    behind: &AtomicBool,
    at: Moment,
) -> Result<bool, QueueError> {
    let back = read_back(backlog, target, queue, at)?;
    let on = read_on(backlog, target, queue, behind, at)?;
    Ok(back || on)
}

/// Reads the lanes that are due. Returns whether there were any.
fn read_back(
    backlog: &mut Backlog,
    target: &str,
    queue: &dyn Queue,
    at: Moment,
) -> Result<bool, QueueError> {
    let mut any = false;
    loop {
        let (keys, mut reads) = backlog.begin_reads();
        if keys.is_empty() {
            return Ok(any);
        }
        queue.owed_of_keys(target, &keys, &mut |index, owed| {
            backlog.read_entry(&mut reads, index, &owed, at)
        })?;
        any = true;
        backlog.finish_reads(&keys, reads, at.now);
    }
}

/// Reads on from the cursor if the backlog is behind and has room, and lets it follow once the
/// queue was read to its end. `behind` says that an event was not announced. Returns whether
/// anything was done.
fn read_on(
    backlog: &mut Backlog,
    target: &str,
    queue: &dyn Queue,
    behind: &AtomicBool,
    at: Moment,
) -> Result<bool, QueueError> {
    if !backlog.wants_more() {
        return Ok(false);
    }
    let mut read = 0_usize;
    let mut ended = true;
    queue.owed(target, backlog.cursor(), &mut |owed| {
        if backlog.offer(&owed, at) == Offered::Full {
            ended = false;
            return ControlFlow::Break(());
        }
        read += 1;
        ended = read < READ_AT_ONCE;
        if ended {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    if !ended {
        return Ok(read > 0);
    }
    // Events accepted after this swap are announced. Events accepted before it may not have been,
    // but a read that begins after it finds them. So a read is the last one only if no event was
    // missed during it.
    if !behind.swap(false, Ordering::SeqCst) {
        backlog.follow();
    }
    Ok(true)
}
