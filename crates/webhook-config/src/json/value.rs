//! The tree of a JSON text. Each node has its place.

use std::ops::Range;

/// A place in the text, in bytes.
pub(crate) type Span = Range<usize>;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    /// The place of the node, with its quotes or brackets.
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// The content of a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    /// The number as written: its type depends on the key.
    Number(String),
    /// The text with escapes resolved; a lone surrogate is U+FFFD.
    String(String),
    Array(Vec<Value>),
    /// The members in the order of the file, repeated keys included.
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
    /// The kind of value, for a message: "a string".
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
