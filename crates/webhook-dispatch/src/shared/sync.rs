//! The synchronization of a worker and its senders: the standard library's, or loom's in the tests of
//! `worker/models.rs`, which try every order in which the threads may run.

#[cfg(not(all(test, loom)))]
pub(crate) use crossbeam_channel::{Receiver, Sender, unbounded};
#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, fence},
    sync::{Mutex, MutexGuard},
    thread::{Builder, JoinHandle, Thread, current, park, park_timeout, yield_now},
    time::Instant,
};

#[cfg(all(test, loom))]
pub(crate) use {
    self::model::{
        Builder, Instant, Receiver, Sender, Thread, current, park, park_timeout, unbounded,
    },
    loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, fence},
    loom::sync::{Condvar, Mutex, MutexGuard},
    loom::thread::{JoinHandle, yield_now},
};

/// What loom does not have, or has otherwise than the standard library.
#[cfg(all(test, loom))]
mod model {
    use crossbeam_channel::{SendError, TryRecvError};
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::sync::{Condvar, Mutex};
    use std::ops::Add;
    use std::sync::Arc;
    use std::time::Duration;

    /// No time passes in a model.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub(crate) fn now() -> Instant {
            Instant(Duration::ZERO)
        }

        pub(crate) fn checked_add(self, time: Duration) -> Option<Instant> {
            self.0.checked_add(time).map(Instant)
        }

        pub(crate) fn saturating_duration_since(self, earlier: Instant) -> Duration {
            self.0.saturating_sub(earlier.0)
        }

        pub(crate) fn elapsed(self) -> Duration {
            Instant::now().saturating_duration_since(self)
        }
    }

    impl Add<Duration> for Instant {
        type Output = Instant;

        fn add(self, time: Duration) -> Instant {
            Instant(self.0 + time)
        }
    }

    /// The stack of a thread, in words. loom's own of 32 KiB is too small for a sender that is not
    /// optimized.
    const STACK: usize = 1 << 16;

    /// Starts threads.
    pub(crate) struct Builder(loom::thread::Builder);

    impl Builder {
        pub(crate) fn new() -> Builder {
            Builder(loom::thread::Builder::new().stack_size(STACK))
        }

        pub(crate) fn name(self, name: String) -> Builder {
            Builder(self.0.name(name))
        }

        pub(crate) fn spawn<T: Send + 'static>(
            self,
            run: impl FnOnce() -> T + Send + 'static,
        ) -> std::io::Result<loom::thread::JoinHandle<T>> {
            self.0.spawn(run)
        }
    }

    /// Counts the operations of a channel, so that loom tries them in every order. It orders nothing
    /// else: whatever a thread needs besides the channel's content has to be ordered by the fences.
    #[derive(Debug, Default)]
    struct Operations(AtomicUsize);

    impl Operations {
        fn begin(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[derive(Debug)]
    pub(crate) struct Sender<T>(crossbeam_channel::Sender<T>, Arc<Operations>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(crossbeam_channel::Receiver<T>, Arc<Operations>);

    pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let operations = Arc::<Operations>::default();
        (
            Sender(sender, Arc::clone(&operations)),
            Receiver(receiver, operations),
        )
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, value: T) -> Result<(), SendError<T>> {
            self.1.begin();
            self.0.send(value)
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Sender<T> {
            Sender(self.0.clone(), Arc::clone(&self.1))
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
            self.1.begin();
            self.0.try_recv()
        }

        pub(crate) fn len(&self) -> usize {
            self.1.begin();
            self.0.len()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.len() == 0
        }
    }

    /// A thread that parks. The `unpark` of loom would also wake it from its wait for a lock.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Thread(Arc<(Mutex<bool>, Condvar)>);

    loom::thread_local! {
        static CURRENT: Thread = Thread::default();
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    pub(crate) fn park() {
        let Thread(thread) = current();
        let (is_woken, wake) = &*thread;
        let mut is_woken = is_woken.lock().unwrap();
        while !*is_woken {
            is_woken = wake.wait(is_woken).unwrap();
        }
        *is_woken = false;
    }

    /// A thread that is never woken is reported by loom as a deadlock.
    pub(crate) fn park_timeout(_: Duration) {
        park();
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            let (is_woken, wake) = &*self.0;
            *is_woken.lock().unwrap() = true;
            wake.notify_one();
        }
    }
}
