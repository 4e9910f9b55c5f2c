//! Reading requests, as far as webhookd makes them: a head, `Content-Length`, a body.

use std::io::Read;
use std::net::TcpStream;

/// A head, read into the buffer; what follows it there is body.
#[derive(Clone, Debug)]
pub(super) struct Head {
    length: usize,
    body_length: usize,
    id: Option<String>,
}

/// A whole request.
#[derive(Debug)]
pub(super) struct Request<'b> {
    /// Its `webhook-id`.
    pub(super) id: Option<String>,
    pub(super) body: &'b [u8],
}

/// Reads a head; none when the connection ends, or it is no head.
pub(super) fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Head> {
    let mut searched = 0;
    let end = loop {
        let from = usize::saturating_sub(searched, 3);
        let found = buffer[from..]
            .windows(4)
            .position(|window| window == b"\r\n\r\n");
        if let Some(at) = found {
            break from + at + 4;
        }
        searched = buffer.len();
        if searched > 64 * 1024 || !fill(stream, buffer) {
            return None;
        }
    };
    let text = std::str::from_utf8(&buffer[..end]).ok()?;
    let value = |name: &str| {
        text.split("\r\n").skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    Some(Head {
        length: end,
        body_length: value("content-length")?.parse().ok()?,
        id: value("webhook-id"),
    })
}

impl Head {
    /// Reads the body; none when the connection ends before.
    pub(super) fn read_body<'b>(
        &self,
        stream: &mut TcpStream,
        buffer: &'b mut Vec<u8>,
    ) -> Option<Request<'b>> {
        while buffer.len() < self.length + self.body_length {
            if !fill(stream, buffer) {
                return None;
            }
        }
        Some(Request {
            id: self.id.clone(),
            body: &buffer[self.length..self.length + self.body_length],
        })
    }

    /// Forgets the request, but not what came after it.
    pub(super) fn consume(&self, buffer: &mut Vec<u8>) {
        buffer.drain(..self.length + self.body_length);
    }
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    let mut piece = [0; 8 * 1024];
    match stream.read(&mut piece) {
        Ok(0) | Err(_) => false,
        Ok(read) => {
            buffer.extend_from_slice(&piece[..read]);
            true
        }
    }
}
