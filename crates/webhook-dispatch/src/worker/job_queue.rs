//! Where a sender gets its jobs, and says what came of them.

use crate::worker::handle::Line;
use crate::worker::sender::{Job, Report};
use crate::worker::wakeup::News;
use crossbeam_channel::{Receiver, Sender};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// How long a sender waits for a job before it ends.
const IDLE: Duration = Duration::from_secs(10);
/// With more jobs lying ready than this, a courier need not hear at once of a delivery, however
/// many senders there are.
const PLENTY: usize = 16;

/// Where a sender gets its jobs, and says what came of them.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) jobs: Receiver<Job>,
    pub(crate) reports: Sender<Report>,
    pub(crate) line: Arc<Line>,
    /// Senders that there may be.
    pub(crate) concurrency: NonZeroUsize,
}

/// Whether so much lies ready that the senders do not need their courier for a while.
pub(crate) fn is_plenty(jobs: &Receiver<Job>, concurrency: NonZeroUsize) -> bool {
    // Enough for half of them until the courier is awake.
    jobs.len() > PLENTY.min(concurrency.get().div_ceil(2))
}

impl Desk {
    /// The next job. None once there was none for long, and when there will be none.
    pub(crate) fn next(&self) -> Option<Job> {
        let job = self.jobs.try_recv();
        job.or_else(|_| self.jobs.recv_timeout(IDLE)).ok()
    }

    /// Tells the courier what came of a job; false if it is gone. A delivery waits until it looks
    /// around, as long as enough lies ready for the senders.
    pub(crate) fn report(&self, report: Report) -> bool {
        let news = if report.is_delivery() && is_plenty(&self.jobs, self.concurrency) {
            News::Delivered
        } else {
            News::Urgent
        };
        let told = self.reports.send(report).is_ok();
        self.line.bell.ring(news);
        told
    }
}
