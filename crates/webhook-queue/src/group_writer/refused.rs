//! What a writer did not take.

/// What was not taken, given back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused<V> {
    /// Too much is waiting; it may be tried again.
    #[error("too many events are waiting to be written; the event was not accepted")]
    Busy(V),
    /// The writer was shut down.
    #[error("the queue is being closed; the event was not accepted")]
    Closed(V),
}

impl<V> Refused<V> {
    /// What was not taken.
    pub fn into_inner(self) -> V {
        match self {
            Refused::Busy(value) | Refused::Closed(value) => value,
        }
    }
}

impl<V> std::fmt::Debug for Refused<V> {
    /// Without the value, which need not be printable.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Busy(_) => f.write_str("Busy(..)"),
            Refused::Closed(_) => f.write_str("Closed(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken_is_given_back_and_never_printed() {
        struct Secret(u8);

        let (busy, closed) = (Refused::Busy(Secret(1)), Refused::Closed(Secret(2)));
        assert_eq!(format!("{busy:?} {closed:?}"), "Busy(..) Closed(..)");
        assert_eq!((busy.into_inner().0, closed.into_inner().0), (1, 2));
    }
}
