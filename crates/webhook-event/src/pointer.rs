//! JSON Pointers, RFC 6901.

use std::fmt;
use std::str::FromStr;

/// A JSON Pointer (RFC 6901): the place of a value within a document.
///
/// ```
/// use webhook_event::Pointer;
///
/// let pointer: Pointer = "/a~1b/0".parse()?;
/// assert_eq!(pointer.tokens(), ["a/b", "0"]);
/// assert_eq!(pointer.to_string(), "/a~1b/0");
/// # Ok::<(), webhook_event::InvalidPointer>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pointer(Vec<String>);

/// The text is not a JSON Pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPointer {
    /// It has no leading slash.
    #[error("a JSON Pointer is empty or starts with `/`")]
    NoSlash,
    /// A `~` that is not `~0` or `~1`.
    #[error("in a JSON Pointer, `~` is written `~0` and `/` within a name `~1`")]
    Escape,
    /// It has more tokens than [`Pointer::MAX_TOKENS`].
    #[error("a JSON Pointer has at most {} tokens", Pointer::MAX_TOKENS)]
    TooDeep,
}

impl Pointer {
    /// The most tokens of a pointer.
    pub const MAX_TOKENS: usize = 32;

    /// The names and indices on the way, unescaped. Empty for the whole document.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.0
    }

    /// The place of `inner` within the value at this place.
    pub(crate) fn join(&self, inner: &Pointer) -> Pointer {
        Pointer([self.tokens(), inner.tokens()].concat())
    }

    /// The first tokens.
    pub(crate) fn up_to(&self, count: usize) -> Pointer {
        Pointer(self.tokens().iter().take(count).cloned().collect())
    }
}

impl FromStr for Pointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Pointer, InvalidPointer> {
        if text.is_empty() {
            return Ok(Pointer::default());
        }
        let tokens = text.strip_prefix('/').ok_or(InvalidPointer::NoSlash)?;
        let tokens: Vec<_> = tokens.split('/').map(unescape).collect::<Result<_, _>>()?;
        if tokens.len() > Pointer::MAX_TOKENS {
            return Err(InvalidPointer::TooDeep);
        }
        Ok(Pointer(tokens))
    }
}

fn unescape(token: &str) -> Result<String, InvalidPointer> {
    let mut parts = token.split('~');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', &part[1..]),
            Some(b'1') => ('/', &part[1..]),
            _ => return Err(InvalidPointer::Escape),
        };
        plain.push(character);
        plain.push_str(rest);
    }
    Ok(plain)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.0 {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_and_written_as_the_rfc_says() {
        for text in ["", "/", "/a", "/a~1b", "/m~0n", "/ ", "/0/-1/c%d", "/~01"] {
            assert_eq!(text.parse::<Pointer>().unwrap().to_string(), text);
        }
        assert_eq!("/~01".parse::<Pointer>().unwrap().tokens(), ["~1"]);
        assert_eq!("a".parse::<Pointer>(), Err(InvalidPointer::NoSlash));
        assert_eq!("/a~2".parse::<Pointer>(), Err(InvalidPointer::Escape));
        assert_eq!("/a~".parse::<Pointer>(), Err(InvalidPointer::Escape));
        let deep = "/a".repeat(Pointer::MAX_TOKENS);
        assert_eq!(deep.parse::<Pointer>().unwrap().to_string(), deep);
        let deeper = deep + "/a";
        assert_eq!(deeper.parse::<Pointer>(), Err(InvalidPointer::TooDeep));
    }
}
