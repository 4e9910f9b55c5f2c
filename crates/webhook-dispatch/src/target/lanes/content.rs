//! What of an event a target's requests are made of, and its log of attempts.

use std::sync::Arc;

/// An event's body, and its fields. Clones share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) body: Arc<[u8]>,
    /// Encoded; `None` for an event that has none.
    pub(crate) attributes: Option<Arc<[u8]>>,
    /// State and job of an event of Aurora's, for the log of attempts; `None` if it has attributes, or
    /// was read from the queue.
    pub(crate) summary: Option<Arc<[u8]>>,
}

impl Content {
    /// Shares an event that was just stored.
    pub(crate) fn of(body: &Arc<[u8]>, attributes: &Arc<[u8]>) -> Content {
        Content {
            body: Arc::clone(body),
            attributes: (!attributes.is_empty()).then(|| Arc::clone(attributes)),
            summary: None,
        }
    }

    /// Copies an event that is borrowed from the queue.
    pub(crate) fn copied(body: &[u8], attributes: &[u8]) -> Content {
        Content {
            body: Arc::from(body),
            attributes: (!attributes.is_empty()).then(|| Arc::from(attributes)),
            summary: None,
        }
    }

    pub(crate) fn attributes(&self) -> &[u8] {
        self.attributes.as_deref().unwrap_or_default()
    }

    /// Its bytes in memory.
    pub(crate) fn len(&self) -> usize {
        let summary = self.summary.as_deref().unwrap_or_default();
        self.body.len() + self.attributes().len() + summary.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_kept_of_an_event_counts_into_its_bytes() {
        let bytes = |bytes: &[u8]| -> Arc<[u8]> { Arc::from(bytes) };
        let mut content = Content::of(&bytes(b"body"), &bytes(b"{}"));
        assert_eq!(content, Content::copied(b"body", b"{}"));
        assert_eq!(content.len(), 6);
        content.summary = Some(bytes(b"RUNNING"));
        assert_eq!(content.len(), 13);
        let without = Content::of(&bytes(b"body"), &bytes(b""));
        assert_eq!(without, Content::copied(b"body", b""));
        assert_eq!((without.attributes, without.body.len()), (None, 4));
    }
}
