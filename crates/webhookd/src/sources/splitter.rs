//! Splits a text that comes in pieces into lines.

/// Finds the lines of a text that comes in pieces. It keeps at most one line in memory.
#[derive(Debug)]
pub(super) struct Splitter {
    /// The beginning of the line that the last piece ended in.
    partial: Vec<u8>,
    number: u64,
    longest: usize,
    /// Whether `partial` was returned as a line.
    returned: bool,
    /// Whether the rest of a line that is too long is skipped.
    skipping: bool,
}

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Its number, from 1, and its bytes, without white space around them.
    Text(u64, &'a [u8]),
    /// The number of a line that is longer than the bound, and its beginning.
    TooLong(u64, &'a [u8]),
}

impl Splitter {
    /// Lines of at most `longest` bytes.
    pub(super) fn new(longest: usize) -> Splitter {
        Splitter::after(0, longest)
    }

    /// The same, for a text that begins after `number` lines.
    pub(super) fn after(number: u64, longest: usize) -> Splitter {
        Splitter {
            partial: Vec::new(),
            number,
            longest,
            returned: false,
            skipping: false,
        }
    }

    /// The number of the next line.
    pub(super) fn number(&self) -> u64 {
        self.number + 1
    }

    /// Bytes of an unfinished line that are kept.
    pub(super) fn kept(&self) -> usize {
        if self.returned { 0 } else { self.partial.len() }
    }

    /// Takes the next line that ends in `piece` from it; `None` once the rest of `piece` is kept
    /// for the next piece. Blank lines are counted and left out.
    pub(super) fn next<'a, 'p: 'a>(&'a mut self, piece: &mut &'p [u8]) -> Option<Line<'a>> {
        if std::mem::take(&mut self.returned) {
            self.partial = Vec::new();
        }
        while let Some(at) = memchr::memchr(b'\n', piece) {
            let (end, rest) = (&piece[..at], &piece[at + 1..]);
            *piece = rest;
            self.number += 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.partial.len() + end.len() > self.longest {
                return Some(self.too_long(self.number, end));
            }
            if self.partial.is_empty() {
                let text = end.trim_ascii();
                if !text.is_empty() {
                    return Some(Line::Text(self.number, text));
                }
                continue;
            }
            self.partial.extend_from_slice(end);
            if self.partial.trim_ascii().is_empty() {
                self.partial.clear();
                continue;
            }
            self.returned = true;
            return Some(Line::Text(self.number, self.partial.trim_ascii()));
        }
        let rest = std::mem::take(piece);
        if self.skipping {
            return None;
        }
        if self.partial.len() + rest.len() > self.longest {
            self.skipping = true;
            return Some(self.too_long(self.number + 1, rest));
        }
        self.partial.extend_from_slice(rest);
        None
    }

    /// A line that is too long, and goes on with `more`.
    fn too_long(&mut self, number: u64, more: &[u8]) -> Line<'_> {
        let room = self.longest - self.partial.len();
        self.partial
            .extend_from_slice(&more[..more.len().min(room)]);
        self.returned = true;
        Line::TooLong(number, &self.partial)
    }

    /// The last line of the text, if it has no line feed.
    pub(super) fn last(&mut self) -> Option<Line<'_>> {
        let text = self.partial.trim_ascii();
        if self.returned || text.is_empty() {
            return None;
        }
        self.returned = true;
        self.number += 1;
        Some(Line::Text(self.number, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a text that comes in pieces of this size.
    fn lines(text: &[u8], longest: usize, piece: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut splitter = Splitter::new(longest);
        let mut lines = Vec::new();
        let own = |line: Line<'_>| match line {
            Line::Text(number, text) => (number, Some(text.to_vec())),
            Line::TooLong(number, beginning) => {
                assert_eq!(beginning.len(), longest);
                (number, None)
            }
        };
        for mut piece in text.chunks(piece) {
            while let Some(line) = splitter.next(&mut piece) {
                lines.push(own(line));
            }
            assert!(splitter.partial.len() <= longest);
        }
        lines.extend(splitter.last().map(own));
        lines
    }

    #[test]
    fn the_lines_do_not_depend_on_the_pieces() {
        let text = b"\n  a \r\n\r\nbb\n0123456789\n01234567890\n \n\xff\nc";
        let expected = vec![
            (2, Some(b"a".to_vec())),
            (4, Some(b"bb".to_vec())),
            (5, Some(b"0123456789".to_vec())),
            (6, None),
            (8, Some(b"\xff".to_vec())),
            (9, Some(b"c".to_vec())),
        ];
        for piece in 1..=text.len() {
            assert_eq!(lines(text, 10, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_line_without_end_is_told_once() {
        let text = vec![b'x'; 1000];
        for piece in [1, 7, 1000] {
            assert_eq!(lines(&text, 10, piece), [(1, None)]);
        }
    }
}
