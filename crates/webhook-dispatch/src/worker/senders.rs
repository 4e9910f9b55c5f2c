//! The senders of a target: starts more when more attempts are outstanding, and others when
//! settings change.

use crate::delivery::Endpoint;
use crate::target::gate::Permit;
use crate::target::lanes::Batch;
use crate::worker::handle::TargetHandle;
use crate::worker::sender::{self, Job, JobQueue, Report, is_plenty};
use crossbeam_channel::{Receiver, Sender};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Above this number of senders in all, a target gets only its first one: a thread needs four
/// memory mappings, and Linux aborts a process that needs more than 65,530.
const MOST_SENDERS: usize = 8192;
/// The senders in this process.
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

/// Whether a target with `its` senders may start another, of `all` in the process.
fn may_grow(its: usize, all: usize) -> bool {
    its == 0 || all < MOST_SENDERS
}

/// A running sender.
struct SenderHandle {
    thread: JoinHandle<()>,
    endpoint: Arc<Endpoint>,
}

/// The senders of a target, and the channels of their jobs and reports.
pub(crate) struct Senders {
    handle: Arc<TargetHandle>,
    endpoint: Arc<Endpoint>,
    jobs: Sender<Job>,
    /// The receiving end of `jobs`, from which waiting jobs are taken back.
    waiting: Receiver<Job>,
    reports: (Sender<Report>, Receiver<Report>),
    /// All running senders, those under old settings included.
    running: HashMap<usize, SenderHandle>,
    /// How many of them have the current settings.
    current: usize,
    next_number: usize,
}

impl Senders {
    pub(crate) fn new(handle: Arc<TargetHandle>, endpoint: Arc<Endpoint>) -> Senders {
        let (jobs, waiting) = job_channel();
        Senders {
            handle,
            endpoint,
            jobs,
            waiting,
            // Holds at most one report for each attempt handed out and each sender. Unbounded,
            // since new settings may allow more, and a sender must not block on its report.
            reports: crossbeam_channel::unbounded(),
            running: HashMap::new(),
            current: 0,
            next_number: 0,
        }
    }

    /// Hands out an attempt.
    pub(crate) fn hand_out(&self, batch: Batch, permit: Permit) {
        let recalls = self.endpoint.recalls.load(Ordering::SeqCst);
        let job = Job {
            batch,
            permit,
            recalls,
        };
        // The receiving end is in `self`, so the channel is open.
        drop(self.jobs.send(job));
    }

    /// Starts senders for this many outstanding attempts.
    ///
    /// # Errors
    /// The system provided no thread; running senders continue.
    pub(crate) fn start(&mut self, outstanding: usize) -> std::io::Result<()> {
        let concurrency = self.endpoint.target().concurrency();
        // Senders under old settings count, too; but even if all of them hang, one starts.
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

    /// The number of waiting reports.
    pub(crate) fn reports(&self) -> usize {
        self.reports.1.len()
    }

    /// Joins a sender that reported its end.
    pub(crate) fn ended(&mut self, number: usize) {
        if let Some(sender) = self.running.remove(&number) {
            self.current -= usize::from(Arc::ptr_eq(&sender.endpoint, &self.endpoint));
            // The thread's result is ignored: its panic, if any, was reported as its end.
            drop(sender.thread.join());
        }
    }

    /// Makes the senders return waiting jobs untried.
    pub(crate) fn recall(&self) {
        self.endpoint.recall();
    }

    /// Takes back a waiting job.
    pub(crate) fn take_back(&self) -> Option<Job> {
        self.waiting.try_recv().ok()
    }

    /// Continues under other settings. Take back all jobs first. Senders under old settings end
    /// after their attempt, since their channel closes.
    pub(crate) fn reconfigure(&mut self, endpoint: Arc<Endpoint>) {
        (self.jobs, self.waiting) = job_channel();
        self.endpoint = endpoint;
        self.current = 0;
    }

    /// Whether all senders are busy and enough jobs wait for them.
    pub(crate) fn are_busy(&self, outstanding: usize) -> bool {
        let concurrency = self.endpoint.target().concurrency();
        outstanding > concurrency.get() && is_plenty(&self.waiting, concurrency)
    }

    /// Aborts the attempts under way. Senders return waiting jobs untried and end.
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

/// A channel of jobs. It holds at most the attempts that may be outstanding. Unbounded, since a
/// bounded channel allocates its slots when it is made, also for a target that is sent nothing.
fn job_channel() -> (Sender<Job>, Receiver<Job>) {
    crossbeam_channel::unbounded()
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
