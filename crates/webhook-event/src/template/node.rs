//! The parts of a template.

use crate::template::text::Text;
use crate::template::values::Source;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A part of a template.
#[derive(Clone, PartialEq)]
pub(super) enum Node {
    /// A number, a boolean or null, as JSON.
    Scalar(String),
    Text(Text),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
    At(Box<At>),
    Joined(Box<Joined>),
    /// The secret of this index.
    Secret(usize),
}

/// A value as it stands: `{"$at": …}`.
#[derive(Clone, PartialEq)]
pub(super) struct At {
    pub(super) source: Source,
    pub(super) choice: Choice,
}

/// Text with settings: `{"$text": …}`.
#[derive(Clone, PartialEq)]
pub(super) struct Joined {
    pub(super) parts: Vec<Node>,
    /// The most characters.
    pub(super) truncate: Option<usize>,
    /// Whether `&`, `<` and `>` in values are written as entities.
    pub(super) escape: bool,
    pub(super) choice: Choice,
}

/// What replaces a value: `$map` and `$default`.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Choice {
    pub(super) map: Option<BTreeMap<String, Node>>,
    pub(super) default: Option<Node>,
}

/// What replaces a value.
pub(super) enum Chosen<'n> {
    /// Nothing does: the value itself.
    Value,
    Node(&'n Node),
    /// There is no value.
    Nothing,
}

impl Choice {
    /// Chooses by a value's text, `None` if it is absent.
    pub(super) fn choose(&self, text: Option<Cow<'_, str>>) -> Chosen<'_> {
        let node = match (&self.map, text) {
            (None, Some(_)) => return Chosen::Value,
            (Some(map), Some(text)) => map.get(&*text),
            (_, None) => None,
        };
        node.or(self.default.as_ref())
            .map_or(Chosen::Nothing, Chosen::Node)
    }
}

impl Joined {
    /// Empty text is absent, unless `$map` has it.
    pub(super) fn choose(&self, text: &str) -> Chosen<'_> {
        let is_given = self.choice.map.is_some() || !text.is_empty();
        self.choice.choose(is_given.then_some(text.into()))
    }
}
