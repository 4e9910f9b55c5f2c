//! Modules of webhookd's `sources`, and the targets that need what is private to them.

pub(crate) mod ingest;
pub(crate) mod stream;

#[path = "../../../../crates/webhookd/src/sources/cloud_event.rs"]
mod cloud_event;
#[path = "../../../../crates/webhookd/src/sources/documents.rs"]
mod documents;
#[expect(
    dead_code,
    reason = "a private module of webhookd, of which a part is used here"
)]
#[path = "../../../../crates/webhookd/src/sources/splitter.rs"]
mod splitter;
