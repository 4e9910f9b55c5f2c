//! Standard input, or a file that is read to its end.

use super::feeder::Feeder;
use super::splitter::{Line, Splitter};
use crate::messages::Message;
use crate::signals::Signals;
use anyhow::{Context, Result, bail};
use crossbeam_channel::Sender;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

/// Bytes asked for in one read.
const CHUNK: usize = 256 * 1024;

/// An open file of lines.
pub(crate) struct LineFile {
    name: String,
    file: File,
    length: Option<u64>,
    max_line: usize,
}

impl LineFile {
    /// Opens `path`; `-` is standard input. Lines longer than `max_line` bytes are skipped.
    ///
    /// # Errors
    /// It cannot be opened, or is a directory.
    pub(crate) fn open(path: &Path, max_line: usize) -> Result<LineFile> {
        if path == Path::new("-") {
            let stdin = io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .context("cannot read standard input")?;
            return Ok(LineFile {
                name: "standard input".to_owned(),
                file: File::from(stdin),
                length: None,
                max_line,
            });
        }
        let failed = || format!("cannot read the events in {}", path.display());
        let file = File::open(path).with_context(failed)?;
        let metadata = file.metadata().with_context(failed)?;
        if metadata.is_dir() {
            bail!("{}: it is a directory; name a file", failed());
        }
        Ok(LineFile {
            name: path.display().to_string(),
            file,
            length: metadata.is_file().then_some(metadata.len()),
            max_line,
        })
    }

    /// What is read, for people: a path, or "standard input".
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The length of a regular file, in bytes.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Feeds all lines to the dispatcher, on a thread of its own, which sends a message at the end.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn start(self, feeder: Feeder, messages: Sender<Message>) -> Result<()> {
        std::thread::Builder::new()
            .name("source-lines".to_owned())
            .spawn(move || {
                let failed = format!("cannot read on in {}", self.name);
                let count = |bytes| feeder.report().stats().read_bytes(bytes);
                let read = self.for_each(feeder.signals(), count, |line| {
                    !feeder.must_end() && feeder.submit(line, None, feeder.report())
                });
                // While the program ends, the message is not received.
                drop(messages.send(Message::SourceEnded(read.context(failed))));
            })
            .context("cannot start a thread")?;
        Ok(())
    }

    /// Passes each line that is not blank to `take`, until it returns false or a signal arrives,
    /// and the number of bytes of each read to `count`.
    ///
    /// # Errors
    /// The input cannot be read any further.
    fn for_each(
        mut self,
        signals: &Signals,
        count: impl Fn(u64),
        mut take: impl FnMut(Line<'_>) -> bool,
    ) -> io::Result<()> {
        let mut splitter = Splitter::new(self.max_line);
        let mut buffer = vec![0; CHUNK];
        loop {
            signals.wait_for(self.file.as_fd())?;
            if signals.end_requested() {
                return Ok(());
            }
            let read = match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => continue,
                    _ => return Err(error),
                },
            };
            count(read as u64);
            let mut rest = &buffer[..read];
            while let Some(line) = splitter.next(&mut rest) {
                if !take(line) {
                    return Ok(());
                }
            }
        }
        if let Some(line) = splitter.last() {
            take(line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::Write;

    fn lines(text: &[u8], max_line: usize) -> Vec<(u64, Option<String>)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let input = LineFile {
            name: String::new(),
            file,
            length: None,
            max_line,
        };
        let (mut lines, read) = (Vec::new(), Cell::new(0));
        let count = |bytes| read.set(read.get() + bytes);
        let taken = input.for_each(&Signals::none(), count, |line| {
            lines.push(match line {
                Line::Text(number, text) => {
                    (number, Some(String::from_utf8(text.to_vec()).unwrap()))
                }
                Line::TooLong(number, _) => (number, None),
            });
            true
        });
        taken.unwrap();
        assert_eq!(read.get(), text.len() as u64);
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
