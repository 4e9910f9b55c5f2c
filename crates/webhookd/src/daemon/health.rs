//! Whether the program does its work, and whether it can take more.

use super::Daemon;
use crate::console::chain;
use serde::Serialize;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use webhook_dispatch::Stats;
use webhook_queue::{QueueError, WriterStatistics};

/// How long a failed commit speaks against the next. Whoever is not sent events while this is not
/// ready would else never find out that the disk is well again.
const FAILURE_COUNTS: Duration = Duration::from_secs(10);

/// What is wrong, if anything is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// What only a restart can mend.
    pub(crate) dead: Vec<Reason>,
    /// What hinders it from accepting events; `dead` is not repeated here.
    pub(crate) hindered: Vec<Reason>,
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reason {
    pub(crate) code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    pub(crate) detail: String,
}

impl Reason {
    fn new(code: &'static str, detail: impl Into<String>) -> Reason {
        Reason {
            code,
            target: None,
            detail: detail.into(),
        }
    }
}

impl Health {
    pub(super) fn of(
        daemon: &Daemon,
        stats: &Stats,
        writer: Option<&WriterStatistics>,
        unreadable: Option<&QueueError>,
    ) -> Health {
        let mut health = Health::default();
        if daemon.stopping.load(Ordering::SeqCst) {
            // Couriers end now, and that is well.
            let detail = "webhookd is about to end; it accepts nothing more";
            health.hindered.push(Reason::new("stopping", detail));
            return health;
        }
        if !daemon.ready.load(Ordering::SeqCst) {
            let detail = "webhookd is about to start";
            health.hindered.push(Reason::new("starting", detail));
        }
        health.look_at_threads(stats, writer);
        health.look_at_queue(daemon, writer, unreadable);
        health
    }

    fn look_at_threads(&mut self, stats: &Stats, writer: Option<&WriterStatistics>) {
        for target in stats.targets.iter().filter(|it| !it.worker_running) {
            let detail = "the thread that delivers to this target has ended";
            self.dead.push(Reason {
                target: Some(target.name.clone()),
                ..Reason::new("courier-ended", detail)
            });
        }
        if writer.is_some_and(|writer| writer.ended) {
            let detail = "the thread that writes to the queue has ended";
            self.dead.push(Reason::new("writer-ended", detail));
        }
    }

    fn look_at_queue(
        &mut self,
        daemon: &Daemon,
        writer: Option<&WriterStatistics>,
        unreadable: Option<&QueueError>,
    ) {
        if daemon.monitor.is_full() || writer.is_some_and(|writer| writer.blocked) {
            let detail = "the queue has no room for events until some are delivered or dropped";
            self.hindered.push(Reason::new("queue-full", detail));
        }
        if let Some(failing) = writer.and_then(failing) {
            let detail = format!("the last commit failed: {failing}");
            self.hindered.push(Reason::new("queue-failing", detail));
        }
        if let Some(error) = unreadable {
            self.hindered
                .push(Reason::new("queue-unreadable", chain(error)));
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.dead.is_empty()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.dead.is_empty() && self.hindered.is_empty()
    }

    /// Everything that is wrong.
    pub(crate) fn reasons(&self) -> Vec<Reason> {
        self.dead.iter().chain(&self.hindered).cloned().collect()
    }
}

/// Why commits fail, if the next one is likely to.
fn failing(writer: &WriterStatistics) -> Option<&String> {
    let lately = |at: Instant| at.elapsed() < FAILURE_COUNTS;
    let failing = writer.failing.as_ref()?;
    writer.failed_at.is_none_or(lately).then_some(failing)
}
