//! Text with values in braces.

use crate::error::InvalidSchema;
use crate::pointer_set::PointerSet;
use crate::template::values::Source;

/// Text with values in braces: `{/task/status}` or `{state}`. Braces themselves are doubled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Value(Source),
}

impl Text {
    pub(super) fn parse(text: &str, pointers: &mut PointerSet) -> Result<Text, InvalidSchema> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let inner = rest.split_once('}').filter(|_| brace == "{");
            let Some((inner, after)) = inner else {
                return Err(
                    InvalidSchema::new(format!("a `{brace}` without its counterpart"))
                        .help(format!("write `{brace}{brace}` for the character itself")),
                );
            };
            if inner.is_empty() {
                return Err(InvalidSchema::new("empty braces")
                    .help("such as `{/task/status}` or `{state}`; `{{}}` for the characters"));
            }
            rest = after;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Value(Source::parse(inner, pointers)?));
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Text(pieces))
    }
}
