//! The news of a shared queue, and its pending events, which other processes change, too.

use crate::worker::handle::{Command, ReliableHandles};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use webhook_queue::{News, Queue};

/// How often pending events are counted at least, and how long a shutdown waits for the thread.
const WAIT: Duration = Duration::from_millis(100);

/// Sets the pending events of reliable targets to what a shared queue holds for them.
pub(crate) struct PendingCounts {
    queue: Arc<dyn Queue>,
    handles: ReliableHandles,
    /// Held from reading the queue's counts until they are set, so that older ones do not replace
    /// newer ones. A shared queue knows them without I/O.
    counting: Mutex<()>,
}

impl PendingCounts {
    pub(crate) fn new(queue: Arc<dyn Queue>, handles: ReliableHandles) -> PendingCounts {
        PendingCounts {
            queue,
            handles,
            counting: Mutex::default(),
        }
    }

    /// Sets them. They stay if the queue does not know its counts now.
    pub(crate) fn update(&self) {
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(statistics) = self.queue.statistics() else {
            return;
        };
        let pending = statistics.targets.iter();
        let pending: HashMap<&str, u64> = pending.map(|it| (&*it.target, it.pending)).collect();
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        for (name, handle) in &*handles {
            let pending = pending.get(&**name).copied().unwrap_or(0);
            let pending = i64::try_from(pending).unwrap_or(i64::MAX);
            let before = handle.counters.pending.swap(pending, Ordering::SeqCst);
            if pending < before {
                handle.progress.notify();
            }
        }
    }
}

/// The thread `webhook-news`, which passes the news of a shared queue on to the workers.
pub(crate) struct NewsReader {
    pub(crate) counts: Arc<PendingCounts>,
    ending: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl NewsReader {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system provided no thread.
    pub(crate) fn start(counts: Arc<PendingCounts>) -> io::Result<NewsReader> {
        let ending = Arc::new(AtomicBool::new(false));
        let (ends, counted) = (Arc::clone(&ending), Arc::clone(&counts));
        let thread = std::thread::Builder::new()
            .name("webhook-news".to_owned())
            .spawn(move || {
                while !ends.load(Ordering::SeqCst) {
                    let news = counted.queue.wait_for_news(WAIT);
                    counted.pass_on(news);
                    counted.update();
                }
            })?;
        Ok(NewsReader {
            counts,
            ending,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Ends the thread, and joins it.
    pub(crate) fn shutdown(&self) {
        self.ending.store(true, Ordering::SeqCst);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // After a panic there is no more news, as after a shutdown.
            drop(thread.join());
        }
    }
}

impl Drop for NewsReader {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
    }
}

impl PendingCounts {
    /// Lets the workers read the queue.
    fn pass_on(&self, news: News) {
        if news.is_none() {
            return;
        }
        // Without the lock: a command waits for room in its channel.
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        let handles: Vec<_> = handles.values().cloned().collect();
        for handle in handles {
            if news.reread {
                handle.command(Command::Reread);
            }
            if news.appended {
                handle.read_on();
            }
        }
    }
}
