//! A request, as it came.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

/// A request, as it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// How many requests the receiver had taken before this one.
    pub number: usize,
    /// The connection it came on, counted from 0.
    pub connection: usize,
    /// How many requests had come on its connection before.
    pub on_connection: usize,
    /// Request line and headers, byte for byte, up to and with the blank line.
    pub head: Vec<u8>,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Request {
    /// The request line: `POST / HTTP/1.1`.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.head)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// The values of all headers of this name, without the blanks around them.
    pub fn headers(&self, name: &str) -> Vec<String> {
        headers(&self.head, name)
    }

    /// The value of the one header of this name.
    ///
    /// # Panics
    ///
    /// When there is none, or more than one.
    pub fn header(&self, name: &str) -> String {
        let values = self.headers(name);
        assert_eq!(
            values.len(),
            1,
            "{name} in {}",
            String::from_utf8_lossy(&self.head)
        );
        values.into_iter().next().unwrap_or_default()
    }

    /// Reads the next request of a connection; `None` if the peer has ended it.
    pub(super) fn read(stream: &mut impl BufRead) -> Result<Option<Request>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut head)? == 0 {
                return if head.is_empty() {
                    Ok(None)
                } else {
                    Err(cut_off())
                };
            }
        }
        Ok(Some(Request {
            number: 0,
            connection: 0,
            on_connection: 0,
            head,
            body: Vec::new(),
        }))
    }

    /// Whether the peer waits for `100 Continue`.
    pub(super) fn expects_continue(&self) -> bool {
        self.headers("expect")
            .iter()
            .any(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// Reads the body that the head announces.
    pub(super) fn read_body(&mut self, stream: &mut impl BufRead) -> Result<()> {
        let invalid = |what: &str| Error::new(ErrorKind::InvalidData, what.to_owned());
        let chunked = self.headers("transfer-encoding");
        let length = self.headers("content-length");
        match (chunked.as_slice(), length.as_slice()) {
            ([], []) => Ok(()),
            ([], [length]) => {
                let length: u64 = length.parse().map_err(|_| invalid("Content-Length"))?;
                stream.take(length).read_to_end(&mut self.body)?;
                if self.body.len() as u64 == length {
                    Ok(())
                } else {
                    Err(cut_off())
                }
            }
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => loop {
                let mut line = String::new();
                stream.read_line(&mut line)?;
                let size = u64::from_str_radix(line.trim(), 16).map_err(|_| invalid("chunk"))?;
                let before = self.body.len() as u64;
                stream.by_ref().take(size).read_to_end(&mut self.body)?;
                let mut end = [0; 2];
                stream.read_exact(&mut end)?;
                if self.body.len() as u64 - before != size || end != *b"\r\n" {
                    return Err(cut_off());
                }
                if size == 0 {
                    return Ok(());
                }
            },
            _ => Err(invalid("framing")),
        }
    }
}

fn cut_off() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "the request was cut off")
}

fn headers(head: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    let fields = text
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim_matches([' ', '\t']).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Request>> {
        let mut stream = bytes;
        let Some(mut request) = Request::read(&mut stream)? else {
            return Ok(None);
        };
        request.read_body(&mut stream)?;
        Ok(Some(request))
    }

    #[test]
    fn a_request_is_read_with_its_headers_and_body() {
        let bytes = b"POST /a HTTP/1.1\r\nX-One: 1\r\nx-one:  2 \r\nContent-Length: 3\r\n\r\nabcd";
        let request = read(bytes).expect("it is whole").expect("it is there");
        assert_eq!(request.line(), "POST /a HTTP/1.1");
        assert_eq!(request.headers("X-ONE"), ["1", "2"]);
        assert_eq!(request.body, b"abc");
    }

    #[test]
    fn chunks_are_put_together() {
        let bytes = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                      3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(read(bytes).expect("whole").expect("there").body, b"abcde");
    }

    #[test]
    fn a_request_that_is_cut_off_is_none() {
        for bytes in [
            &b"POST / HTTP/1.1\r\nA: b\r\n"[..],
            b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        ] {
            assert!(read(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        assert!(
            read(b"")
                .expect("an end between requests is sound")
                .is_none()
        );
    }
}
