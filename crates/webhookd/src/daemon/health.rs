//! Whether the program is alive, and whether it can accept events.

use crate::console::chain;
use serde::Serialize;
use webhook_dispatch::Stats;
use webhook_queue::{QueueError, WriterStatistics};

/// The problems found; none if both lists are empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// Problems that only a restart solves.
    pub(crate) dead: Vec<Reason>,
    /// Problems that keep it from accepting events, besides those in `dead`.
    pub(crate) hindered: Vec<Reason>,
}

/// How far the program is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Running,
    Stopping,
}

/// One problem.
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
        phase: Phase,
        stats: &Stats,
        writer: Option<&WriterStatistics>,
        is_full: bool,
        failing: Option<&str>,
        [unreadable, unusable]: [Option<&QueueError>; 2],
    ) -> Health {
        let mut health = Health::default();
        match phase {
            Phase::Stopping => {
                // Target workers end now, so their end is no problem.
                let detail = "webhookd is shutting down and accepts no more events";
                health.hindered.push(Reason::new("stopping", detail));
                return health;
            }
            Phase::Starting => {
                let detail = "webhookd is starting";
                health.hindered.push(Reason::new("starting", detail));
            }
            Phase::Running => {}
        }
        health.check_threads(stats, writer);
        health.check_queue(writer, is_full, failing, [unreadable, unusable]);
        health
    }

    fn check_threads(&mut self, stats: &Stats, writer: Option<&WriterStatistics>) {
        for target in stats.targets.iter().filter(|it| !it.worker_running) {
            let detail = "the thread that delivers to this target has ended";
            self.dead.push(Reason {
                target: Some(target.name.clone()),
                ..Reason::new("target-worker-ended", detail)
            });
        }
        if writer.is_some_and(|writer| writer.ended) {
            let detail = "the thread that writes to the queue has ended";
            self.dead.push(Reason::new("writer-ended", detail));
        }
    }

    fn check_queue(
        &mut self,
        writer: Option<&WriterStatistics>,
        is_full: bool,
        failing: Option<&str>,
        [unreadable, unusable]: [Option<&QueueError>; 2],
    ) {
        if is_full || writer.is_some_and(|writer| writer.blocked) {
            let detail = "the queue has no room for events until some are delivered or dropped";
            self.hindered.push(Reason::new("queue-full", detail));
        }
        if let Some(error @ QueueError::Unavailable { .. }) = unusable {
            // It is also why commits and reads fail.
            self.hindered
                .push(Reason::new("queue-unavailable", chain(error)));
            return;
        }
        if let Some(failing) = failing {
            let detail = format!("the last commit failed: {failing}");
            self.hindered.push(Reason::new("queue-failing", detail));
        }
        if let Some(error) = unreadable {
            self.hindered
                .push(Reason::new("queue-unreadable", chain(error)));
        }
        if let Some(error) = unusable {
            self.hindered
                .push(Reason::new("queue-unusable", chain(error)));
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.dead.is_empty()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.dead.is_empty() && self.hindered.is_empty()
    }

    /// All problems.
    pub(crate) fn reasons(&self) -> Vec<Reason> {
        self.dead.iter().chain(&self.hindered).cloned().collect()
    }
}
