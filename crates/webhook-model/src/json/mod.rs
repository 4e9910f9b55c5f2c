//! JSON text: scanning it, saying where it is wrong, and writing it as Gson does.

mod block;
mod cursor;
mod double;
pub(crate) mod error;
pub(crate) mod gson;
pub(crate) mod scan;
mod skip;
mod string;
pub(crate) mod write;
