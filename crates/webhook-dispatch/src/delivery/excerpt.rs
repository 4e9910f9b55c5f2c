//! Excerpts of a receiver's response, safe to show and bounded in size.

/// Bytes of a response that a dead letter keeps.
pub const RESPONSE_KEPT: usize = 1024;

/// A message made safe for a log, since it may quote a receiver or an event: control characters are escaped,
/// and text beyond a KiB is cut.
pub(crate) fn legible(detail: &str) -> String {
    let mut legible = String::with_capacity(detail.len().min(RESPONSE_KEPT));
    for character in detail.chars() {
        if legible.len() >= RESPONSE_KEPT {
            legible.push('…');
            break;
        }
        if character.is_control() {
            legible.extend(character.escape_debug());
        } else {
            legible.push(character);
        }
    }
    legible
}

/// The first KiB of a response, as text.
pub(crate) fn excerpt(response: &[u8]) -> String {
    String::from_utf8_lossy(&response[..response.len().min(RESPONSE_KEPT)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_kept_to_its_first_kib_whatever_it_holds() {
        assert_eq!(excerpt(b"no"), "no");
        assert_eq!(excerpt(&[b'a'; 5000]).len(), RESPONSE_KEPT);
        // The bound cuts a character in two, and the text begins with half of one.
        let cut = "ä".repeat(600);
        assert!(excerpt(&cut.as_bytes()[1..]).ends_with('\u{fffd}'));
    }

    #[test]
    fn a_quoted_response_is_cut_and_its_control_characters_are_escaped() {
        assert_eq!(
            legible("said: \u{1b}[2Jno\n\u{9b}1m, \"ä\""),
            "said: \\u{1b}[2Jno\\n\\u{9b}1m, \"ä\""
        );
        let long = legible(&"ä".repeat(100_000));
        assert_eq!(long.chars().count(), RESPONSE_KEPT / 2 + 1);
    }
}
