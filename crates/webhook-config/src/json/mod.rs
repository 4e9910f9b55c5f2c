//! Reads JSON as Aurora's reader (Jackson 1.9) did, and keeps the place of every node.
//!
//! No library fits: Aurora took text after the closing brace, repeated keys and lone surrogates,
//! and a file with a mistake is to be analysed up to it. So the reader is our own: RFC 8259's
//! grammar, a tree that keeps repetitions and places, and the part read before the first error.

mod parser;
mod value;

pub(crate) use parser::{SyntaxError, parse};
pub(crate) use value::{Key, Kind, Member, Span, Value};
