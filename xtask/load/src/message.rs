//! HTTP/1.1 messages of a connection, with as few system calls as there can be.

use memchr::{memchr_iter, memmem};
use std::io::{self, ErrorKind, Read};

/// Room for a usual message, read at once.
const ROOM: usize = 64 << 10;

/// Reads messages whose length their head tells.
#[derive(Debug)]
pub(crate) struct Messages<S> {
    stream: S,
    buffer: Vec<u8>,
    /// What of the buffer was read and not yet given out.
    start: usize,
    end: usize,
}

/// A whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl<S: Read> Messages<S> {
    pub(crate) fn new(stream: S) -> Messages<S> {
        Messages {
            stream,
            buffer: vec![0; ROOM],
            start: 0,
            end: 0,
        }
    }

    /// The next message; `None` when the peer has closed the connection between two.
    ///
    /// # Errors
    /// The connection broke, or a head has no length: chunked bodies are not understood here.
    pub(crate) fn next(&mut self) -> io::Result<Option<Message<'_>>> {
        let mut wanted = 0;
        let (head, length) = loop {
            let read = &self.buffer[self.start..self.end];
            if read.len() >= wanted
                && let Some(at) = memmem::find(read, b"\r\n\r\n")
            {
                let head = at + 4;
                let length = content_length(&read[..head])?;
                wanted = head + length;
                if read.len() >= wanted {
                    break (head, length);
                }
            }
            if self.fill(wanted)? == 0 {
                return match self.end - self.start {
                    0 => Ok(None),
                    _ => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
        };
        let from = self.start;
        self.start += head + length;
        Ok(Some(Message {
            head: &self.buffer[from..from + head],
            body: &self.buffer[from + head..from + head + length],
        }))
    }

    /// Reads some more, having made room for a message of so many bytes.
    fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < wanted || self.end == self.buffer.len() {
            let size = wanted.max(self.buffer.len() * 2);
            self.buffer.resize(size, 0);
        }
        let read = loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.end += read;
        Ok(read)
    }
}

fn content_length(head: &[u8]) -> io::Result<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut start = 0;
    for end in memchr_iter(b'\n', head) {
        let line = &head[start..end];
        start = end + 1;
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let digits = line[NAME.len()..].trim_ascii();
            let length = std::str::from_utf8(digits).ok();
            if let Some(length) = length.and_then(|digits| digits.parse().ok()) {
                return Ok(length);
            }
        }
    }
    // An answer without content says so by its status.
    if head.starts_with(b"HTTP/1.1 204") {
        return Ok(0);
    }
    Err(io::Error::new(
        ErrorKind::InvalidData,
        "a head without Content-Length",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let large = vec![b'x'; 3 * ROOM];
        let mut text = b"POST / HTTP/1.1\r\ncontent-LENGTH: 2\r\n\r\nhi".to_vec();
        text.extend_from_slice(format!("P\r\nContent-Length: {}\r\n\r\n", large.len()).as_bytes());
        text.extend_from_slice(&large);
        text.extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
        for step in [1, 7, 4_096, usize::MAX] {
            let mut messages = Messages::new(Slowly(&text, step));
            let first = messages.next().unwrap().unwrap();
            assert_eq!(first.body, b"hi");
            assert!(first.head.ends_with(b"\r\n\r\n"));
            assert_eq!(messages.next().unwrap().unwrap().body, large);
            assert_eq!(messages.next().unwrap().unwrap().body, b"");
            assert_eq!(messages.next().unwrap(), None);
        }
    }

    #[test]
    fn an_end_within_a_message_and_an_unknown_length_are_errors() {
        for text in [
            &b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhi"[..],
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HT",
        ] {
            assert!(Messages::new(text).next().is_err());
        }
    }
}
