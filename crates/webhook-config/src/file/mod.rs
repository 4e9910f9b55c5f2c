//! Reads the file in three steps: open, mirror, convert.
//!
//! `mirror` declares the file's objects as types. It is the only place that states the keys, their
//! types, defaults and descriptions: the reader, the JSON Schema and the reference table are
//! derived from it. `convert` makes a [`FileContent`] of the mirror.

mod convert;
mod field;
mod input;
mod loading;
mod mirror;
mod object;
mod opened;
mod read;
mod resolve;
mod root;
mod sources;

mod statuses;
mod suggest;
mod url_check;
mod value_schema;

pub(crate) use convert::FileContent;
pub(crate) use field::{Field, Presence};
pub(crate) use input::InputFile;
pub use loading::ConfigText;
pub(crate) use loading::parse;
pub(crate) use mirror::{
    BatchFile, BreakerFile, DeadLettersFile, NoticesFile, OAuth2File, PostgresFile, QueueFile,
    RetainFile, RetryFile, SigningFile, TargetFile, TlsFile,
};
pub(crate) use object::FileObject;
pub use opened::{OpenError, read_file};
pub(crate) use root::ConfigFile;
pub(crate) use sources::{KubernetesFile, ReconnectFile, SourceFile, StreamFile};
pub(crate) use value_schema::aurora_statuses;
