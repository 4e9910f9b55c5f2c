//! A response without end, of newline-delimited JSON, with a cursor in each document.

use super::documents::Documents;
use super::reading::{Failure, Opened, Protocol, Reader};
use std::ops::ControlFlow;
use webhook_config::Stream;
use webhook_event::PointerSet;

/// Reads a stream.
pub(super) struct Lines {
    settings: Stream,
    /// The pointer to the cursor, if there is one.
    cursor: PointerSet,
}

impl Lines {
    pub(super) fn new(settings: Stream) -> Lines {
        let mut cursor = PointerSet::default();
        if let Some(pointer) = settings.cursor() {
            cursor.add(pointer);
        }
        Lines { settings, cursor }
    }

    /// The cursor of a document, if it has one.
    fn cursor_of(&self, document: &[u8]) -> Option<String> {
        let found = self.cursor.read(document).ok()?;
        let cursor = found.first().copied().flatten()?;
        Some(cursor.text()?.into_owned())
    }
}

impl Protocol for Lines {
    fn read(&mut self, reader: &mut Reader) -> Result<(), Failure> {
        let known = reader.documents.cursor();
        let at = known.as_deref().unwrap_or(self.settings.initial_cursor());
        let url = self.settings.url().at(at);
        let url = url.map_err(|error| Failure::new(error.to_string()))?;
        let answer = match reader.open(&url.as_uri().to_string())? {
            Opened::Answer(answer) => answer,
            Opened::Gone if known.is_some() => {
                let cursor = known.as_deref().unwrap_or_default();
                reader.documents.gap(&format!(
                    "the server no longer has what follows the cursor {cursor} (410); going on at \
                     initialCursor"
                ));
                reader.documents.restart_at(None);
                return Err(Failure::new("the cursor is too old (410)"));
            }
            Opened::Gone => return Err(Failure::new("the server responds 410")),
        };
        reader.connect(&url.to_string());
        // The cursor that the response begins with, unless something is missing.
        let mut expected = known.filter(|_| self.settings.repeats_cursor());
        reader.for_each_line(answer, |documents, text| {
            let cursor = self.cursor_of(text);
            if let (Some(first), Some(found)) = (&expected, &cursor)
                && !is_before(found, first)
            {
                if found != first {
                    report_jump(documents, first, found);
                }
                expected = None;
            }
            documents.submit(text, cursor);
            ControlFlow::Continue(())
        })
    }
}

fn report_jump(documents: &Documents, from: &str, to: &str) {
    documents.gap(&format!(
        "the stream goes on at {to}, and the server no longer has {from}"
    ));
}

/// Whether a number is smaller. A server that is behind, or has begun anew, sends older documents
/// first.
fn is_before(one: &str, other: &str) -> bool {
    match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one < other,
        _ => false,
    }
}
