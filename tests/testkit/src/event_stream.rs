//! An HTTP server whose responses do not end, by a script: event streams, and the lists and watches
//! of Kubernetes.

use crate::DEADLINE;
use crate::receiver::{Connection, Server};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The head of a response whose body comes in chunks.
pub const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A server of event streams, which remembers what it was asked for. Dropping it closes all its
/// connections.
#[derive(Debug)]
pub struct EventStream {
    server: Server,
    asked: Arc<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    /// The heads of the requests.
    heads: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Asked {
    fn heads(&self) -> MutexGuard<'_, Vec<String>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, and the connection of its response, which closes when the script ends.
#[derive(Debug)]
pub struct StreamRequest<'a> {
    connection: &'a mut Connection,
    /// How many requests had come before.
    pub number: usize,
    head: String,
}

impl EventStream {
    /// Listens on a free port, and runs the script for each request.
    pub fn start(script: impl Fn(&mut StreamRequest<'_>) + Send + Sync + 'static) -> EventStream {
        let asked = Arc::new(Asked::default());
        let server = Server::start({
            let asked = Arc::clone(&asked);
            move |connection| {
                let Some(message) = connection.request() else {
                    return;
                };
                let head = String::from_utf8_lossy(message.head).into_owned();
                let number = {
                    let mut heads = asked.heads();
                    heads.push(head.clone());
                    asked.changed.notify_all();
                    heads.len() - 1
                };
                script(&mut StreamRequest {
                    connection,
                    number,
                    head,
                });
            }
        });
        EventStream { server, asked }
    }

    /// Its URL: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.asked.heads().clone()
    }

    /// Waits until this many requests have come.
    pub fn wait_for_requests(&self, count: usize) -> Vec<String> {
        let heads = self.asked.heads();
        let waited = self
            .asked
            .changed
            .wait_timeout_while(heads, DEADLINE, |heads| heads.len() < count);
        let (heads, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let came = heads.clone();
        drop(heads);
        assert!(
            came.len() >= count,
            "{} of {count} requests came",
            came.len()
        );
        came
    }
}

impl StreamRequest<'_> {
    /// The path of the request, without its query.
    pub fn path(&self) -> &str {
        let target = self.head.split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// The value of a parameter of the query, as it stands there.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let target = self.head.split(' ').nth(1)?;
        let (_, query) = target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Sends a whole response, with these header lines, each with its line break.
    pub fn respond(&self, status: u16, headers: &str, body: &str) {
        let length = body.len();
        self.send(format!(
            "HTTP/1.1 {status} -\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// Begins a response whose body comes in chunks.
    pub fn begin(&self) {
        self.send(CHUNKED);
    }

    /// Sends these bytes as they are; false if the peer takes no more.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> bool {
        self.connection.write(bytes.as_ref())
    }

    /// Sends a line in one chunk.
    pub fn line(&self, text: &str) -> bool {
        self.send(chunked(&format!("{text}\n"), usize::MAX))
    }

    /// Waits until the peer closes the connection, or the server is dropped.
    pub fn hold(&mut self) {
        self.connection.wait_for_end();
    }

    /// Makes the close a reset.
    pub fn reset(&self) {
        self.connection.reset();
    }
}

/// A text in chunks of at most this many bytes.
pub fn chunked(text: &str, size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in text.as_bytes().chunks(size.clamp(1, 1 << 20)) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
