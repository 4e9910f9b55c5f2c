//! The second name of a target: that of the deliveries to it that are kept.
//!
//! A queue stores a kept delivery as a dead letter of this name, so that it is counted, checked,
//! copied and dropped as every dead letter is.

use crate::TargetStatistics;

/// What follows a target's name. No configured target has a `/` in its name.
const SUFFIX: &str = "/delivered";

/// The name under which a queue has the deliveries to a target that are kept
/// ([`Settled::Kept`](crate::Settled::Kept)). [`dead_letters`](crate::Queue::dead_letters),
/// [`replay`](crate::Queue::replay) and [`drop_dead`](crate::Queue::drop_dead) take it instead of
/// the target's name.
///
/// ```
/// use webhook_queue::{kept_name, target_of_kept};
///
/// assert_eq!(target_of_kept(&kept_name("audit")), Some("audit"));
/// assert_eq!(target_of_kept("audit"), None);
/// ```
#[must_use]
pub fn kept_name(target: &str) -> String {
    [target, SUFFIX].concat()
}

/// The target whose kept deliveries have this name, if it is such a name.
#[must_use]
pub fn target_of_kept(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX)
}

/// Whether deliveries are kept in a queue with so many bytes in use, of those that appends may use. An
/// eighth stays free: what is owed goes before what is kept.
#[must_use]
pub fn has_room_to_keep(used: u64, room: u64) -> bool {
    used <= room - room / 8
}

/// Counts the kept deliveries of each target as its own: those of a second name go to the target's
/// row, which is added if it is missing.
pub fn merge_kept(targets: Vec<TargetStatistics>) -> Vec<TargetStatistics> {
    let is_kept = |it: &TargetStatistics| target_of_kept(&it.target).is_some();
    let (kept, mut merged): (Vec<_>, Vec<_>) = targets.into_iter().partition(is_kept);
    for row in kept {
        let Some(target) = target_of_kept(&row.target) else {
            continue;
        };
        let at = merged.binary_search_by(|it| it.target.as_str().cmp(target));
        let at = at.unwrap_or_else(|at| {
            let target = target.to_owned();
            let none = TargetStatistics {
                target,
                ..TargetStatistics::default()
            };
            merged.insert(at, none);
            at
        });
        (merged[at].kept, merged[at].kept_bytes) = (row.dead, row.dead_bytes);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_deliveries_are_counted_at_their_target() {
        let row = |target: &str, pending, dead| TargetStatistics {
            target: target.into(),
            pending,
            dead,
            dead_bytes: dead * 10,
            ..TargetStatistics::default()
        };
        let merged = merge_kept(vec![
            row("a", 1, 2),
            row("a-b", 3, 0),
            row("a/delivered", 0, 7),
            row("c/delivered", 0, 1),
            row("d", 0, 0),
        ]);
        let found: Vec<_> = merged
            .iter()
            .map(|it| (&*it.target, it.pending, it.dead, it.kept, it.kept_bytes))
            .collect();
        assert_eq!(
            found,
            [
                ("a", 1, 2, 7, 70),
                ("a-b", 3, 0, 0, 0),
                ("c", 0, 0, 1, 10),
                ("d", 0, 0, 0, 0)
            ]
        );
    }
}
