//! The ids of events.

use std::fmt;
use std::str::FromStr;

/// The id of an event, chosen by the caller. It stays the same over retries, restarts and replays.
///
/// Its text is `evt_` and 32 hexadecimal digits.
///
/// ```
/// use webhook_queue::EventId;
///
/// let id = EventId([10; 16]);
/// assert_eq!(id.to_string(), "evt_0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a");
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub [u8; 16]);

/// A text that is not one of an [`EventId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an event's id, which is evt_ and 32 hexadecimal digits")]
pub struct InvalidEventId(String);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<EventId, InvalidEventId> {
        let digits = text.strip_prefix("evt_").filter(|digits| {
            digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        });
        let id = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
        id.map(|id| EventId(id.to_be_bytes()))
            .ok_or_else(|| InvalidEventId(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_another_form_is_no_id() {
        let id = EventId([10; 16]).to_string();
        assert_eq!(id.replace('a', "A").parse(), Ok(EventId([10; 16])));
        for other in [
            "",
            "evt_",
            &id[..35],
            &format!("{id}0"),
            &id.replace("evt_", "bat_"),
            "evt_+0000000000000000000000000000000",
        ] {
            let error = other.parse::<EventId>().unwrap_err();
            assert!(error.to_string().contains(&format!("{other:?}")), "{error}");
        }
    }
}
