//! The senders of a target: starts more when more attempts are outstanding, and others when
//! settings change.

use crate::delivery::Endpoint;
use crate::shared::sync::{self, Builder, Instant, JoinHandle, Receiver, Sender};
use crate::target::gate::Permit;
use crate::target::lanes::Batch;
use crate::worker::handle::TargetHandle;
use crate::worker::job::{Job, Report};
use crate::worker::job_queue::JobQueue;
use crate::worker::sender;
use crate::worker::wakeup::WakeReasons;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Above this number of senders in all, a target gets only its first one: a thread needs four
/// memory mappings, and Linux aborts a process that needs more than 65,530.
const MOST_SENDERS: usize = 8192;
/// How long no waiting job may be taken before another sender is woken or started, whatever time
/// the attempts took before.
const STALL: Duration = Duration::from_millis(1);
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

/// The senders of a target, their job queue, and the channel of their reports.
pub(crate) struct Senders {
    handle: Arc<TargetHandle>,
    endpoint: Arc<Endpoint>,
    job_queue: Arc<JobQueue>,
    /// Jobs that were put in the queue. Those that wait were not taken yet.
    handed_out: usize,
    /// How many jobs of the queue had been taken when it was looked at, and when that was; `None`
    /// unless jobs wait that another sender could take.
    stalled: Option<(usize, Instant)>,
    reports: (Sender<Report>, Receiver<Report>),
    /// All running senders, those under old settings included.
    running: HashMap<usize, SenderHandle>,
    next_number: usize,
}

impl Senders {
    pub(crate) fn new(handle: Arc<TargetHandle>, endpoint: Arc<Endpoint>) -> Senders {
        // Holds at most one report for each attempt handed out and each sender. Unbounded,
        // since new settings may allow more, and a sender must not block on its report.
        let reports = sync::unbounded();
        Senders {
            job_queue: job_queue(&handle, &endpoint, &reports.0),
            handle,
            endpoint,
            handed_out: 0,
            stalled: None,
            reports,
            running: HashMap::new(),
            next_number: 0,
        }
    }

    /// Hands out an attempt. [`supply`](Senders::supply) wakes a sender for it.
    pub(crate) fn hand_out(&mut self, batch: Batch, permit: Permit) {
        let recalls = self.endpoint.recalls.load(Ordering::SeqCst);
        self.handed_out += 1;
        self.job_queue.push(Job {
            batch,
            permit,
            recalls,
        });
    }

    /// Wakes or starts senders for the waiting jobs, of this many outstanding attempts. Returns
    /// whether to look again after [`STALL`]: jobs wait that the awake senders are expected to take
    /// soon.
    ///
    /// # Errors
    /// The system provided no thread; running senders continue.
    pub(crate) fn supply(&mut self, outstanding: usize) -> std::io::Result<Option<Duration>> {
        let mut forced = self.is_stalled();
        loop {
            let waiting = self.job_queue.waiting();
            let awake = self.job_queue.awake();
            if waiting == 0 || awake >= outstanding {
                self.stalled = None;
                return Ok(None);
            }
            if !forced && awake > 0 && !self.job_queue.wants_more(awake) {
                return Ok(self.watch(waiting));
            }
            forced = false;
            if self.job_queue.wake() {
                // It wakes the next one.
                return Ok(self.watch(waiting));
            }
            if !self.may_start() {
                self.stalled = None;
                return Ok(None);
            }
            self.start()?;
        }
    }

    /// Whether none of the waiting jobs was taken for [`STALL`].
    fn is_stalled(&mut self) -> bool {
        let taken = self.handed_out - self.job_queue.waiting().min(self.handed_out);
        let is_stalled =
            (self.stalled).is_some_and(|(then, since)| then == taken && since.elapsed() >= STALL);
        if is_stalled {
            // The next jobs do not wait for that.
            self.job_queue.takes_at_least(STALL);
        }
        if is_stalled || self.stalled.is_some_and(|(then, _)| then != taken) {
            self.stalled = None;
        }
        is_stalled
    }

    /// Remembers how many jobs were taken, and when to look whether there were more.
    fn watch(&mut self, waiting: usize) -> Option<Duration> {
        let parked = self.job_queue.running() > self.job_queue.awake();
        if !parked && !self.may_start() {
            self.stalled = None;
            return None;
        }
        let taken = self.handed_out - waiting.min(self.handed_out);
        let (_, since) = *self.stalled.get_or_insert_with(|| (taken, Instant::now()));
        Some(STALL.saturating_sub(since.elapsed()))
    }

    /// Whether another sender may be started.
    fn may_start(&self) -> bool {
        let concurrency = self.endpoint.target().concurrency().get();
        let current = self.job_queue.running();
        // Senders under old settings count, too; but even if all of them hang, one starts.
        let former = self.running.len() - current;
        let most = concurrency.saturating_sub(former).max(1);
        current < most && may_grow(current, SENDERS.load(Ordering::Relaxed))
    }

    fn start(&mut self) -> std::io::Result<()> {
        let counted = Counted::new();
        let number = self.next_number;
        self.next_number += 1;
        let endpoint = Arc::clone(&self.endpoint);
        let job_queue = Arc::clone(&self.job_queue);
        let thread = Builder::new()
            .name(format!("send-{}-{number}", self.handle.name))
            .spawn(move || {
                let _counted = counted;
                sender::run(number, &endpoint, &job_queue);
            })?;
        self.job_queue.started();
        let endpoint = Arc::clone(&self.endpoint);
        let sender = SenderHandle { thread, endpoint };
        self.running.insert(number, sender);
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
            if Arc::ptr_eq(&sender.endpoint, &self.endpoint) {
                self.job_queue.ended();
            }
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
        self.job_queue.take_back()
    }

    /// Continues under other settings. Take back all jobs first. Senders under old settings end
    /// after their attempt, since their job queue is closed.
    pub(crate) fn reconfigure(&mut self, endpoint: Arc<Endpoint>) {
        self.job_queue.close();
        self.job_queue = job_queue(&self.handle, &endpoint, &self.reports.0);
        self.endpoint = endpoint;
        self.handed_out = 0;
        self.stalled = None;
    }

    /// Whether all senders are busy and enough jobs wait for them.
    pub(crate) fn are_busy(&self, outstanding: usize) -> bool {
        let concurrency = self.endpoint.target().concurrency();
        outstanding > concurrency.get() && self.job_queue.is_plenty()
    }

    /// Whether an attempt usually takes less than this.
    pub(crate) fn are_faster_than(&self, time: Duration) -> bool {
        self.job_queue.is_faster_than(time)
    }

    /// Aborts the attempts under way. Senders return waiting jobs untried and end.
    pub(crate) fn stop(&mut self) {
        self.job_queue.close();
        for sender in self.running.values() {
            sender.endpoint.stop();
        }
    }

    /// Waits for the next report; `None` once no sender runs.
    pub(crate) fn last_report(&self) -> Option<Report> {
        while !self.running.is_empty() {
            let report = self.report();
            if report.is_some() {
                return report;
            }
            let wakeup = &self.handle.wakeup;
            wakeup.wait(WakeReasons::REPORTS, None, || self.reports() == 0);
        }
        None
    }
}

impl Drop for Senders {
    /// Ends the senders, also after a panic of the worker.
    fn drop(&mut self) {
        self.job_queue.close();
    }
}

fn job_queue(
    handle: &Arc<TargetHandle>,
    endpoint: &Endpoint,
    reports: &Sender<Report>,
) -> Arc<JobQueue> {
    let concurrency = endpoint.target().concurrency();
    let queue = JobQueue::new(Arc::clone(handle), concurrency, reports.clone());
    Arc::new(queue)
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
