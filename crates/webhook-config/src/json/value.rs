//! The tree of a JSON text, each node with its place.

use std::ops::Range;

/// A place in the text, in bytes.
pub(crate) type Span = Range<usize>;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    /// Where the node is, its quotes or brackets included.
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    /// The number as written: what it means depends on who asks.
    Number(String),
    /// The text after escapes; a lone surrogate is U+FFFD.
    String(String),
    Array(Vec<Value>),
    /// The members in the file's order, with every repetition of a key.
    Object(Vec<Member>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) key: Key,
    pub(crate) value: Value,
}

/// The key of a member.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) span: Span,
    pub(crate) text: String,
}

impl Value {
    /// What this is, for a message: "a string".
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a string",
            Kind::Array(_) => "a list",
            Kind::Object(_) => "an object",
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }
}
