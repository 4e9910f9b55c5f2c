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

    /// The value without places. Of a repeated key, the last one counts; a number beyond every
    /// type is null.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Null => serde_json::Value::Null,
            Kind::Bool(boolean) => (*boolean).into(),
            Kind::Number(text) => serde_json::from_str(text).unwrap_or_default(),
            Kind::String(text) => text.as_str().into(),
            Kind::Array(items) => items.iter().map(Value::to_json).collect(),
            Kind::Object(members) => {
                let members = members.iter();
                members
                    .map(|it| (it.key.text.clone(), it.value.to_json()))
                    .collect()
            }
        }
    }

    /// The node at the end of these names and indices, or the last one on the way that exists.
    pub(crate) fn find<'a>(&self, place: impl IntoIterator<Item = &'a str>) -> &Value {
        let mut node = self;
        for step in place {
            let next = match &node.kind {
                Kind::Array(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
                Kind::Object(members) => {
                    let member = members.iter().rfind(|member| member.key.text == step);
                    member.map(|member| &member.value)
                }
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    pub(crate) fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }
}
