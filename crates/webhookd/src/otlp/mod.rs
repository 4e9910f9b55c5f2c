//! `--otlp`: spans of accepted requests and of attempts, exported by OTLP over HTTP in JSON.
//!
//! The threads that accept and deliver hand spans over through a bounded channel, and never wait: a span that
//! finds the channel full is dropped and counted. A thread of its own sends them.
//!
//! The OpenTelemetry SDK is not used: its processor does not tell how many spans it drops, its exporter waits
//! for an async client, and the two bring an executor, a second random generator and protobuf. What is needed
//! of OTLP is one JSON document (`span.rs`).

mod exporter;
mod response;
mod span;

pub(crate) use self::exporter::{dropped, exported};

use self::exporter::{Entry, Exporter, drop_spans};
use self::span::{Accepted, Span};
use anyhow::{Context, Result, anyhow, ensure};
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use webhook_config::{Target, TargetUrl};
use webhook_dispatch::{Connector, HttpConnector, Stopper, TracedAttempt, Tracer};
use webhook_event::TraceContext;

/// Spans that wait to be sent, at most.
const WAITING: usize = 2048;
/// Bytes of them, at most: an attempt at a batch may have 128 links, each with a `tracestate`.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// How long the end of the program waits for the rest to be sent.
const FLUSH_TIME: Duration = Duration::from_secs(2);
/// The path of traces, if the URL has none.
const TRACES: &str = "v1/traces";

/// The running exporter.
pub(crate) struct Otlp {
    spans: Spans,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    stopper: Stopper,
    thread: JoinHandle<()>,
}

/// Hands spans over to the exporter; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    entries: Sender<Entry>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// A request whose events are being accepted.
#[derive(Debug)]
pub(crate) struct AcceptSpan {
    spans: Spans,
    /// The sender's span.
    parent: Option<TraceContext>,
    /// The parent of the attempts.
    context: TraceContext,
    started_at: SystemTime,
    started: Instant,
}

impl Otlp {
    /// Exports to the collector at a URL: to `/v1/traces`, if it has no path.
    ///
    /// # Errors
    /// The URL cannot be used, or the system refuses a thread.
    pub(crate) fn start(url: &str) -> Result<Otlp> {
        let collector = collector(url)?;
        let transport = HttpConnector::new()
            .transport(&collector)
            .map_err(|error| anyhow!("--otlp {url}: {error}"))?;
        let stopper = transport.stopper();
        let (entries, waiting) = crossbeam_channel::bounded(WAITING);
        let (ending, ended) = crossbeam_channel::bounded(0);
        let waiting_bytes = Arc::default();
        let url = collector.url().to_string();
        let exporter = Exporter::new(transport, url, Arc::clone(&waiting_bytes));
        let thread = std::thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || {
                let _ending: Sender<()> = ending;
                exporter.run(&waiting);
            })
            .context("cannot start a thread")?;
        Ok(Otlp {
            spans: Spans {
                entries,
                waiting_bytes,
            },
            ended,
            stopper,
            thread,
        })
    }

    pub(crate) fn spans(&self) -> Spans {
        self.spans.clone()
    }

    /// Ends the thread once all spans are sent, or when that takes too long.
    pub(crate) fn finish(self) {
        let deadline = Instant::now() + FLUSH_TIME;
        let sent = self.spans.entries.send_deadline(Entry::End, deadline);
        let ended = self.ended.recv_deadline(deadline);
        if sent.is_err() || ended.is_err_and(|it| it.is_timeout()) {
            tracing::warn!("--otlp: the collector did not take the last spans in time");
            // The thread ends with the process, if it does not end before.
            (self.stopper)();
        } else {
            // A panic has been logged.
            drop(self.thread.join());
        }
    }
}

/// The collector as a target.
fn collector(url: &str) -> Result<Target> {
    let mut url = TargetUrl::parse(url).with_context(|| format!("--otlp {url}"))?;
    ensure!(
        !url.had_userinfo(),
        "--otlp {url}: the user name and password of the URL would not be sent"
    );
    if url.as_uri().path() == "/" && url.as_uri().query().is_none() {
        url = TargetUrl::parse(&format!("{}{TRACES}", url.as_uri()))?;
    }
    let target = Target::builder(url)
        .connect_timeout(Duration::from_secs(2))
        .response_timeout(Duration::from_secs(5));
    Ok(target.build()?)
}

impl Spans {
    /// Hands a span over. Never waits.
    fn add(&self, span: Span) {
        let bytes = span.len();
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = waiting + bytes <= MAX_WAITING_BYTES;
        if !fits || self.entries.try_send(Entry::Span(span)).is_err() {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            drop_spans(1);
        }
    }

    /// Begins the span of a request whose sender named this trace; without one, it begins a trace.
    pub(crate) fn accept(&self, parent: Option<TraceContext>) -> AcceptSpan {
        let id = fastrand::u64(1..);
        let context = match &parent {
            Some(parent) if !parent.is_sampled() => Some(parent.clone()),
            Some(parent) => Some(parent.with_parent(id)),
            None => TraceContext::new(fastrand::u128(1..), id, true),
        };
        AcceptSpan {
            spans: self.clone(),
            context: context.expect("its ids are not 0"),
            parent,
            started_at: SystemTime::now(),
            started: Instant::now(),
        }
    }
}

impl AcceptSpan {
    /// The trace of the request's events.
    pub(crate) fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Ends the span with the status of the response.
    pub(crate) fn end(self, path: &str, input: &str, status: u16) {
        if self.context.is_sampled() {
            self.spans.add(Span::accept(&Accepted {
                parent: self.parent.as_ref(),
                context: &self.context,
                started_at: self.started_at,
                took: self.started.elapsed(),
                path,
                input,
                status,
            }));
        }
    }
}

impl Tracer for Spans {
    fn attempt(&self, attempt: &TracedAttempt<'_>) {
        self.add(Span::attempt(attempt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_wait_are_bounded_by_their_bytes() {
        let (entries, waiting) = crossbeam_channel::bounded(WAITING);
        let spans = Spans {
            entries,
            waiting_bytes: Arc::default(),
        };
        let path = "x".repeat(1 << 20);
        for _ in 0..5 {
            spans.accept(None).end(&path, "", 200);
        }
        assert_eq!(waiting.len(), 3);
        assert!(spans.waiting_bytes.load(Ordering::Relaxed) <= MAX_WAITING_BYTES);
    }
}
