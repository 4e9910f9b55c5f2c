//! The parts of an event that its requests are made of.

/// An event, borrowed for one attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventParts<'a> {
    /// Its bytes.
    pub(crate) body: &'a [u8],
    /// Its own key, without its input's name.
    pub(crate) key: &'a [u8],
    /// Its encoded attributes; empty for one that has none, such as an event of Aurora's.
    pub(crate) attributes: &'a [u8],
}
