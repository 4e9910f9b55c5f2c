//! JSON text: scanning it, reporting errors with their place, and writing it like Gson.

mod block;
mod cursor;
mod double;
pub(crate) mod error;
pub(crate) mod gson;
pub(crate) mod reader;
pub(crate) mod scan;
mod skip;
mod string;
pub(crate) mod write;
