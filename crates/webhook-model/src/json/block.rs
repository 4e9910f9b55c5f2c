//! Tests many bytes at once with integer arithmetic.
//!
//! Most of a payload is one long string with many escaped quotes: the executor's configuration. A
//! branch for each escape would often be mispredicted. So long strings are tested in blocks without
//! a branch for each byte: a reader tests whether a whole block is valid, a writer gets a bit for
//! each byte to escape.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// A mask with a bit for each byte for which `wanted` holds.
#[inline]
fn mask(block: &[u8; 64], wanted: impl Fn(u8) -> bool) -> u64 {
    // The compiler turns this loop into a few comparisons of 16 bytes or more each.
    let flags = block.map(|byte| u8::from(wanted(byte)));
    let (words, _) = flags.as_chunks::<8>();
    words.iter().enumerate().fold(0, |mask, (index, word)| {
        // The multiplication gathers the flags in the highest byte, in order.
        let bits = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask | bits << (8 * index)
    })
}

/// A mask with a bit for each byte for which [`may_be_to_escape`] holds.
#[inline]
pub(crate) fn mask_to_escape(block: &[u8; 64]) -> u64 {
    // `&` and `'` differ only in the last bit, `<` to `?` only in the last two.
    mask(block, |byte| {
        (byte < 0x20)
            | (byte == b'"')
            | (byte == b'\\')
            | (byte & 0xFE == b'&')
            | (byte & 0xFC == b'<')
            | (byte == 0xE2)
    })
}

/// Whether this may be the first byte of a character that Gson escapes: a quote, a backslash, a
/// control character, `& ' < = >`, U+2028 or U+2029. It is also true for `?`, and for every
/// character that starts with the same byte as the last two.
#[inline]
pub(crate) fn may_be_to_escape(byte: u8) -> bool {
    TO_ESCAPE[usize::from(byte)]
}

/// Whether all bytes are from U+0020 to U+007F.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    // As signed numbers, all other bytes are smaller.
    text.iter()
        .fold(true, |plain, &byte| plain & (byte.cast_signed() >= 0x20))
}

/// Whether a byte of the block is a control character, below U+0020.
#[inline]
pub(crate) fn has_control<const N: usize>(block: &[u8; N]) -> bool {
    block.iter().fold(false, |any, &byte| any | (byte < 0x20))
}

/// Whether each backslash in the first 32 bytes is before a quote, and each quote in the last 32
/// bytes is after a backslash. Then no backslash is itself escaped.
#[inline]
pub(crate) fn escapes_only_quotes(window: &[u8; 33]) -> bool {
    let (Some(bytes), Some(following)) = (window.first_chunk::<32>(), window.last_chunk::<32>())
    else {
        return false;
    };
    let pairs = bytes.iter().zip(following);
    let odd = pairs.fold(false, |odd, (&byte, &next)| {
        odd | ((byte == b'\\') != (next == b'"'))
    });
    !odd
}

/// The index in `word`, from the lowest byte, of the first quote, backslash or control character.
/// `PLAIN` states that all eight bytes [are plain](is_plain).
#[inline(always)]
pub(crate) fn first_special<const PLAIN: bool>(word: [u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(word);
    let special = if PLAIN {
        // No byte of the sums carries into the next.
        let others = |byte: u8| (word ^ (ONES * u64::from(byte))) + ONES * 0x7F;
        !(others(b'"') & others(b'\\')) & TOPS
    } else {
        special_in(word)
    };
    (special != 0).then(|| special.trailing_zeros() as usize / 8)
}

/// The index in `word`, from the lowest byte, of the first byte that is not a digit.
#[inline(always)]
pub(crate) fn first_other_than_digit(word: [u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(word);
    // For a digit this leaves 0 to 9, and adding 0x76 does not reach the top bit.
    let low = (word ^ (ONES * u64::from(b'0'))) & !TOPS;
    let others = ((low + ONES * 0x76) | word) & TOPS;
    (others != 0).then(|| others.trailing_zeros() as usize / 8)
}

/// The top bits of the bytes that are quotes, backslashes or control characters.
///
/// Exact up to the lowest bit set. Higher bits may be wrong, since a borrow carries upwards.
#[inline]
fn special_in(word: u64) -> u64 {
    let quote = word ^ (ONES * u64::from(b'"'));
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & TOPS
}

const TO_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    let others = b"\"\\&'<=>?\xe2";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

/// Whether [`may_be_to_escape`] holds for a byte of the text.
#[inline]
pub(crate) fn any_to_escape(text: &[u8]) -> bool {
    let in_word = |word: u64| special_in(word) | suspects_in(word);
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        // The last word may overlap the one before it, so no byte is left over.
        let inner = text.get(8..).unwrap_or_default().as_chunks::<8>().0;
        let inner = inner
            .iter()
            .fold(0, |any, word| any | in_word(u64::from_le_bytes(*word)));
        let ends = in_word(u64::from_le_bytes(*first)) | in_word(u64::from_le_bytes(*last));
        return inner | ends != 0;
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return in_word(u64::from(first) << 32 | u64::from(last)) != 0;
    }
    text.iter().any(|&byte| may_be_to_escape(byte))
}

/// Whether the text may have a character that Gson escapes for HTML: `& ' < = >`, U+2028 or U+2029.
#[inline]
pub(crate) fn may_need_html_escape(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    words
        .iter()
        .any(|word| suspects_in(u64::from_le_bytes(*word)) != 0)
        || rest.iter().any(|&byte| suspects_in(u64::from(byte)) != 0)
}

/// The top bits of the bytes that are `&` or `'`, `<` to `?`, or 0xE2. Exact up to the lowest bit
/// set.
#[inline]
fn suspects_in(word: u64) -> u64 {
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    // `&` and `'` differ only in the lowest bit, `<` to `?` only in the lowest two.
    let ampersand = (word & (ONES * 0xFE)) ^ (ONES * u64::from(b'&'));
    let angles = (word & (ONES * 0xFC)) ^ (ONES * u64::from(b'<'));
    let separator = word ^ (ONES * 0xE2);
    (zeros(ampersand) | zeros(angles) | zeros(separator)) & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes among which the special ones, and those next to them, are frequent.
    fn bytes<const N: usize>() -> impl Strategy<Value = [u8; N]> {
        let frequent = b"\\\\\\\"!#[]&'%(<=>;?\x1f\x20\x00\x01\xa2\xdc\xe1\xe2\xe3\x7f\x80\xff";
        let byte = prop_oneof![proptest::sample::select(frequent.to_vec()), any::<u8>()];
        proptest::collection::vec(byte, N).prop_map(|bytes| bytes.try_into().unwrap())
    }

    fn naive_mask(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> u64 {
        let bits = bytes.iter().enumerate();
        bits.fold(0, |mask, (index, &byte)| {
            mask | u64::from(wanted(byte)) << index
        })
    }

    proptest! {
        #[test]
        fn a_window_has_no_quote_but_escaped_ones_and_no_backslash_but_theirs(
            window in proptest::collection::vec(
                proptest::sample::select(b"\\\"abcdefghijklmnopqrstuvwxyz\n".to_vec()), 33,
            ),
            pairs in proptest::collection::vec(0usize..32, 0..4),
        ) {
            let mut window: [u8; 33] = window.try_into().unwrap();
            for pair in pairs {
                window[pair..pair + 2].copy_from_slice(b"\\\"");
            }
            let alike = |at: usize| (window[at] == b'\\') == (window[at + 1] == b'"');
            prop_assert_eq!(escapes_only_quotes(&window), (0..32).all(alike));
            prop_assert_eq!(has_control(&window), window.contains(&b'\n'));
        }

        #[test]
        fn the_first_special_byte_is_found(word in bytes::<8>()) {
            let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
            prop_assert_eq!(first_special::<false>(word), word.iter().position(special));
            let plain = word.map(|byte| byte.clamp(0x20, 0x7F));
            prop_assert!(is_plain(&plain));
            prop_assert_eq!(is_plain(&word), plain == word);
            prop_assert_eq!(first_special::<true>(plain), plain.iter().position(special));
        }

        #[test]
        fn the_first_byte_that_is_no_digit_is_found(
            word in proptest::collection::vec(
                proptest::sample::select(b"0123456789/:\x00\x7f\x80\xb0\xb9\xff".to_vec()), 8,
            ),
        ) {
            let word: [u8; 8] = word.try_into().unwrap();
            let other = word.iter().position(|byte| !byte.is_ascii_digit());
            prop_assert_eq!(first_other_than_digit(word), other);
        }

        #[test]
        fn the_mask_has_what_may_be_to_escape(block in bytes::<64>()) {
            prop_assert_eq!(mask_to_escape(&block), naive_mask(&block, may_be_to_escape));
        }

        #[test]
        fn no_character_that_gson_escapes_is_overlooked(
            text in bytes::<40>(),
            start in 0usize..40,
            length in 0usize..40,
        ) {
            let text = &text[start..(start + length).min(40)];
            let suspect = |byte: &u8| b"&'<=>?\xe2".contains(byte);
            prop_assert_eq!(may_need_html_escape(text), text.iter().any(suspect));
            let any = text.iter().any(|&byte| may_be_to_escape(byte));
            prop_assert_eq!(any_to_escape(text), any);
        }
    }
}
