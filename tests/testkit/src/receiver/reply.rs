//! What a receiver does with a request.

use std::time::Duration;

/// What a receiver does with a request: waits, writes, and then keeps the connection or not.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) wait: Wait,
    content: Content,
    cut: Option<usize>,
    pub(super) after: After,
}

/// What happens before anything is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    No,
    For(Duration),
    UntilReleased,
    UntilHangUp,
}

/// What happens to the connection once all is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
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

impl Reply {
    /// Answers this status at once, without a body, and keeps the connection.
    pub fn status(status: u16) -> Reply {
        Reply {
            wait: Wait::No,
            content: Content::Http {
                interim: String::new(),
                status,
                headers: String::new(),
                body: Vec::new(),
                framing: Framing::Length,
            },
            cut: None,
            after: After::Keep,
        }
    }

    /// Writes these bytes, HTTP or not, and closes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Reply {
        let content = Content::Raw(bytes.into());
        Reply {
            wait: Wait::No,
            content,
            cut: None,
            after: After::Close,
        }
    }

    /// Never answers; the connection stays open.
    pub fn silence() -> Reply {
        Reply {
            after: After::Stall,
            ..Reply::raw("")
        }
    }

    /// Closes without an answer.
    pub fn close() -> Reply {
        Reply::raw("")
    }

    /// Resets the connection without an answer.
    pub fn reset() -> Reply {
        Reply::raw("").then_reset()
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        if let Content::Http { headers, .. } = &mut self.content {
            headers.push_str(&format!("{name}: {value}\r\n"));
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Reply {
        if let Content::Http { body, .. } = &mut self.content {
            *body = bytes.into();
        }
        self
    }

    /// Sends the body in chunks.
    #[must_use]
    pub fn chunked(mut self) -> Reply {
        if let Content::Http { framing, .. } = &mut self.content {
            *framing = Framing::Chunks;
        }
        self
    }

    /// Sends a body that ends with the connection.
    #[must_use]
    pub fn close_delimited(mut self) -> Reply {
        if let Content::Http { framing, .. } = &mut self.content {
            *framing = Framing::Close;
        }
        self.after = After::Close;
        self
    }

    /// Sends an answer without body of this status, 100 to 199, before the final one.
    #[must_use]
    pub fn interim(mut self, code: u16) -> Reply {
        if let Content::Http { interim, .. } = &mut self.content {
            interim.push_str(&format!("HTTP/1.1 {code} Interim\r\n\r\n"));
        }
        self
    }

    /// Waits this long before it writes.
    #[must_use]
    pub fn after(self, wait: Duration) -> Reply {
        Reply {
            wait: Wait::For(wait),
            ..self
        }
    }

    /// Waits for [`Receiver::release`](super::Receiver::release) before it writes.
    #[must_use]
    pub fn held(self) -> Reply {
        Reply {
            wait: Wait::UntilReleased,
            ..self
        }
    }

    /// Writes once the peer has given up and closed its side: an answer too late for certain.
    #[must_use]
    pub fn too_late(self) -> Reply {
        Reply {
            wait: Wait::UntilHangUp,
            ..self
        }
    }

    /// Writes this many bytes of the answer, no more.
    #[must_use]
    pub fn cut_to(self, length: usize) -> Reply {
        Reply {
            cut: Some(length),
            ..self
        }
    }

    /// Closes after the answer, without having said so.
    #[must_use]
    pub fn then_close(self) -> Reply {
        Reply {
            after: After::Close,
            ..self
        }
    }

    /// Resets the connection after the answer.
    #[must_use]
    pub fn then_reset(self) -> Reply {
        Reply {
            after: After::Reset,
            ..self
        }
    }

    /// Neither closes nor takes another request after the answer.
    #[must_use]
    pub fn then_stall(self) -> Reply {
        Reply {
            after: After::Stall,
            ..self
        }
    }

    /// The bytes to write.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = match &self.content {
            Content::Raw(bytes) => bytes.clone(),
            Content::Http {
                interim,
                status,
                headers,
                body,
                framing,
            } => {
                let mut bytes = format!("{interim}HTTP/1.1 {status} Status\r\n{headers}");
                match framing {
                    Framing::Length => {
                        bytes.push_str(&format!("Content-Length: {}\r\n", body.len()));
                    }
                    Framing::Chunks => bytes.push_str("Transfer-Encoding: chunked\r\n"),
                    Framing::Close => {}
                }
                bytes.push_str("\r\n");
                let mut bytes = bytes.into_bytes();
                match framing {
                    Framing::Length | Framing::Close => bytes.extend_from_slice(body),
                    Framing::Chunks => {
                        for chunk in body.chunks(1000) {
                            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                            bytes.extend_from_slice(chunk);
                            bytes.extend_from_slice(b"\r\n");
                        }
                        bytes.extend_from_slice(b"0\r\n\r\n");
                    }
                }
                bytes
            }
        };
        bytes.truncate(self.cut.unwrap_or(usize::MAX));
        bytes
    }
}
