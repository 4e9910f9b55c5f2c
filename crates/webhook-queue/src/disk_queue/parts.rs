//! Makes a change of many entries in transactions that find room: each copies the pages that it
//! changes.

use crate::QueueError;

/// Makes a change of up to `limit` entries, or of half as many as long as that finds no room. `limit`
/// is then what fitted.
pub(super) fn make_fit<R>(
    limit: &mut usize,
    make: impl Fn(usize) -> Result<R, QueueError>,
) -> Result<R, QueueError> {
    loop {
        match make(*limit) {
            Err(QueueError::Full { .. }) if *limit > 1 => *limit /= 2,
            made => return made,
        }
    }
}

/// Makes a change of these entries, in parts if there is no room for all at once. Returns the sum of
/// what `make` returns. After a failure of a later part, it is the sum of those before.
pub(super) fn make_in_parts<T>(
    entries: &[T],
    make: impl Fn(&[T]) -> Result<u64, QueueError>,
) -> Result<u64, QueueError> {
    let (mut left, mut limit, mut sum) = (entries, entries.len(), 0);
    while !left.is_empty() {
        limit = limit.min(left.len());
        match make_fit(&mut limit, |limit| make(&left[..limit])) {
            Ok(changed) => (left, sum) = (&left[limit..], sum + changed),
            Err(error) if sum == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const FULL: QueueError = QueueError::Full { used: 1, max: 1 };

    /// The lengths of the parts that were tried if `room` entries fit and entry `bad` never does, and
    /// the result for ten entries. A part counts its odd entries.
    fn parts(room: usize, bad: u64) -> (Vec<usize>, Option<u64>) {
        let tried = RefCell::new(Vec::new());
        let entries: Vec<u64> = (0..10).collect();
        let made = make_in_parts(&entries, |part| {
            tried.borrow_mut().push(part.len());
            match part.len() > room || part.contains(&bad) {
                true => Err(FULL),
                false => Ok(part.iter().filter(|&entry| entry % 2 == 1).count() as u64),
            }
        });
        (tried.into_inner(), made.ok())
    }

    #[test]
    fn a_change_without_room_is_made_in_parts_of_half_as_many_entries() {
        assert_eq!(parts(10, 10), (vec![10], Some(5)));
        assert_eq!(parts(9, 10), (vec![10, 5, 5], Some(5)));
        assert_eq!(parts(4, 10), (vec![10, 5, 2, 2, 2, 2, 2], Some(5)));
        assert_eq!(parts(0, 10), (vec![10, 5, 2, 1], None));
        assert_eq!(make_in_parts(&[0; 0], |_| Err(FULL)).unwrap(), 0);
    }

    #[test]
    fn a_part_that_fails_ends_the_change_and_those_before_it_count() {
        assert_eq!(parts(10, 7), (vec![10, 5, 5, 2, 2, 1], Some(3)));
        assert_eq!(parts(10, 1).1, None, "the first entry counts nothing");
    }

    #[test]
    fn only_a_lack_of_room_makes_a_change_smaller() {
        let tried = RefCell::new(Vec::new());
        let mut limit = 8;
        let made: Result<(), _> = make_fit(&mut limit, |limit| {
            tried.borrow_mut().push(limit);
            Err(match limit {
                8 => FULL,
                _ => QueueError::Missing { path: "".into() },
            })
        });
        assert!(matches!(made, Err(QueueError::Missing { .. })));
        assert_eq!((tried.into_inner(), limit), (vec![8, 4], 4));
    }
}
