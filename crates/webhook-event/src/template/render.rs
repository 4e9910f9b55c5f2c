//! Renders templates.

use crate::template::node::{Chosen, Joined, Node};
use crate::template::secret::Secret;
use crate::template::text::{Piece, Text};
use crate::template::values::{Found, Values};
use webhook_model::ReadError;

/// Why a template cannot be rendered for an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The event is not JSON in UTF-8.
    #[error("the event is not JSON: {0}")]
    Malformed(#[from] ReadError),
    /// The body would be longer than the bound.
    #[error("the body is longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// A secret was not set.
    #[error("a secret of the template is not set")]
    NoSecret,
}

type Result = std::result::Result<(), RenderError>;

/// Makes the body of a template for an event.
pub(super) fn render(
    root: &Node,
    values: Values<'_>,
    secrets: &[Secret],
    masked: bool,
    max: usize,
) -> std::result::Result<Vec<u8>, RenderError> {
    let renderer = Renderer {
        values,
        secrets,
        masked,
    };
    let mut out = Bounded::new(max);
    renderer.json(root, false, &mut out)?;
    Ok(out.bytes)
}

/// A buffer of bounded length.
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
    /// Whether text beyond the bound is left out, since the text is truncated to less anyway.
    cuts: bool,
}

impl Bounded {
    fn new(max: usize) -> Bounded {
        Bounded {
            bytes: Vec::new(),
            max,
            cuts: false,
        }
    }

    /// A buffer for a part of what goes into this one.
    fn part(&self) -> Bounded {
        Bounded {
            bytes: Vec::new(),
            ..*self
        }
    }

    /// A buffer for a part that is truncated to this many characters. It holds one more of them, or one
    /// more than fits into this buffer; the longest character has four bytes.
    fn truncated(&self, most: usize) -> Bounded {
        let enough = most.saturating_add(1).saturating_mul(4);
        Bounded {
            bytes: Vec::new(),
            max: enough.min(self.max.saturating_add(4)),
            cuts: true,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result {
        let room = self.max - self.bytes.len();
        if bytes.len() <= room {
            self.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        if !self.cuts {
            return Err(RenderError::TooLong { max: self.max });
        }
        let kept = String::from_utf8_lossy(bytes);
        self.bytes
            .extend_from_slice(&kept.as_bytes()[..kept.floor_char_boundary(room)]);
        Ok(())
    }

    fn push_str(&mut self, text: &str) -> Result {
        self.push(text.as_bytes())
    }

    /// Adds a string as JSON.
    fn push_quoted(&mut self, text: &str) -> Result {
        let quoted = serde_json::to_vec(text).expect("a string is always JSON");
        self.push(&quoted)
    }

    /// The text, if only text was added.
    fn into_text(self) -> String {
        String::from_utf8(self.bytes).unwrap_or_default()
    }
}

struct Renderer<'a> {
    values: Values<'a>,
    secrets: &'a [Secret],
    masked: bool,
}

impl Renderer<'_> {
    /// Writes a node as JSON. `escape` says whether values in text have entities.
    fn json(&self, node: &Node, escape: bool, out: &mut Bounded) -> Result {
        match node {
            Node::Scalar(json) => out.push_str(json),
            Node::Text(_) | Node::Secret(_) => {
                let mut text = out.part();
                self.text(node, escape, &mut text)?;
                out.push_quoted(&text.into_text())
            }
            Node::Array(items) => {
                out.push(b"[")?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b",")?;
                    }
                    self.json(item, escape, out)?;
                }
                out.push(b"]")
            }
            Node::Object(members) => {
                out.push(b"{")?;
                for (index, (name, node)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b",")?;
                    }
                    out.push_quoted(name)?;
                    out.push(b":")?;
                    self.json(node, escape, out)?;
                }
                out.push(b"}")
            }
            Node::At(at) => {
                let found = self.values.get(at.source);
                match at.choice.choose(found.as_ref().map(Found::text)) {
                    Chosen::Node(node) => self.json(node, escape, out),
                    Chosen::Nothing => out.push(b"null"),
                    Chosen::Value => match found {
                        Some(Found::Fragment(fragment)) => out.push(fragment.bytes()),
                        Some(Found::Text(text)) => out.push_quoted(&text),
                        None => out.push(b"null"),
                    },
                }
            }
            Node::Joined(joined) => {
                let escape = escape || joined.escape;
                let text = self.joined(joined, escape, out)?;
                match joined.choose(&text) {
                    Chosen::Node(node) => self.json(node, escape, out),
                    Chosen::Nothing => out.push(b"\"\""),
                    Chosen::Value => out.push_quoted(&text),
                }
            }
        }
    }

    /// Writes a node as text.
    fn text(&self, node: &Node, escape: bool, out: &mut Bounded) -> Result {
        match node {
            Node::Text(Text(pieces)) => {
                for piece in pieces {
                    match piece {
                        Piece::Literal(text) => out.push_str(text)?,
                        Piece::Value(source) => {
                            if let Some(found) = self.values.get(*source) {
                                push_value(&found.text(), escape, out)?;
                            }
                        }
                    }
                }
                Ok(())
            }
            Node::Secret(index) => match self.secrets.get(*index) {
                _ if self.masked => out.push(b"***"),
                Some(Secret {
                    text: Some(text), ..
                }) => out.push_str(text),
                _ => Err(RenderError::NoSecret),
            },
            Node::At(at) => {
                let text = self.values.get(at.source).as_ref().map(Found::text);
                match at.choice.choose(text.clone()) {
                    Chosen::Node(node) => self.text(node, escape, out),
                    Chosen::Nothing => Ok(()),
                    Chosen::Value => push_value(&text.unwrap_or_default(), escape, out),
                }
            }
            Node::Joined(joined) => {
                let escape = escape || joined.escape;
                let text = self.joined(joined, escape, out)?;
                match joined.choose(&text) {
                    Chosen::Node(node) => self.text(node, escape, out),
                    Chosen::Nothing => Ok(()),
                    Chosen::Value => out.push_str(&text),
                }
            }
            Node::Scalar(_) | Node::Array(_) | Node::Object(_) => self.json(node, escape, out),
        }
    }

    fn joined(
        &self,
        joined: &Joined,
        escape: bool,
        whole: &Bounded,
    ) -> std::result::Result<String, RenderError> {
        let mut out = match joined.truncate {
            Some(most) => whole.truncated(most),
            None => whole.part(),
        };
        for part in &joined.parts {
            self.text(part, escape, &mut out)?;
        }
        let mut text = out.into_text();
        if let Some(most) = joined.truncate {
            truncate(&mut text, most, escape);
        }
        Ok(text)
    }
}

/// Adds a value to text.
fn push_value(value: &str, escape: bool, out: &mut Bounded) -> Result {
    if !escape {
        return out.push_str(value);
    }
    let mut rest = value;
    while let Some(at) = rest.find(['&', '<', '>']) {
        out.push_str(&rest[..at])?;
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            _ => "&gt;",
        })?;
        rest = &rest[at + 1..];
    }
    out.push_str(rest)
}

/// Cuts text that has more than `most` characters, and ends it with an ellipsis.
fn truncate(text: &mut String, most: usize, has_entities: bool) {
    if text.char_indices().nth(most).is_none() {
        return;
    }
    let kept = text.char_indices().nth(most - 1).map_or(0, |(at, _)| at);
    text.truncate(kept);
    // The beginning of an entity, and not a `&` of the template.
    if has_entities
        && let Some(at) = text.rfind('&')
        && ["&amp;", "&lt;", "&gt;"]
            .iter()
            .any(|it| it.starts_with(&text[at..]))
        && !text[at..].contains(';')
    {
        text.truncate(at);
    }
    text.push('\u{2026}');
}
