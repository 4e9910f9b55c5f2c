//! The one function of webhookd's `console` that the included modules use.

/// An error in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    error.to_string()
}
