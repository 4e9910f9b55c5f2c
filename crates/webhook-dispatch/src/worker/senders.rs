//! The senders of a target: more of them while there is more to do, others when settings change.

use crate::delivery::Endpoint;
use crate::target::gate::Permit;
use crate::target::lanes::Due;
use crate::target::most_handed_out;
use crate::worker::handle::TargetHandle;
use crate::worker::sender::{self, Job, JobQueue, Report, is_plenty};
use crossbeam_channel::{Receiver, Sender};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Senders of all targets together, beyond which a target has one at most: a thread needs four
/// mappings, of which Linux gives a process 65,530, and ends it when there are no more.
const MOST_SENDERS: usize = 8192;
/// Senders in this process.
static SENDERS: AtomicUsize = AtomicUsize::new(0);

/// Counts a sender for as long as it lives.
struct Counted;

impl Counted {
    fn new() -> Counted {
        SENDERS.fetch_add(1, Ordering::Relaxed);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        SENDERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a target that has `its` senders may have another, where there are `all`.
fn may_grow(its: usize, all: usize) -> bool {
    its == 0 || all < MOST_SENDERS
}

/// A sender that runs.
struct SenderHandle {
    thread: JoinHandle<()>,
    endpoint: Arc<Endpoint>,
}

/// The senders of a target, the jobs on their way to them, and their reports.
pub(crate) struct Senders {
    handle: Arc<TargetHandle>,
    endpoint: Arc<Endpoint>,
    jobs: Sender<Job>,
    /// The other end, from which jobs are taken back.
    waiting: Receiver<Job>,
    reports: (Sender<Report>, Receiver<Report>),
    /// All that run, those under former settings included.
    running: HashMap<usize, SenderHandle>,
    /// How many of them have the present settings.
    current: usize,
    next_number: usize,
}

impl Senders {
    pub(crate) fn new(handle: Arc<TargetHandle>, endpoint: Arc<Endpoint>) -> Senders {
        let (jobs, waiting) = job_channel(&endpoint);
        Senders {
            handle,
            endpoint,
            jobs,
            waiting,
            // No more than the attempts handed out, whatever the settings become. A sender must be
            // able to report before it wakes the worker.
            reports: crossbeam_channel::unbounded(),
            running: HashMap::new(),
            current: 0,
            next_number: 0,
        }
    }

    /// Hands out an attempt.
    pub(crate) fn hand_out(&self, due: Due, permit: Permit) {
        let recalls = self.endpoint.recalls.load(Ordering::SeqCst);
        let job = Job {
            due,
            permit,
            recalls,
        };
        self.jobs
            .try_send(job)
            .expect("the channel holds as many jobs as are handed out");
    }

    /// Starts senders for so many outstanding attempts.
    ///
    /// # Errors
    /// The system started no thread; those that run go on.
    pub(crate) fn start(&mut self, outstanding: usize) -> std::io::Result<()> {
        let concurrency = self.endpoint.target().concurrency();
        // Those under former settings count, too; but if they all hang, one starts all the same.
        let former = self.running.len() - self.current;
        let most = concurrency.get().saturating_sub(former).max(1);
        let wanted = outstanding.min(most);
        while self.current < wanted && may_grow(self.current, SENDERS.load(Ordering::Relaxed)) {
            let counted = Counted::new();
            let number = self.next_number;
            self.next_number += 1;
            let endpoint = Arc::clone(&self.endpoint);
            let job_queue = JobQueue {
                jobs: self.waiting.clone(),
                reports: self.reports.0.clone(),
                handle: Arc::clone(&self.handle),
                concurrency,
            };
            let thread = std::thread::Builder::new()
                .name(format!("send-{}-{number}", self.handle.name))
                .spawn(move || {
                    let _counted = counted;
                    sender::run(number, &endpoint, &job_queue);
                })?;
            let endpoint = Arc::clone(&self.endpoint);
            let sender = SenderHandle { thread, endpoint };
            self.running.insert(number, sender);
            self.current += 1;
        }
        Ok(())
    }

    /// The next report.
    pub(crate) fn report(&self) -> Option<Report> {
        self.reports.1.try_recv().ok()
    }

    /// Reports that wait.
    pub(crate) fn reports(&self) -> usize {
        self.reports.1.len()
    }

    /// Forgets a sender that reported its end.
    pub(crate) fn ended(&mut self, number: usize) {
        if let Some(sender) = self.running.remove(&number) {
            self.current -= usize::from(Arc::ptr_eq(&sender.endpoint, &self.endpoint));
            // Its last report is here; a panic outside an attempt shows in this join.
            drop(sender.thread.join());
        }
    }

    /// Has jobs that were not begun returned untried.
    pub(crate) fn recall(&self) {
        self.endpoint.recall();
    }

    /// Takes back a job that was not begun.
    pub(crate) fn take_back(&self) -> Option<Job> {
        self.waiting.try_recv().ok()
    }

    /// Goes on under other settings. Take back all jobs first. Senders under former settings end
    /// after their attempt, as they get no more jobs.
    pub(crate) fn reconfigure(&mut self, endpoint: Arc<Endpoint>) {
        (self.jobs, self.waiting) = job_channel(&endpoint);
        self.endpoint = endpoint;
        self.current = 0;
    }

    /// Whether all senders are at work, and have enough jobs for when they are not.
    pub(crate) fn are_busy(&self, outstanding: usize) -> bool {
        let concurrency = self.endpoint.target().concurrency();
        outstanding > concurrency.get() && is_plenty(&self.waiting, concurrency)
    }

    /// Cuts short what is under way. Senders end after the jobs that wait.
    pub(crate) fn stop(&mut self) {
        // Closes the channel that the senders receive from.
        self.jobs = crossbeam_channel::bounded(0).0;
        for sender in self.running.values() {
            sender.endpoint.stop();
        }
    }

    /// Waits for the next report; `None` once no sender runs.
    pub(crate) fn last_report(&self) -> Option<Report> {
        if self.running.is_empty() {
            return None;
        }
        self.reports.1.recv().ok()
    }
}

/// Room for the attempts that are handed out at most.
fn job_channel(endpoint: &Endpoint) -> (Sender<Job>, Receiver<Job>) {
    crossbeam_channel::bounded(most_handed_out(endpoint.target()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_sender_however_many_the_others_have() {
        assert!(may_grow(0, usize::MAX));
        assert!(may_grow(1, MOST_SENDERS - 1));
        assert!(!may_grow(1, MOST_SENDERS));
    }

    #[test]
    fn a_sender_counts_for_as_long_as_it_lives() {
        let before = SENDERS.load(Ordering::Relaxed);
        let counted = Counted::new();
        assert_eq!(SENDERS.load(Ordering::Relaxed), before + 1);
        drop(counted);
        assert_eq!(SENDERS.load(Ordering::Relaxed), before);
    }
}
