//! How jobs reach the senders of a target, and how many of the senders are awake.
//!
//! Jobs wait in a crossbeam channel, and each sender takes its next one from there. A sender that
//! finds none parks, and is woken when there are more jobs than the awake senders take within
//! [`PATIENCE`]. While a receiver answers in microseconds, one sender that stays awake makes more
//! attempts for its processor time than several that wake each other; with one that takes
//! milliseconds, every waiting job wakes a sender. The worker wakes one, and each sender that takes
//! a job wakes the next, if one more is wanted. The sender that parked last is woken first, since its
//! memory is in the processor's cache and its connection is the least likely to have been closed.
//!
//! **No wake-up is lost.** A sender first joins the parked ones and then looks for a job. A thread
//! that has handed out a job first sends it and then looks for a parked sender. The fences between
//! the two steps order them: either the sender sees the job, or the other thread sees the sender.
//! A sender leaves the parked ones under their lock, so it is woken once, by the thread that removed
//! it, or removes itself and then looks for a job once more before it ends. That a job waits although
//! a sender is parked is therefore a decision, which rests on the time that the awake senders need;
//! [`Senders::supply`](super::senders::Senders::supply) corrects it when they take longer.

use crate::shared::sync::{
    self, AtomicBool, AtomicU64, AtomicUsize, Instant, Mutex, MutexGuard, Receiver, Sender, Thread,
    fence,
};
use crate::worker::handle::TargetHandle;
use crate::worker::job::{Job, Report};
use crate::worker::wakeup::WakeReason;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long a job may wait for the awake senders, by their usual time, before another is woken. A
/// wake-up costs some ten microseconds of processor time.
const PATIENCE: Duration = Duration::from_micros(500);
/// How often a busy sender yields the processor before it parks.
const YIELDS: u32 = 4;
/// How long a sender waits for a job before it ends.
const IDLE: Duration = Duration::from_secs(10);
/// With more waiting jobs than this, a delivery does not wake the worker, however many senders
/// there are.
const PLENTY: usize = 16;

/// A target's jobs under one configuration, and its senders' ends of the channels.
pub(super) struct JobQueue<J = Job> {
    jobs: (Sender<J>, Receiver<J>),
    reports: Sender<Report>,
    handle: Arc<TargetHandle>,
    /// The target's maximum of senders.
    concurrency: NonZeroUsize,
    /// The senders that wait for a job; the last one parked last.
    parked: Mutex<Vec<Arc<Spot>>>,
    /// The length of `parked`.
    parked_count: AtomicUsize,
    /// The running senders, parked ones included.
    running: AtomicUsize,
    closed: AtomicBool,
    /// The moving average of the attempts' time, in nanoseconds; 0 while it is unknown.
    usual_nanos: AtomicU64,
}

/// Where a sender waits for its jobs.
#[derive(Debug)]
pub(super) struct Parking {
    spot: Arc<Spot>,
    /// The jobs that it took since it was last parked.
    in_row: usize,
}

/// What a sender leaves to be woken.
#[derive(Debug)]
struct Spot {
    thread: Thread,
    /// Whether a thread has removed it from the parked ones to wake it. Changed under their lock.
    woken: AtomicBool,
}

impl<J> JobQueue<J> {
    pub(super) fn new(
        handle: Arc<TargetHandle>,
        concurrency: NonZeroUsize,
        reports: Sender<Report>,
    ) -> JobQueue<J> {
        JobQueue {
            // Holds at most the attempts that may be outstanding. Unbounded, since a bounded channel
            // allocates its slots when it is made, also for a target that is never sent anything.
            jobs: sync::unbounded(),
            reports,
            handle,
            concurrency,
            parked: Mutex::default(),
            parked_count: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            usual_nanos: AtomicU64::new(0),
        }
    }

    /// Adds a job. Wakes no sender.
    pub(super) fn push(&self, job: J) {
        // The receiving end is in `self`, so the channel is open.
        drop(self.jobs.0.send(job));
    }

    /// Takes back a waiting job.
    pub(super) fn take_back(&self) -> Option<J> {
        self.jobs.1.try_recv().ok()
    }

    /// The number of waiting jobs.
    pub(super) fn waiting(&self) -> usize {
        self.jobs.1.len()
    }

    /// The number of running senders.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Counts a sender that starts. It is awake.
    pub(super) fn started(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a sender that has ended from the count.
    pub(super) fn ended(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// The senders that make an attempt or look for a job. Add the jobs first.
    pub(super) fn awake(&self) -> usize {
        fence(Ordering::SeqCst);
        let parked = self.parked_count.load(Ordering::Relaxed);
        self.running().saturating_sub(parked)
    }

    /// Whether so many awake senders need longer than [`PATIENCE`] for the waiting jobs.
    pub(super) fn wants_more(&self, awake: usize) -> bool {
        let waiting = self.waiting();
        match self.usual_nanos.load(Ordering::Relaxed) {
            _ if waiting == 0 => false,
            0 => true,
            usual => is_slow(waiting, awake, usual),
        }
    }

    /// Counts an attempt, or one under way for this long already, for the usual time.
    pub(super) fn took(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let usual = self.usual_nanos.load(Ordering::Relaxed);
        let usual = match usual {
            0 => took,
            // That another sender's attempt is lost now and then does not matter.
            _ => usual - usual / 8 + took / 8,
        };
        self.usual_nanos.store(usual, Ordering::Relaxed);
    }

    /// Whether an attempt usually takes less than this.
    pub(super) fn is_faster_than(&self, time: Duration) -> bool {
        let usual = self.usual_nanos.load(Ordering::Relaxed);
        usual != 0 && u128::from(usual) < time.as_nanos()
    }

    /// Raises the usual time to at least this.
    pub(super) fn takes_at_least(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.usual_nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    /// Wakes the sender that parked last. False if none is parked. Add the jobs first.
    pub(super) fn wake(&self) -> bool {
        fence(Ordering::SeqCst);
        if self.parked_count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut parked = self.lock_parked();
        let last = parked.pop();
        if let Some(sender) = &last {
            sender.woken.store(true, Ordering::Release);
        }
        self.parked_count.store(parked.len(), Ordering::Relaxed);
        drop(parked);
        last.map(|sender| sender.thread.unpark()).is_some()
    }

    /// The next job of the sender with this parking. `None` after the idle time-out, or when no more
    /// come.
    pub(super) fn next(&self, me: &mut Parking) -> Option<J> {
        let mut next = self.take_back();
        if next.is_none() && me.in_row > 1 {
            // It was busy, and the worker mostly hands out more at once.
            next = (0..YIELDS).find_map(|_| {
                sync::yield_now();
                self.take_back()
            });
        }
        me.in_row = next.as_ref().map_or(0, |_| me.in_row + 1);
        next = next.or_else(|| self.wait(&me.spot));
        if next.is_some() && self.wants_more(self.awake()) {
            self.wake();
        }
        next
    }

    /// Parks until there is a job.
    fn wait(&self, me: &Arc<Spot>) -> Option<J> {
        let until = Instant::now() + IDLE;
        loop {
            let mut parked = self.lock_parked();
            me.woken.store(false, Ordering::Relaxed);
            parked.push(Arc::clone(me));
            self.parked_count.store(parked.len(), Ordering::Relaxed);
            drop(parked);
            fence(Ordering::SeqCst);
            let is_closed = self.closed.load(Ordering::Relaxed);
            let is_over = is_closed || (self.jobs.1.is_empty() && !me.park(until));
            self.unpark(me);
            let next = self.take_back();
            if next.is_some() || is_over {
                return next;
            }
        }
    }

    /// Removes a sender from the parked ones, unless the thread that woke it has done so.
    fn unpark(&self, me: &Arc<Spot>) {
        if me.woken.load(Ordering::Acquire) {
            return;
        }
        let mut parked = self.lock_parked();
        parked.retain(|other| !Arc::ptr_eq(other, me));
        self.parked_count.store(parked.len(), Ordering::Relaxed);
        drop(parked);
        fence(Ordering::SeqCst);
    }

    fn lock_parked(&self) -> MutexGuard<'_, Vec<Arc<Spot>>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the senders end once no job waits.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        while self.wake() {}
    }

    /// Whether the senders have enough jobs to continue without the worker for a while.
    pub(super) fn is_plenty(&self) -> bool {
        // Enough for half of the senders until the worker is awake.
        self.waiting() > PLENTY.min(self.concurrency.get().div_ceil(2))
    }

    /// Reports to the worker; false if it has ended.
    pub(super) fn report(&self, report: Report) -> bool {
        let reason = match (report.is_delivery(), self.is_plenty()) {
            (false, _) => WakeReason::Urgent,
            (true, false) => WakeReason::FewJobs,
            (true, true) => WakeReason::Delivered,
        };
        let sent = self.reports.send(report).is_ok();
        self.handle.wakeup.wake(reason);
        sent
    }
}

/// Whether so many senders need longer than [`PATIENCE`] for the waiting jobs, if an attempt takes
/// `usual` nanoseconds.
fn is_slow(waiting: usize, awake: usize, usual: u64) -> bool {
    let needed = (waiting as u128) * u128::from(usual);
    needed > PATIENCE.as_nanos() * (awake as u128)
}

impl Parking {
    /// That of the sender whose thread this is.
    pub(super) fn new() -> Parking {
        let spot = Spot {
            thread: sync::current(),
            woken: AtomicBool::new(false),
        };
        Parking {
            spot: Arc::new(spot),
            in_row: 0,
        }
    }
}

impl Spot {
    /// Sleeps; false if it was not woken until then.
    fn park(&self, until: Instant) -> bool {
        while !self.woken.load(Ordering::Acquire) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            sync::park_timeout(left);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::ProgressNotifier;

    const DEADLINE: Duration = Duration::from_secs(60);

    fn queue<J>() -> JobQueue<J> {
        let progress = Arc::new(ProgressNotifier::default());
        let handle = TargetHandle::new("t".into(), true, 1, progress);
        let concurrency = NonZeroUsize::new(4).unwrap();
        JobQueue::new(Arc::new(handle), concurrency, sync::unbounded().0)
    }

    /// Waits until so many senders are parked.
    fn wait_for_parked<J>(queue: &JobQueue<J>, count: usize) {
        let until = Instant::now() + DEADLINE;
        while queue.parked_count.load(Ordering::SeqCst) != count {
            assert!(Instant::now() < until, "{count} senders are not parked");
            std::thread::yield_now();
        }
    }

    #[test]
    fn every_job_is_taken_also_if_it_comes_while_the_senders_park() {
        const ROUNDS: usize = 20_000;
        let queue = queue();
        let (taken, takes) = crossbeam_channel::unbounded();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                queue.started();
                scope.spawn(|| {
                    let mut me = Parking::new();
                    while let Some(job) = queue.next(&mut me) {
                        taken.send(job).unwrap();
                    }
                });
            }
            for round in 0..ROUNDS {
                let jobs = 1 + round % 5;
                for job in 0..jobs {
                    queue.push(job);
                }
                // As long as one is awake, it takes the jobs before it parks.
                if queue.awake() == 0 {
                    queue.wake();
                }
                for _ in 0..jobs {
                    let taken = takes.recv_timeout(DEADLINE);
                    taken.expect("a job is left while all senders are parked");
                }
            }
            queue.close();
        });
    }

    #[test]
    fn the_sender_that_parked_last_is_woken_first() {
        let queue = queue();
        let (taken, takes) = crossbeam_channel::unbounded();
        std::thread::scope(|scope| {
            for sender in 0..3 {
                let (queue, taken) = (&queue, taken.clone());
                queue.started();
                scope.spawn(move || {
                    if queue.next(&mut Parking::new()).is_some() {
                        taken.send(sender).unwrap();
                    }
                });
                wait_for_parked(queue, sender + 1);
            }
            for sender in [2, 1, 0] {
                queue.push(());
                assert!(queue.wake());
                assert_eq!(takes.recv_timeout(DEADLINE), Ok(sender));
            }
            assert!(!queue.wake(), "none is parked");
        });
    }

    #[test]
    fn a_closed_queue_gives_out_its_jobs_and_then_ends_its_senders() {
        let queue = queue();
        std::thread::scope(|scope| {
            let parked = scope.spawn(|| queue.next(&mut Parking::new()));
            wait_for_parked(&queue, 1);
            queue.close();
            assert_eq!(parked.join().unwrap(), None);
        });
        queue.push(1);
        let mut me = Parking::new();
        assert_eq!((queue.next(&mut me), queue.next(&mut me)), (Some(1), None));
    }

    #[test]
    fn another_sender_is_wanted_if_those_awake_take_too_long() {
        let queue = queue();
        assert!(!queue.wants_more(0), "no job waits");
        for _ in 0..8 {
            queue.push(());
        }
        assert!(queue.wants_more(4), "the usual time is unknown");
        queue.took(PATIENCE / 10);
        assert!(!queue.wants_more(1), "8 jobs take less than the patience");
        queue.took(PATIENCE * 10);
        assert!(queue.wants_more(4));
        queue.push(());
        assert!(queue.wants_more(8));
        queue.took(Duration::ZERO);
        for _ in 0..100 {
            queue.took(PATIENCE / 10);
        }
        assert!(!queue.wants_more(1));
        queue.takes_at_least(PATIENCE * 2);
        assert!(queue.wants_more(8));
    }
}
