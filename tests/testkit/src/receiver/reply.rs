//! What a receiver does with a request.

use super::server::Connection;
use std::fmt::Write as _;
use std::time::Duration;

/// What a receiver does with a request: waits, writes, and then keeps the connection or not.
#[derive(Clone, Debug)]
pub struct Reply {
    wait: Wait,
    content: Content,
    cut: usize,
    /// Bytes of a piece, and the time after each.
    pieces: Option<(usize, Duration)>,
    then: Then,
}

/// What happens before anything is written.
#[derive(Clone, Copy, Debug)]
enum Wait {
    No,
    For(Duration),
    UntilReleased,
    UntilHangUp,
}

/// What happens to the connection once all is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Keep,
    Close,
    Reset,
    Stall,
}

#[derive(Clone, Debug)]
enum Content {
    Raw(Vec<u8>),
    Http {
        interim: String,
        status: u16,
        headers: String,
        body: Vec<u8>,
        framing: Framing,
    },
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunks,
    Close,
}

/// How a reply waits, so that the end of its receiver can end the wait.
pub trait Waits {
    /// Waits for a time.
    fn sleep(&self, time: Duration);
    /// Waits until held answers may go.
    fn wait_for_release(&self);
}

impl Reply {
    /// Answers this status at once, without a body, and keeps the connection.
    pub fn status(status: u16) -> Reply {
        Reply {
            content: Content::Http {
                interim: String::new(),
                status,
                headers: String::new(),
                body: Vec::new(),
                framing: Framing::Length,
            },
            then: Then::Keep,
            ..Reply::close()
        }
    }

    /// Writes these bytes, HTTP or not, and closes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Reply {
        Reply {
            wait: Wait::No,
            content: Content::Raw(bytes.into()),
            cut: usize::MAX,
            pieces: None,
            then: Then::Close,
        }
    }

    /// Never answers; the connection stays open.
    pub fn silence() -> Reply {
        Reply::close().then_stall()
    }

    /// Closes without an answer.
    pub fn close() -> Reply {
        Reply::raw("")
    }

    /// Resets the connection without an answer.
    pub fn reset() -> Reply {
        Reply::close().then_reset()
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        if let Content::Http { headers, .. } = &mut self.content {
            headers.push_str(&format!("{name}: {value}\r\n"));
        }
        self
    }

    /// Sets the body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Reply {
        if let Content::Http { body, .. } = &mut self.content {
            *body = bytes.into();
        }
        self
    }

    /// Sends the body in chunks.
    pub fn chunked(self) -> Reply {
        self.framed(Framing::Chunks)
    }

    /// Sends a body that ends with the connection.
    pub fn close_delimited(self) -> Reply {
        self.framed(Framing::Close).then_close()
    }

    fn framed(mut self, by: Framing) -> Reply {
        if let Content::Http { framing, .. } = &mut self.content {
            *framing = by;
        }
        self
    }

    /// Sends an answer without body of this status, 100 to 199, before the final one.
    pub fn interim(mut self, code: u16) -> Reply {
        if let Content::Http { interim, .. } = &mut self.content {
            interim.push_str(&format!("HTTP/1.1 {code} Interim\r\n\r\n"));
        }
        self
    }

    /// Waits this long before it writes.
    pub fn after(self, time: Duration) -> Reply {
        let wait = Wait::For(time);
        Reply { wait, ..self }
    }

    /// Waits for [`Receiver::release`](super::Receiver::release) before it writes.
    pub fn held(self) -> Reply {
        let wait = Wait::UntilReleased;
        Reply { wait, ..self }
    }

    /// Writes once the peer has given up and closed its side: an answer too late for certain.
    pub fn too_late(self) -> Reply {
        let wait = Wait::UntilHangUp;
        Reply { wait, ..self }
    }

    /// Writes this many bytes of the answer, no more.
    pub fn cut_to(self, cut: usize) -> Reply {
        Reply { cut, ..self }
    }

    /// Writes pieces of this many bytes, and waits after each.
    pub fn in_pieces(self, length: usize, pause: Duration) -> Reply {
        let pieces = Some((length, pause));
        Reply { pieces, ..self }
    }

    /// Closes after the answer, without having said so.
    pub fn then_close(self) -> Reply {
        let then = Then::Close;
        Reply { then, ..self }
    }

    /// Resets the connection after the answer.
    pub fn then_reset(self) -> Reply {
        let then = Then::Reset;
        Reply { then, ..self }
    }

    /// Neither closes nor takes another request after the answer.
    pub fn then_stall(self) -> Reply {
        let then = Then::Stall;
        Reply { then, ..self }
    }

    /// Does it. Returns whether the connection goes on; the end of the script closes it.
    pub fn send(&self, connection: &mut Connection, waits: &impl Waits) -> bool {
        match self.wait {
            Wait::No => {}
            Wait::For(time) => waits.sleep(time),
            Wait::UntilReleased => waits.wait_for_release(),
            Wait::UntilHangUp => connection.wait_for_end(),
        }
        let bytes = self.bytes();
        let written = match self.pieces {
            None => connection.write(&bytes),
            Some((length, pause)) => bytes.chunks(length).all(|piece| {
                let written = connection.write(piece);
                waits.sleep(pause);
                written
            }),
        };
        match self.then {
            Then::Keep => return written,
            Then::Close => {}
            Then::Reset => connection.reset(),
            Then::Stall => connection.wait_for_end(),
        }
        false
    }

    /// The bytes to write.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = match &self.content {
            Content::Raw(bytes) => bytes.clone(),
            Content::Http {
                interim,
                status,
                headers,
                body,
                framing,
            } => {
                let mut head = format!("{interim}HTTP/1.1 {status} Status\r\n{headers}");
                let framed = match framing {
                    Framing::Length => write!(head, "Content-Length: {}\r\n", body.len()),
                    Framing::Chunks => write!(head, "Transfer-Encoding: chunked\r\n"),
                    Framing::Close => Ok(()),
                };
                framed.expect("a string can be written to");
                let mut bytes = (head + "\r\n").into_bytes();
                if let Framing::Chunks = framing {
                    for chunk in body.chunks(1000) {
                        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                        bytes.extend_from_slice(chunk);
                        bytes.extend_from_slice(b"\r\n");
                    }
                    bytes.extend_from_slice(b"0\r\n\r\n");
                } else {
                    bytes.extend_from_slice(body);
                }
                bytes
            }
        };
        bytes.truncate(self.cut);
        bytes
    }
}
