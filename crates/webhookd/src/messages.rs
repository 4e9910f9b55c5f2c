//! Messages to the main thread.

/// What the main thread waits for.
#[derive(Debug)]
pub(crate) enum Message {
    /// A source reached its end, or failed.
    SourceEnded(anyhow::Result<()>),
    /// SIGTERM or SIGINT arrived.
    EndRequested,
}
