//! Diagnostics: what is wrong with a file, and where.

mod code;
mod list;
mod load_error;
mod problem;
mod render;
mod source;

pub use code::Code;
pub use list::Diagnostics;
pub(crate) use list::Problems;
pub use load_error::LoadError;
pub use problem::{Diagnostic, Severity};
pub(crate) use source::Source;
