//! The name of a target.

use std::fmt;

/// A target's name: 1 to 64 of `A-Z a-z 0-9 _ -`.
///
/// The queue and the metrics identify the target by it, so a renamed target is a new one.
///
/// ```
/// use webhook_config::TargetName;
///
/// assert_eq!(TargetName::new("audit")?.as_str(), "audit");
/// assert!(TargetName::new("no spaces").is_err());
/// # Ok::<(), webhook_config::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetName(String);

/// The text is not the name of a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name is 1 to {} of the characters A-Z a-z 0-9 _ -",
    TargetName::MAX_LENGTH
)]
pub struct InvalidName;

impl TargetName {
    /// The largest length of a name.
    pub const MAX_LENGTH: usize = 64;

    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// When it is empty, longer than [`Self::MAX_LENGTH`] or has another character.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > Self::MAX_LENGTH || !name.bytes().all(plain) {
            return Err(InvalidName);
        }
        Ok(TargetName(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TargetName {
    /// The name of a target without a `name`: `default`.
    fn default() -> Self {
        TargetName("default".to_owned())
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for TargetName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for TargetName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        TargetName::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for good in ["a", "default", "A-b_9", &"x".repeat(64)] {
            assert_eq!(TargetName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "ä", "a.b", &"x".repeat(65)] {
            assert_eq!(TargetName::new(bad), Err(InvalidName), "{bad}");
        }
    }
}
