//! A sender: a thread that takes a target's jobs, one at a time, and blocks on each.

use crate::delivery::headers::Headers;
use crate::delivery::outcome::{Outcome, Verdict};
use crate::delivery::sign::Signer;
use crate::delivery::{Occasion, assess, prepare};
use crate::http::header_lines::HeaderLines;
use crate::http::transport::{
    Answer, Connector, Request, Stopper, Transport, TransportError, TransportErrorKind,
};
use crate::shared::clock::{Clock, epoch_ms};
use crate::target::failure_record::{excerpt, legible};
use crate::target::gate::Pass;
use crate::target::lanes::Due;
use crate::worker::job_queue::Desk;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use webhook_config::Target;

/// An event to be attempted.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) due: Due,
    pub(crate) pass: Pass,
    /// The gate's number when it was handed out: of another number, it is given back untried.
    pub(crate) gate: u64,
}

/// What a sender tells its courier.
#[derive(Debug)]
pub(crate) enum Report {
    /// An attempt came to this.
    Attempted(Box<Attempt>),
    /// The job was not tried.
    Untried(Due, Pass),
    /// The sender ended.
    Ended(usize),
}

impl Report {
    pub(crate) fn is_delivery(&self) -> bool {
        matches!(self, Report::Attempted(attempt) if attempt.verdict == Verdict::Delivered)
    }
}

/// What an attempt came to.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) due: Due,
    pub(crate) pass: Pass,
    pub(crate) outcome: Outcome,
    pub(crate) verdict: Verdict,
    /// What happened, for people; empty on success.
    pub(crate) detail: String,
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<Vec<u8>>,
    /// The first KiB of a failure's response.
    pub(crate) response: String,
    pub(crate) started_at: u64,
    pub(crate) took: Duration,
    /// Whether it was cut short by the dispatcher's end.
    pub(crate) stopped: bool,
}

/// What the senders of a target share.
pub(crate) struct Bench {
    pub(crate) target: Arc<Target>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) signer: Option<Signer>,
    headers: Headers,
    /// Goes up whenever jobs that were handed out must not be tried any more.
    pub(crate) gate: AtomicU64,
    stopping: AtomicBool,
    stoppers: Mutex<HashMap<usize, Stopper>>,
}

impl Bench {
    pub(crate) fn new(
        target: Arc<Target>,
        connector: Arc<dyn Connector>,
        clock: Arc<dyn Clock>,
    ) -> Result<Bench, String> {
        let signer = target.signing().map(Signer::new).transpose()?;
        let headers = Headers::new(&target);
        Ok(Bench {
            target,
            connector,
            clock,
            signer,
            headers,
            gate: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            stoppers: Mutex::new(HashMap::new()),
        })
    }

    /// Makes every attempt under way fail at once, and every later one.
    pub(crate) fn stop(&self) {
        if self.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        let stoppers = self.stoppers.lock().unwrap_or_else(PoisonError::into_inner);
        for stop in stoppers.values() {
            stop();
        }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn transport(&self, number: usize) -> Result<Box<dyn Transport>, TransportError> {
        let transport = self.connector.transport(&self.target)?;
        let stopper = transport.stopper();
        self.stoppers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, stopper);
        if self.stopping() {
            // `stop` may have come before the stopper was there to be called.
            return Err(TransportError {
                kind: TransportErrorKind::Stopped,
                message: "the dispatcher is stopping".to_owned(),
            });
        }
        Ok(transport)
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench")
            .field("target", &self.target.name())
            .finish_non_exhaustive()
    }
}

/// Says that a sender has ended, however it came to that: its courier waits to hear it.
struct Leaving<'a> {
    number: usize,
    bench: &'a Bench,
    desk: &'a Desk,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.bench
            .stoppers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.number);
        // A courier that is gone does not miss us.
        self.desk.report(Report::Ended(self.number));
    }
}

/// What a sender keeps from one attempt to the next.
#[derive(Default)]
struct Means {
    transport: Option<Box<dyn Transport>>,
    /// Where the headers are written.
    fields: HeaderLines,
}

/// The life of a sender. `number` names it among its target's.
pub(crate) fn run(number: usize, bench: &Bench, desk: &Desk) {
    let _leaving = Leaving {
        number,
        bench,
        desk,
    };
    let mut means = Means::default();
    while let Some(job) = desk.next() {
        let report = if job.gate == bench.gate.load(Ordering::SeqCst) && !bench.stopping() {
            report(
                attempt(number, bench, &mut means, job),
                means.transport.is_some(),
            )
        } else {
            Report::Untried(job.due, job.pass)
        };
        if !desk.report(report) {
            return;
        }
    }
}

/// What an attempt came to, if there was one: before there is a transport, nothing was sent.
fn report(attempt: Attempt, may_be_sent: bool) -> Report {
    if attempt.stopped && !may_be_sent {
        Report::Untried(attempt.due, attempt.pass)
    } else {
        Report::Attempted(Box::new(attempt))
    }
}

fn attempt(number: usize, bench: &Bench, means: &mut Means, Job { due, pass, .. }: Job) -> Attempt {
    let started = bench.clock.now();
    let started_at = epoch_ms(bench.clock.wall());
    let came_to = catch_unwind(AssertUnwindSafe(|| {
        exchange(number, bench, means, &due, started_at)
    }))
    .unwrap_or_else(|panic| {
        // Whatever state it is in, it is not used again.
        means.transport = None;
        CameTo {
            outcome: Outcome::Panic,
            verdict: Verdict::Failed,
            detail: format!("the sender panicked: {}", panic_text(panic.as_ref())),
            ..CameTo::default()
        }
    });
    Attempt {
        due,
        pass,
        outcome: came_to.outcome,
        verdict: came_to.verdict,
        detail: legible(&came_to.detail),
        status: came_to.status,
        retry_after: came_to.retry_after,
        response: came_to.response,
        started_at,
        took: took_since(started, bench.clock.now()),
        stopped: came_to.stopped,
    }
}

fn took_since(started: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(started)
}

struct CameTo {
    outcome: Outcome,
    verdict: Verdict,
    detail: String,
    status: Option<u16>,
    retry_after: Option<Vec<u8>>,
    response: String,
    stopped: bool,
}

impl Default for CameTo {
    fn default() -> Self {
        CameTo {
            outcome: Outcome::Success,
            verdict: Verdict::Delivered,
            detail: String::new(),
            status: None,
            retry_after: None,
            response: String::new(),
            stopped: false,
        }
    }
}

fn exchange(number: usize, bench: &Bench, means: &mut Means, due: &Due, started_at: u64) -> CameTo {
    let result = send(number, bench, means, due, started_at);
    let (outcome, verdict, detail) = assess(bench.target.format(), &result);
    let came_to = CameTo {
        outcome,
        verdict,
        detail,
        ..CameTo::default()
    };
    match result {
        Ok(answer) if verdict == Verdict::Delivered => CameTo {
            status: Some(answer.status),
            ..came_to
        },
        Ok(answer) => CameTo {
            status: Some(answer.status),
            response: excerpt(&answer.body),
            retry_after: answer.retry_after,
            ..came_to
        },
        Err(error) => CameTo {
            stopped: error.kind == TransportErrorKind::Stopped && bench.stopping(),
            ..came_to
        },
    }
}

fn send(
    number: usize,
    bench: &Bench,
    means: &mut Means,
    due: &Due,
    started_at: u64,
) -> Result<Answer, TransportError> {
    let Means { transport, fields } = means;
    let transport = match transport {
        Some(transport) => transport,
        None => transport.insert(bench.transport(number)?),
    };
    let occasion = Occasion {
        id: due.delivery.id,
        attempt: due.delivery.attempts.saturating_add(1),
        accepted_at: due.delivery.accepted_at,
        started_at,
    };
    let body = prepare(
        &bench.target,
        &bench.headers,
        bench.signer.as_ref(),
        &due.body,
        &occasion,
        fields,
    )?;
    transport.send(Request {
        headers: fields,
        body: &body,
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
