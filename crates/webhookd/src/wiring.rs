//! What the parts of a running program tell its main thread.

/// News for the main thread.
#[derive(Debug)]
pub(crate) enum News {
    /// A source has nothing more, or failed.
    SourceEnded(anyhow::Result<()>),
    /// SIGTERM or SIGINT has come.
    AskedToEnd,
}
