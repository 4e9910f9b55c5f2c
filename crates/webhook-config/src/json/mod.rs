//! Reads JSON like Aurora's reader, Jackson 1.9, and keeps the place of every node.
//!
//! No library fits: Aurora accepted text after the closing brace, repeated keys and lone
//! surrogates, and the part of a file before a syntax error is to be checked too. This reader
//! follows the grammar of RFC 8259. Its tree keeps repeated keys, places, and the part before the
//! first error.

mod parser;
mod value;

pub(crate) use parser::{SyntaxError, parse};
pub(crate) use value::{Key, Kind, Member, Span, Value};
