//! Reads responses, one after the other, until a signal arrives.

use super::client::{Answer, Client};
use super::documents::Documents;
use super::stats::StreamStats;
use crate::sources::splitter::{Line, Splitter};
use anyhow::Error;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use webhook_config::RetryPolicy;
use webhook_dispatch::retry;

/// Bytes asked for in one read.
const CHUNK: usize = 64 * 1024;
/// How long to wait after the queue refused a document.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// What a stream asks its server for.
pub(super) trait Protocol {
    /// Reads from the cursor of `reader.documents` on, until a response ends.
    ///
    /// # Errors
    /// The response failed, or there was none. Reading goes on after a back-off.
    fn read(&mut self, reader: &mut Reader) -> Result<(), Failure>;
}

/// Why a response ended before its end, or there was none.
#[derive(Debug)]
pub(super) struct Failure {
    why: Error,
    /// The value of `Retry-After`.
    retry_after: Option<Vec<u8>>,
}

impl From<Error> for Failure {
    fn from(why: Error) -> Failure {
        Failure {
            why,
            retry_after: None,
        }
    }
}

impl Failure {
    pub(super) fn new(why: impl Into<String>) -> Failure {
        Error::msg(why.into()).into()
    }
}

/// Notes that nothing is read any more once it is dropped.
struct Disconnects(Arc<StreamStats>);

impl Drop for Disconnects {
    fn drop(&mut self) {
        self.0.disconnect();
    }
}

/// A response to read, or none since its cursor is too old.
pub(super) enum Opened {
    Answer(Answer),
    Gone,
}

/// What a thread reads with.
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) documents: Documents,
    pub(super) stats: Arc<StreamStats>,
    /// The longest document, in bytes.
    pub(super) max_line: usize,
    pub(super) retry: RetryPolicy,
}

impl Reader {
    /// Reads until a signal arrives. Reconnects after a back-off with full jitter, which starts anew
    /// once a document has come.
    pub(super) fn run(mut self, mut protocol: impl Protocol) {
        // A panic, too, ends the connection in the figures.
        let _connected = Disconnects(Arc::clone(&self.stats));
        let mut attempts = 0;
        while !self.documents.must_end() {
            let (began, before) = (Instant::now(), self.stats.documents());
            let result = protocol.read(&mut self);
            self.stats.disconnect();
            self.documents.settle();
            let saved = self.documents.save().map_err(Failure::from);
            let result = result.and(saved);
            if self.documents.must_end() {
                break;
            }
            let wait = if self.documents.has_refused() {
                AFTER_REFUSAL
            } else {
                if self.stats.documents() > before {
                    attempts = 0;
                }
                attempts += 1;
                self.wait(result, attempts, began.elapsed())
            };
            let cursor = self.documents.cursor();
            self.documents.restart_at(cursor);
            if self.documents.pause(wait) {
                break;
            }
        }
        if let Err(error) = self.documents.settle_at_the_end() {
            self.warn(&format!("its cursor is not saved: {error:#}"));
        }
    }

    /// How long to wait before the next request.
    fn wait(&self, result: Result<(), Failure>, attempts: u32, took: Duration) -> Duration {
        let retry_after = match result {
            // A server may end a response in good order, but not one after the other at once.
            Ok(()) if took >= self.retry.initial() => return Duration::ZERO,
            Ok(()) => None,
            Err(Failure { why, retry_after }) => {
                self.stats.fail(&format!("{why:#}"));
                self.warn(&format!("{why:#}; connecting again"));
                let now = SystemTime::now();
                retry_after.and_then(|value| retry::retry_after(&value, now, &self.retry))
            }
        };
        let draw = fastrand::f64();
        match retry::next_attempt(&self.retry, attempts, Duration::ZERO, retry_after, draw) {
            retry::Next::After(wait) => wait,
            _ => self.retry.max(),
        }
    }

    fn warn(&self, text: &str) {
        let name = self.stats.name();
        self.documents
            .report()
            .warn(&format!("stream {name}: {text}"));
    }

    /// Requests a URL.
    ///
    /// # Errors
    /// There is no response, or one with another status than 2xx and 410.
    pub(super) fn open(&mut self, url: &str) -> Result<Opened, Failure> {
        let answer = self.client.get(url)?;
        let why = match answer.status {
            200..=299 => return Ok(Opened::Answer(answer)),
            410 => return Ok(Opened::Gone),
            status @ (401 | 403) => format!("the server responds {status}: check its token"),
            status @ 300..=399 => {
                format!("the server responds {status}, and redirects are not followed")
            }
            status => format!("the server responds {status}"),
        };
        let retry_after = match answer.status {
            429 | 503 => answer.retry_after,
            _ => None,
        };
        Err(Failure {
            why: Error::msg(why),
            retry_after,
        })
    }

    /// Notes that a response is read from now on.
    pub(super) fn connect(&self, url: &str) {
        if self.stats.connect() {
            let name = self.stats.name();
            let text = format!("stream {name}: connected to {url}");
            self.documents.report().info(&text);
        }
    }

    /// Passes each line of a response to `take`, until its end, or until `take` breaks or the queue
    /// refuses a document.
    ///
    /// # Errors
    /// The response broke off, or the cursor cannot be saved.
    pub(super) fn for_each_line(
        &mut self,
        mut answer: Answer,
        mut take: impl FnMut(&mut Documents, &[u8]) -> ControlFlow<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let mut splitter = Splitter::new(self.max_line);
        let mut buffer = vec![0; CHUNK];
        loop {
            self.documents
                .save_in_time(|longest| answer.has_input_within(longest))?;
            if self.documents.must_end() || self.documents.has_refused() {
                return Ok(());
            }
            let read = answer.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            self.documents.report().stats().read_bytes(read as u64);
            let mut rest = &buffer[..read];
            while let Some(line) = splitter.next(&mut rest) {
                match line {
                    Line::Text(_, text) => {
                        if let ControlFlow::Break(result) = take(&mut self.documents, text) {
                            return result;
                        }
                    }
                    Line::TooLong(_, beginning) => self.documents.skip_too_long(beginning),
                }
                if self.documents.must_end() || self.documents.has_refused() {
                    return Ok(());
                }
            }
        }
        // A line without an end was cut off, unless it is a whole document.
        if let Some(Line::Text(_, text)) = splitter.last()
            && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
            && let ControlFlow::Break(result) = take(&mut self.documents, text)
        {
            return result;
        }
        Ok(())
    }

    /// A whole body of at most `most` bytes.
    ///
    /// # Errors
    /// It is longer, or broke off.
    pub(super) fn body(&mut self, mut answer: Answer, most: usize) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = answer.read(&mut buffer)?;
            if read == 0 {
                return Ok(body);
            }
            self.documents.report().stats().read_bytes(read as u64);
            if body.len() + read > most {
                let why = "a page of the list is longer than maxPageBytes; lower pageSize";
                return Err(Failure::new(why));
            }
            body.extend_from_slice(&buffer[..read]);
        }
    }
}
