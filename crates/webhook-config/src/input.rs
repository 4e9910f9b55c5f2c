//! Inputs: the named ways in for events, and which of them a target takes.

use crate::name::{InvalidName, TargetName};
use std::fmt;
use webhook_event::Schema;

/// The name of an input besides the default one: like a [`TargetName`], and neither `default` nor
/// `notices`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputName(String);

/// The text is not the name of an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidInputName {
    /// It has no valid form.
    #[error(transparent)]
    Form(#[from] InvalidName),
    /// It is `default`.
    #[error("`default` is the input that `events` configures")]
    Default,
    /// It is `notices`.
    #[error("`notices` is the input of webhookd's own events")]
    Notices,
}

impl InputName {
    /// The name by which a list of inputs names the default one.
    pub const DEFAULT: &str = "default";
    /// The name of the input of webhookd's own events, which exists with the key `notices`.
    pub const NOTICES: &str = "notices";

    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// When it is no valid name for a target either, or is [`Self::DEFAULT`] or
    /// [`Self::NOTICES`].
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidInputName> {
        let name = TargetName::new(name)?;
        match name.as_str() {
            Self::DEFAULT => Err(InvalidInputName::Default),
            Self::NOTICES => Err(InvalidInputName::Notices),
            name => Ok(InputName(name.to_owned())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for InputName {
    type Err = InvalidInputName;

    fn from_str(name: &str) -> Result<Self, InvalidInputName> {
        InputName::new(name)
    }
}

/// The inputs of a configuration: the default one, the named ones, and that of notices.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inputs {
    pub(crate) default: Schema,
    /// With distinct names, in the order of the file.
    pub(crate) named: Vec<(InputName, Schema)>,
    /// The schema of webhookd's own events, with the key `notices`.
    pub(crate) notices: Option<Schema>,
}

impl Inputs {
    /// The default input, whose name is empty, the named ones, and that of notices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Schema)> {
        let named = self.named.iter();
        let notices = self.notices.iter();
        std::iter::once(("", &self.default))
            .chain(named.map(|(name, schema)| (name.as_str(), schema)))
            .chain(notices.map(|schema| (InputName::NOTICES, schema)))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Schema> {
        // Asked for each event.
        if name.is_empty() {
            return Some(&self.default);
        }
        self.iter()
            .find_map(|(known, schema)| (known == name).then_some(schema))
    }
}

/// The inputs whose events a target gets.
///
/// ```
/// use webhook_config::InputFilter;
///
/// let filter = InputFilter::only(["nomad"]);
/// assert!(filter.accepts("nomad"));
/// assert!(!filter.accepts("slurm"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputFilter {
    /// Every input but that of notices ([`InputName::NOTICES`]).
    #[default]
    All,
    /// The inputs of these names; the default one has the empty name. An empty list accepts none.
    Only(Vec<String>),
}

impl InputFilter {
    /// A filter that accepts the inputs of these names. `default` and the empty name stand for the
    /// default input; repetitions are removed.
    #[must_use]
    pub fn only(names: impl IntoIterator<Item: AsRef<str>>) -> Self {
        let mut only: Vec<String> = Vec::new();
        for name in names {
            let name = match name.as_ref() {
                InputName::DEFAULT => "",
                name => name,
            };
            if only.iter().all(|it| it != name) {
                only.push(name.to_owned());
            }
        }
        InputFilter::Only(only)
    }

    /// Whether the events of the input of this name are accepted; the default one has the empty
    /// name.
    #[must_use]
    pub fn accepts(&self, name: &str) -> bool {
        match self {
            InputFilter::All => name != InputName::NOTICES,
            InputFilter::Only(only) => only.iter().any(|it| it == name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_input_is_not_the_default_one() {
        assert_eq!(InputName::new("slurm").unwrap().as_str(), "slurm");
        assert_eq!(InputName::new("default"), Err(InvalidInputName::Default));
        assert_eq!(InputName::new("notices"), Err(InvalidInputName::Notices));
        assert!(matches!(
            InputName::new("a/b"),
            Err(InvalidInputName::Form(_))
        ));
    }

    #[test]
    fn the_default_input_is_listed_as_default_and_has_the_empty_name() {
        let filter = InputFilter::only(["nomad", "default", "nomad"]);
        assert_eq!(filter, InputFilter::only(["nomad", ""]));
        assert!(filter.accepts("nomad") && filter.accepts("") && !filter.accepts("slurm"));
        assert!(InputFilter::All.accepts("slurm"));
        assert!(!InputFilter::All.accepts("notices"));
        assert!(InputFilter::only(["notices"]).accepts("notices"));
        assert!(!InputFilter::Only(Vec::new()).accepts(""));
    }
}
