//! The thread that sends spans to the collector.

use super::response::{Rejected, rejected, repeat_after};
use super::span::{Span, request};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use webhook_dispatch::{HeaderLines, Request, Transport, TransportErrorKind};

/// Spans of a request, at most.
const MOST: usize = 512;
/// How long a span waits for others of its request.
const LINGER: Duration = Duration::from_secs(1);
/// The pauses before a request is repeated that the collector did not take, if its answer has no
/// `Retry-After`.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// How often failures are logged, at most.
const WARNING: Duration = Duration::from_secs(60);

/// Spans of this process that were exported, and those that were not.
static EXPORTED: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Spans that the collector has taken.
pub(crate) fn exported() -> u64 {
    EXPORTED.load(Ordering::Relaxed)
}

/// Spans that were not exported: the channel was full, or the collector did not take them.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Counts spans that are not exported.
pub(super) fn drop_spans(count: u64) {
    DROPPED.fetch_add(count, Ordering::Relaxed);
}

/// What the exporter gets.
#[derive(Debug)]
pub(super) enum Entry {
    Span(Span),
    /// Sends what came before, and ends.
    End,
}

/// Sends spans, a request at a time.
pub(super) struct Exporter {
    transport: Box<dyn Transport>,
    headers: HeaderLines,
    url: String,
    /// Bytes of the spans in the channel.
    waiting_bytes: Arc<AtomicUsize>,
    /// When a failure was last logged.
    warned: Option<Instant>,
    /// Whether the program ends: nothing is repeated.
    is_ending: bool,
}

impl Exporter {
    pub(super) fn new(
        transport: Box<dyn Transport>,
        url: String,
        waiting_bytes: Arc<AtomicUsize>,
    ) -> Exporter {
        let mut headers = HeaderLines::new();
        headers.push(&CONTENT_TYPE, &HeaderValue::from_static("application/json"));
        let agent = concat!("webhookd/", env!("CARGO_PKG_VERSION"));
        headers.push(&USER_AGENT, &HeaderValue::from_static(agent));
        Exporter {
            transport,
            headers,
            url,
            waiting_bytes,
            warned: None,
            is_ending: false,
        }
    }

    /// Sends what comes through the channel, until its end is announced.
    pub(super) fn run(mut self, waiting: &Receiver<Entry>) {
        let mut spans = Vec::new();
        while !self.is_ending {
            self.collect(waiting, &mut spans);
            while !spans.is_empty() {
                let rest = spans.split_off(spans.len().min(MOST));
                self.send(std::mem::replace(&mut spans, rest));
            }
        }
    }

    /// Waits for a span, and for others until a request is full or it is time to send.
    fn collect(&mut self, waiting: &Receiver<Entry>, spans: &mut Vec<Span>) {
        let mut until: Option<Instant> = None;
        while spans.len() < MOST {
            let next = match until {
                Some(until) => waiting.recv_deadline(until),
                None => waiting.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(Entry::Span(span)) => {
                    self.waiting_bytes.fetch_sub(span.len(), Ordering::Relaxed);
                    spans.push(span);
                    until.get_or_insert_with(|| Instant::now() + LINGER);
                }
                Err(RecvTimeoutError::Timeout) => return,
                Ok(Entry::End) | Err(RecvTimeoutError::Disconnected) => {
                    self.is_ending = true;
                    return;
                }
            }
        }
    }

    /// Sends a request, and repeats it if the collector may take it later.
    fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let body = request(&spans);
        drop(spans);
        let mut pauses = PAUSES.iter();
        let why = loop {
            let result = self.transport.send(Request {
                headers: &self.headers,
                body: &body,
            });
            let (why, may_repeat, asked) = match result {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    let Rejected { spans, why } = rejected(&answer.body);
                    let dropped = spans.min(count);
                    EXPORTED.fetch_add(count - dropped, Ordering::Relaxed);
                    if dropped > 0 {
                        self.dropped(dropped, &format!("it rejected them: {why}"));
                    }
                    return;
                }
                // Those that OTLP names as temporary.
                Ok(answer) => {
                    let is_temporary = matches!(answer.status, 429 | 502 | 503 | 504);
                    let why = format!("it answered {}", answer.status);
                    (why, is_temporary, repeat_after(&answer))
                }
                Err(error) => {
                    let may_repeat = error.kind != TransportErrorKind::Stopped;
                    (error.message, may_repeat, None)
                }
            };
            match pauses.next() {
                Some(pause) if may_repeat && !self.is_ending => {
                    std::thread::sleep(asked.unwrap_or(*pause));
                }
                _ => break why,
            }
        };
        self.dropped(count, &why);
    }

    /// Counts spans that are not exported, and logs why now and then.
    fn dropped(&mut self, count: u64, why: &str) {
        drop_spans(count);
        if self.warned.is_none_or(|at| at.elapsed() >= WARNING) {
            self.warned = Some(Instant::now());
            tracing::warn!(
                "{count} spans were dropped: the collector {}: {why}",
                self.url
            );
        }
    }
}
