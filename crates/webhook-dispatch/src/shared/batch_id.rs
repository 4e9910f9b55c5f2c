//! The ids of batches.

use std::fmt;

/// The id of a request of several events, as receivers see it in `webhook-id`: `bat_` and 32
/// hexadecimal digits. The same events in the same order have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId(pub(crate) [u8; 16]);

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bat_{:032x}", u128::from_be_bytes(self.0))
    }
}
