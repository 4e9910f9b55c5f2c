//! Excerpts of a receiver's response, safe to show and bounded in size.

use std::borrow::Cow;
use webhook_config::SecretMask;

/// Bytes of a response that a dead letter and the log of attempts keep.
pub const RESPONSE_KEPT: usize = 1024;
/// Bytes of a response in which secrets are looked for: one that begins before the end of the
/// excerpt is found as a whole.
const RESPONSE_READ: usize = 16 * 1024;

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

/// The first KiB of a response, as text, with the target's secrets masked.
pub(crate) fn excerpt(mask: &SecretMask, response: &[u8]) -> String {
    let start = |most: usize| String::from_utf8_lossy(&response[..response.len().min(most)]);
    match mask.apply(&start(RESPONSE_READ)) {
        Cow::Borrowed(_) => start(RESPONSE_KEPT).into_owned(),
        Cow::Owned(mut masked) => {
            masked.truncate(masked.floor_char_boundary(RESPONSE_KEPT));
            masked
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use webhook_config::{Target, TargetUrl};

    fn excerpt(response: &[u8]) -> String {
        let target = Target::builder(TargetUrl::parse("http://localhost/").unwrap());
        let target = target.header("Authorization", "Bearer s3cr3t-of-mine");
        super::excerpt(&SecretMask::of(&target.build().unwrap()), response)
    }

    #[test]
    fn a_secret_that_a_receiver_quotes_is_masked_also_across_the_end_of_the_excerpt() {
        assert_eq!(excerpt(b"not s3cr3t-of-mine"), "not ***");
        let long = format!("{}s3cr3t-of-mine", "a".repeat(RESPONSE_KEPT - 3));
        assert!(excerpt(long.as_bytes()).ends_with("a***"));
    }

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
