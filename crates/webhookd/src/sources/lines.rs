//! Lines of standard input or of a file.

use crate::signals::Signals;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

/// Bytes asked for in one reading.
const CHUNK: usize = 256 * 1024;

/// What is read, line by line.
pub(crate) struct Lines {
    name: String,
    file: File,
    length: Option<u64>,
    buffer: Vec<u8>,
    /// How much of `buffer` was read.
    filled: usize,
    /// What of `buffer` was given out already.
    start: usize,
    /// What of `buffer` is known to hold no line feed.
    searched: usize,
    number: u64,
    read: u64,
    ended: bool,
    max_line: usize,
    skipping: bool,
}

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Its number, from 1, and its bytes.
    Text(u64, &'a [u8]),
    /// This line is longer than the bound; it was skipped.
    TooLong(u64),
}

impl Lines {
    /// Opens `path`; `-` is standard input. Lines longer than `max_line` bytes are skipped.
    pub(crate) fn open(path: &Path, max_line: usize) -> Result<Lines> {
        if path == Path::new("-") {
            let stdin = io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .context("cannot read standard input")?;
            return Ok(Lines::new(
                "standard input".to_owned(),
                File::from(stdin),
                None,
                max_line,
            ));
        }
        let shown = path.display();
        let file =
            File::open(path).with_context(|| format!("cannot read the events in {shown}"))?;
        let metadata = file
            .metadata()
            .with_context(|| format!("cannot read the events in {shown}"))?;
        if metadata.is_dir() {
            bail!("cannot read the events in {shown}: it is a directory; name a file");
        }
        let length = metadata.is_file().then_some(metadata.len());
        Ok(Lines::new(shown.to_string(), file, length, max_line))
    }

    fn new(name: String, file: File, length: Option<u64>, max_line: usize) -> Lines {
        Lines {
            name,
            file,
            length,
            buffer: Vec::new(),
            filled: 0,
            start: 0,
            searched: 0,
            number: 0,
            read: 0,
            ended: false,
            max_line,
            skipping: false,
        }
    }

    /// What is read, for people: a path, or "standard input".
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes, of a regular file.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Bytes read so far.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// The next line that is not blank, without blanks around it; `None` at the end, and as soon
    /// as a signal has come.
    ///
    /// # Errors
    /// The input cannot be read any further.
    pub(crate) fn next_line(&mut self, signals: &Signals) -> io::Result<Option<Line<'_>>> {
        let found = loop {
            if signals.asked_to_end() {
                return Ok(None);
            }
            if let Some(found) = self.take_line() {
                if found.too_long || !self.buffer[found.bytes.clone()].trim_ascii().is_empty() {
                    break found;
                }
            } else if self.ended {
                return Ok(None);
            } else {
                self.fill(signals)?;
            }
        };
        Ok(Some(if found.too_long {
            Line::TooLong(found.number)
        } else {
            Line::Text(found.number, self.buffer[found.bytes].trim_ascii())
        }))
    }

    /// A line that is in the buffer, or the beginning of one that is too long.
    fn take_line(&mut self) -> Option<Found> {
        loop {
            let line_feed = memchr::memchr(b'\n', &self.buffer[self.searched..self.filled]);
            let end = match line_feed {
                Some(at) => self.searched + at,
                None => {
                    self.searched = self.filled;
                    let pending = self.searched - self.start;
                    if self.ended && (pending == 0 || self.skipping) {
                        self.start = self.searched;
                        return None;
                    }
                    if pending <= self.max_line && !self.ended {
                        return None;
                    }
                    self.searched
                }
            };
            let bytes = self.start..end;
            let ends_here = line_feed.is_some() || self.ended;
            let goes_on = std::mem::replace(&mut self.skipping, !ends_here);
            self.start = end + usize::from(line_feed.is_some());
            self.searched = self.start;
            if goes_on {
                // The rest of a line that was told to be too long.
                if !ends_here {
                    return None;
                }
                continue;
            }
            self.number += 1;
            return Some(Found {
                number: self.number,
                too_long: bytes.len() > self.max_line,
                bytes,
            });
        }
    }

    /// Reads some more, which may block until a signal comes.
    fn fill(&mut self, signals: &Signals) -> io::Result<()> {
        signals.wait_for(self.file.as_fd())?;
        if signals.asked_to_end() {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.searched -= self.start;
        self.start = 0;
        let room = self.filled..self.filled + CHUNK;
        if self.buffer.len() < room.end {
            self.buffer.resize(room.end, 0);
        }
        let read = match self.file.read(&mut self.buffer[room]) {
            Ok(read) => read,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => Ok(()),
                    _ => Err(error),
                };
            }
        };
        self.filled += read;
        self.read += read as u64;
        self.ended = read == 0;
        Ok(())
    }
}

struct Found {
    number: u64,
    bytes: std::ops::Range<usize>,
    too_long: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(text: &[u8], max_line: usize) -> Vec<(u64, Option<String>)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let mut input = Lines::new(String::new(), file, None, max_line);
        let signals = Signals::none();
        let mut lines = Vec::new();
        while let Some(line) = input.next_line(&signals).unwrap() {
            lines.push(match line {
                Line::Text(number, text) => {
                    (number, Some(String::from_utf8(text.to_vec()).unwrap()))
                }
                Line::TooLong(number) => (number, None),
            });
        }
        assert_eq!(input.read(), text.len() as u64);
        lines
    }

    fn check(text: &str, expected: &[(u64, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(number, text)| (*number, Some((*text).to_owned())))
            .collect();
        assert_eq!(lines(text.as_bytes(), 1_000), expected);
    }

    #[test]
    fn blank_lines_count_and_are_left_out() {
        check("", &[]);
        check("a", &[(1, "a")]);
        check("a\n", &[(1, "a")]);
        check("\n\na\r\n  \r\n\tb \n", &[(3, "a"), (5, "b")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_the_next_is_read() {
        for long in [11, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            for end in ["", "\n", "\nc"] {
                let text = format!(
                    "a\n{}\n0123456789\n{}{end}",
                    "x".repeat(long),
                    "y".repeat(long)
                );
                let mut expected = vec![
                    (1, Some("a".to_owned())),
                    (2, None),
                    (3, Some("0123456789".to_owned())),
                    (4, None),
                ];
                if end == "\nc" {
                    expected.push((5, Some("c".to_owned())));
                }
                assert_eq!(lines(text.as_bytes(), 10), expected, "{long} {end:?}");
            }
        }
    }

    #[test]
    fn a_line_is_read_across_chunks() {
        let long = "z".repeat(2 * CHUNK + 5);
        let text = format!("{long}\n{long}");
        let expected = [(1, Some(long.clone())), (2, Some(long))];
        assert_eq!(lines(text.as_bytes(), 1 << 20), expected);
    }
}
