//! The two changes of dead letters.

/// Replays or drops dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Replay,
    Drop,
}

impl Change {
    pub(super) fn verb(self) -> &'static str {
        match self {
            Change::Replay => "replay",
            Change::Drop => "drop",
        }
    }

    pub(super) fn done(self) -> &'static str {
        match self {
            Change::Replay => "owed again",
            Change::Drop => "dropped",
        }
    }
}
