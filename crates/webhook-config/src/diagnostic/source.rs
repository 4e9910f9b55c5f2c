//! The text of a file, and which parts may be shown.

use crate::json::Span;
use std::fmt;

/// A file's text. `Debug` does not show it.
pub(crate) struct Source {
    name: String,
    text: String,
    /// The parts that are masked in all output, in order and not adjacent.
    hidden: Vec<Span>,
}

impl Source {
    pub(crate) fn new(name: &str, text: String, hidden: Vec<Span>) -> Self {
        Source {
            name: name.to_owned(),
            text,
            hidden: merge(hidden),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn hidden(&self) -> &[Span] {
        &self.hidden
    }

    /// Finds the lines and columns of increasing offsets in one pass.
    pub(crate) fn places(&self) -> Places<'_> {
        Places {
            text: &self.text,
            at: 0,
            line: 1,
            column: 1,
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| !span.is_empty());
    spans.sort_by_key(|span| span.start);
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// See [`Source::places`].
pub(crate) struct Places<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    column: usize,
}

impl Places<'_> {
    /// Line and column, both from 1, the column in characters.
    pub(crate) fn of(&mut self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len()).max(self.at);
        for c in self.text[self.at..offset].chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.at = offset;
        (self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let source = Source::new("f", "a\n\u{e9}\u{2603}b".to_owned(), Vec::new());
        let mut places = source.places();
        assert_eq!(places.of(0), (1, 1));
        assert_eq!(places.of(2), (2, 1));
        assert_eq!(places.of(7), (2, 3));
        assert_eq!(places.of(7), (2, 3));
        assert_eq!(places.of(100), (2, 4));
    }

    #[test]
    fn overlapping_parts_are_one() {
        assert_eq!(merge(vec![5..7, 0..2, 1..3, 3..4, 9..9]), [0..4, 5..7]);
    }
}
