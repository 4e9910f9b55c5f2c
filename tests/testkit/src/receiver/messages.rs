//! HTTP/1.1 messages of a connection, read with as few system calls as possible.

use memchr::{memchr_iter, memmem};
use std::io::{Error, ErrorKind, Read, Result};

/// Room for a usual message, read at once.
const ROOM: usize = 64 << 10;

/// Reads messages whose head tells their length; chunked bodies are refused.
#[derive(Debug)]
pub struct Messages<S> {
    stream: S,
    buffer: Vec<u8>,
    /// The part of the buffer that is read and not yet returned.
    start: usize,
    end: usize,
}

/// A whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message<'a> {
    /// First line and headers, byte for byte, up to and with the blank line.
    pub head: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

impl<S: Read> Messages<S> {
    /// Reads from the beginning of a message.
    pub fn new(stream: S) -> Messages<S> {
        Messages {
            stream,
            buffer: vec![0; ROOM],
            start: 0,
            end: 0,
        }
    }

    /// The stream below the buffer.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The head of the next message, which [`next`](Self::next) returns again; `None` when the
    /// peer has closed the connection between two messages.
    ///
    /// # Errors
    ///
    /// The connection broke, or ended within the head.
    pub fn head(&mut self) -> Result<Option<&[u8]>> {
        let length = self.head_length()?;
        Ok(length.map(|length| &self.buffer[self.start..self.start + length]))
    }

    /// The next message; `None` when the peer has closed the connection between two.
    ///
    /// # Errors
    ///
    /// The connection broke, or ended within the message; or the length of the body is unknown.
    #[expect(
        clippy::should_implement_trait,
        reason = "a message borrows from its reader"
    )]
    pub fn next(&mut self) -> Result<Option<Message<'_>>> {
        let Some(head) = self.head_length()? else {
            return Ok(None);
        };
        let whole = head + body_length(&self.buffer[self.start..self.start + head])?;
        while self.end - self.start < whole {
            if self.fill(whole)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let message = &self.buffer[self.start..self.start + whole];
        self.start += whole;
        let (head, body) = message.split_at(head);
        Ok(Some(Message { head, body }))
    }

    fn head_length(&mut self) -> Result<Option<usize>> {
        loop {
            let read = &self.buffer[self.start..self.end];
            if let Some(at) = memmem::find(read, b"\r\n\r\n") {
                return Ok(Some(at + 4));
            }
            let is_empty = read.is_empty();
            match self.fill(0)? {
                0 if is_empty => return Ok(None),
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
    }

    /// Reads some more, having made room for a message of this many bytes.
    fn fill(&mut self, wanted: usize) -> Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < wanted || self.end == self.buffer.len() {
            self.buffer.resize(wanted.max(self.buffer.len() * 2), 0);
        }
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(read) => {
                    self.end += read;
                    return Ok(read);
                }
            }
        }
    }
}

impl Message<'_> {
    /// The values of all headers of this name, without the blanks around them.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        headers(self.head, name.as_bytes()).map(|value| std::str::from_utf8(value).unwrap_or(""))
    }
}

/// The values of all headers of this name.
fn headers<'h>(head: &'h [u8], name: &[u8]) -> impl Iterator<Item = &'h [u8]> {
    let mut start = 0;
    memchr_iter(b'\n', head).filter_map(move |end| {
        let line = &head[start..end];
        start = end + 1;
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// The length that a head announces; without `Content-Length` there is no body.
fn body_length(head: &[u8]) -> Result<usize> {
    let invalid = |what: &str| Error::new(ErrorKind::InvalidData, what.to_owned());
    if headers(head, b"transfer-encoding").next().is_some() {
        return Err(invalid("a body in chunks"));
    }
    let mut lengths = headers(head, b"content-length");
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(0),
        (Some(length), None) => std::str::from_utf8(length)
            .ok()
            .and_then(|length| length.parse().ok())
            .ok_or_else(|| invalid("Content-Length is not a number")),
        (Some(_), Some(_)) => Err(invalid("Content-Length twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives this many bytes at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
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
        let mut text =
            b"POST / HTTP/1.1\r\ncontent-LENGTH: 2\r\nX-A:  1 \r\nx-a: 2\r\n\r\nhi".to_vec();
        text.extend_from_slice(format!("P\r\nContent-Length: {}\r\n\r\n", large.len()).as_bytes());
        text.extend_from_slice(&large);
        text.extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
        for step in [1, 7, 4_096, usize::MAX] {
            let mut messages = Messages::new(Slowly(&text, step));
            assert!(messages.head().unwrap().unwrap().ends_with(b"\r\n\r\n"));
            let first = messages.next().unwrap().unwrap();
            assert_eq!(first.body, b"hi");
            assert_eq!(first.headers("X-a").collect::<Vec<_>>(), ["1", "2"]);
            assert_eq!(messages.next().unwrap().unwrap().body, large);
            assert_eq!(messages.next().unwrap().unwrap().body, b"");
            assert_eq!(messages.next().unwrap(), None);
        }
    }

    #[test]
    fn a_cut_off_message_and_an_unknown_length_are_errors() {
        for text in [
            &b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhi"[..],
            b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\nhi",
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nA: b\r\n",
        ] {
            assert!(Messages::new(text).next().is_err());
        }
    }
}
