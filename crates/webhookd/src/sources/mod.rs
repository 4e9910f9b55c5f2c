//! Sources of events: standard input, files, HTTP and streams.
//!
//! Standard input and files are split into lines (`splitter.rs`), which a [`Feeder`] submits to the
//! dispatcher one after the other. A [`Report`] acknowledges, counts and logs their outcomes.

mod acks;
mod cloud_event;
mod completion;
mod documents;
mod feeder;
mod follow;
mod ingest;
mod inputs;
mod line_file;
mod outcomes;
mod rejects;
mod saved;
mod splitter;
mod stats;
mod stream;
mod tracker;

pub(crate) use acks::Acks;
pub(crate) use completion::Report;
pub(crate) use documents::{Document, NotUnderstood, check_cloud_event, has_cloud_events};
pub(crate) use feeder::Feeder;
pub(crate) use follow::Follower;
pub(crate) use ingest::{IngestOptions, Listening, Opened};
pub(crate) use inputs::{
    Inputs, is_open as is_open_input, shown as shown_input, unknown as unknown_input,
};
pub(crate) use line_file::LineFile;
pub(crate) use rejects::Rejects;
pub(crate) use stats::{InputCounts, InputStats, PerInput};
pub(crate) use stream::{Stream, StreamFigures, StreamStats};
