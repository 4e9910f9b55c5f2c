//! A client of HTTP that does exactly what it is told, and no more.

use crate::{DEADLINE, Message, Messages};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;

/// An answer, read to its end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, with the status line.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one, interim ones left out.
    ///
    /// # Errors
    ///
    /// The connection has ended, or what comes is no HTTP.
    pub fn read(messages: &mut Messages<impl Read>) -> Result<Answer> {
        loop {
            let answer = Answer::read_any(messages)?;
            if answer.status >= 200 {
                return Ok(answer);
            }
        }
    }

    fn read_any(messages: &mut Messages<impl Read>) -> Result<Answer> {
        Answer::of(messages.next()?.ok_or(ErrorKind::UnexpectedEof)?)
    }

    fn of(message: Message<'_>) -> Result<Answer> {
        let head = String::from_utf8_lossy(message.head).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok(Answer {
            status: status.ok_or_else(|| Error::other("no status"))?,
            head,
            body: message.body.to_vec(),
        })
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Itself, once its status is the one expected.
    pub fn expect_status(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Its body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A connection that stays open. Its methods fail when the connection ends, or breaks, or when no
/// answer comes in time.
#[derive(Debug)]
pub struct Client {
    messages: Messages<TcpStream>,
}

impl Client {
    /// Connects to `http://HOST:PORT/`.
    pub fn connect(url: &str) -> Result<Client> {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Client {
            messages: Messages::new(stream),
        })
    }

    /// The same connection, with a limit of its own on each wait.
    pub fn limiting(mut self, longest: std::time::Duration) -> Result<Client> {
        let stream = self.messages.stream();
        stream.set_read_timeout(Some(longest))?;
        stream.set_write_timeout(Some(longest))?;
        Ok(self)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.messages.stream().write_all(bytes.as_ref())
    }

    /// Reads an answer, interim ones left out.
    pub fn answer(&mut self) -> Result<Answer> {
        Answer::read(&mut self.messages)
    }

    /// Reads an answer, and returns its status; an interim one is one, too.
    pub fn interim(&mut self) -> Result<u16> {
        Ok(Answer::read_any(&mut self.messages)?.status)
    }

    /// Reads an answer's head, and returns its status.
    pub fn status(&mut self) -> Result<u16> {
        let head = self.messages.head()?.ok_or(ErrorKind::UnexpectedEof)?;
        Ok(Answer::of(Message { head, body: &[] })?.status)
    }

    /// Posts a body with these header lines, and reads the answer.
    pub fn post(&mut self, headers: &[&str], body: impl AsRef<[u8]>) -> Result<Answer> {
        self.send(post_bytes(headers, body))?;
        self.answer()
    }

    /// Whether the other side has closed, without waiting.
    pub fn is_closed_by_peer(&mut self) -> bool {
        is_closed_by_peer(self.messages.stream())
    }

    /// Whether the other side has closed, which is waited for.
    pub fn is_closed(&mut self) -> bool {
        match self.messages.stream().read_to_end(&mut Vec::new()) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// Whether the other side of a socket, on which it sends nothing, has closed it.
pub(crate) fn is_closed_by_peer(stream: &TcpStream) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match net::recv(stream, &mut [0; 1], flags) {
        Ok((_, received)) => received == 0,
        Err(error) => error != Errno::AGAIN,
    }
}

/// The bytes of `POST /` with these header lines.
pub fn post_bytes(headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    post_bytes_to("/", headers, body)
}

fn post_bytes_to(path: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("POST {path} HTTP/1.1\r\nHost: webhookd\r\nContent-Length:");
    let head = format!("{head} {}\r\n{lines}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Posts a body on a connection of its own, and reads the answer.
pub fn post(url: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Answer {
    let mut client = Client::connect(url).expect("it listens");
    client.post(headers, body).expect("it is answered")
}

/// As [`post`], to this path.
pub fn post_to(url: &str, path: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Answer {
    let mut client = Client::connect(url).expect("it listens");
    let request = post_bytes_to(path, headers, body);
    client.send(request).expect("it reads");
    client.answer().expect("it is answered")
}

/// A free port of 127.0.0.1, for a test that needs the same one twice; all others let the system
/// choose.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// Lets this process open as many files as the system allows it; how many that are.
pub fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the soft bound may be raised");
    limit.maximum.unwrap_or(u64::MAX)
}
