//! A courier's senders: more while there is more to do, others when the settings change.

use super::{Courier, PAUSE};
use crate::shared::clock::Moment;
use crate::shared::incident::Incident;
use crate::shared::stats::add;
use crate::target::most_handed_out;
use crate::worker::job_queue::Desk;
use crate::worker::sender::{self, Bench, Job};
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

/// Senders of all targets together, beyond which a target has one at most: a thread needs four
/// mappings, of which Linux gives a process 65,530, and ends it when there are no more.
const MOST_SENDERS: usize = 8192;
/// Senders that there are in this process.
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

/// A sender at work.
pub(super) struct Hired {
    pub(super) thread: JoinHandle<()>,
    pub(super) bench: Arc<Bench>,
}

impl Courier {
    /// Starts what is missing for what was handed out.
    pub(super) fn start_senders(&mut self, now: Instant) {
        let concurrency = self.bench.target.concurrency().get();
        // Those of former settings count, too; but if they all hang, one begins all the same.
        let former = self.senders.len() - self.current;
        let most = concurrency.saturating_sub(former).max(1);
        let wanted = self.agenda.outstanding().min(most);
        while self.current < wanted && may_grow(self.current, SENDERS.load(Ordering::Relaxed)) {
            let counted = Counted::new();
            let number = self.next_sender;
            self.next_sender += 1;
            let (bench, its_bench) = (Arc::clone(&self.bench), Arc::clone(&self.bench));
            let desk = Desk {
                jobs: self.jobs_in.clone(),
                reports: self.reports_out.clone(),
                line: Arc::clone(&self.line),
                concurrency: self.bench.target.concurrency(),
            };
            let started = std::thread::Builder::new()
                .name(format!("send-{}-{number}", self.line.name))
                .spawn(move || {
                    let _counted = counted;
                    sender::run(number, &bench, &desk);
                });
            match started {
                Ok(thread) => {
                    let bench = its_bench;
                    self.senders.insert(number, Hired { thread, bench });
                    self.current += 1;
                }
                Err(error) => {
                    self.observer.incident(&Incident::SenderNotStarted {
                        target: &self.line.name,
                        detail: &error.to_string(),
                    });
                    self.set_alarm(now + PAUSE);
                    break;
                }
            }
        }
    }

    /// Goes on under other settings. Attempts under way end under theirs, and their senders after
    /// them, as they get no more; what was handed out and not begun is taken back.
    pub(super) fn reconfigure(&mut self, bench: Arc<Bench>, now: Instant) {
        self.take_back(now);
        let (jobs, jobs_in) = job_channel(&bench);
        (self.jobs, self.jobs_in) = (Some(jobs), jobs_in);
        self.agenda.reconfigure(&bench.target, now);
        self.bench = bench;
        self.current = 0;
    }

    pub(super) fn take_back(&mut self, now: Instant) {
        while let Ok(job) = self.jobs_in.try_recv() {
            self.agenda.untried(job.due.lane, job.pass, now);
        }
    }

    /// Cuts short what is under way, and joins every sender.
    pub(super) fn finish(mut self) {
        self.jobs = None;
        for sender in self.senders.values() {
            sender.bench.stop();
        }
        while !self.senders.is_empty() {
            match self.reports.recv() {
                Ok(report) => self.take_report(report, Moment::of(&*self.clock)),
                Err(_) => break,
            }
        }
        self.tell_progress();
        if !self.stopping {
            // It has retired: what it still knows of lies in the queue, and the line may be
            // another courier's by now.
            self.line.counters.forget_memory();
            self.line.tally.progressed();
            return;
        }
        if self.backing.is_none() {
            let unfinished = self.line.counters.pending.swap(0, Ordering::SeqCst);
            add(
                &self.line.counters.unfinished,
                u64::try_from(unfinished).unwrap_or(0),
            );
        }
        self.show();
        self.line.end();
    }
}

/// Room for what the agenda hands out at most.
pub(super) fn job_channel(bench: &Bench) -> (Sender<Job>, Receiver<Job>) {
    crossbeam_channel::bounded(most_handed_out(&bench.target))
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
