//! Finds the dead letters of a target that match, in batches.

use super::Filter;
use std::ops::ControlFlow;
use webhook_queue::{DeadLetter, EntryId, QueueError};

/// Dead letters that are changed in one transaction.
const AT_ONCE: usize = 1_000;

/// Up to a thousand matching entries of those that `look` visits, and the last of them if there may
/// be more.
///
/// # Errors
/// The queue cannot be read.
pub(crate) fn matching(
    filter: &Filter,
    look: impl FnOnce(&mut dyn FnMut(DeadLetter<'_>) -> ControlFlow<()>) -> Result<(), QueueError>,
) -> Result<(Vec<EntryId>, Option<EntryId>), QueueError> {
    let mut entries = Vec::new();
    let mut last = None;
    look(&mut |letter| {
        if filter.matches(&letter) {
            entries.push(letter.owed.entry);
        }
        if entries.len() >= AT_ONCE {
            last = Some(letter.owed.entry);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok((entries, last))
}
