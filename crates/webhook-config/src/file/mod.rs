//! The file: opened, mirrored, converted.
//!
//! `mirror` holds the file's objects as types, and is the one place where keys, their types, their
//! defaults and their descriptions are written: the reader, the JSON Schema and the reference
//! table all come from it. `convert` makes
//! a [`FileContent`] of the mirror.

mod convert;
mod field;
mod loading;
mod mirror;
mod object;
mod opened;
mod read;
mod resolve;
mod shape;
mod statuses;
mod suggest;
mod url_check;

pub(crate) use convert::FileContent;
pub(crate) use field::{Field, Presence};
pub(crate) use loading::{load, parse};
pub(crate) use mirror::{ConfigFile, QueueFile, RetryFile, SigningFile, TargetFile, TlsFile};
pub(crate) use object::FileObject;
