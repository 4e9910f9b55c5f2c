//! The dispatcher: starts the threads, owns them, and ends them.

use crate::clock::{Clock, SystemClock};
use crate::control::Control;
use crate::courier::{Backing, Courier, Ledger, Supplies};
use crate::line::{Command, Line, Tally};
use crate::monitor::Monitor;
use crate::naming::Names;
use crate::retry::{FullJitter, Retry};
use crate::sender::Bench;
use crate::stats::Stats;
use crate::submission::BEST_EFFORT_WINDOW;
use crate::submit::{Inner, Route, Submitter};
use crate::transport::Connector;
use crate::trouble::{Observer, Silent};
use crate::ureq_transport::HttpConnector;
use crate::writer::Writer;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use webhook_config::Config;
use webhook_queue::{DiskQueue, Options, Queue, QueueError, RecentKeys};

/// Events on their way to a courier, at most: its channel is allocated whole.
const LIVE: usize = 4096;

/// Delivers events to the targets of a configuration, on threads of its own.
///
/// Dropped, it tells its threads to stop and does not wait for them; nothing that was accepted for
/// a reliable target is lost. [`shutdown`](Dispatcher::shutdown) is the orderly end. Its queue is
/// closed once all its submitters and monitors are dropped, too.
pub struct Dispatcher {
    inner: Arc<Inner>,
    couriers: Vec<JoinHandle<()>>,
    tally: Arc<Tally>,
}

/// Starts a [`Dispatcher`]. All that touches the world can be replaced.
#[must_use]
pub struct DispatcherBuilder {
    config: Config,
    queue: Option<Arc<dyn Queue>>,
    connector: Option<Arc<dyn Connector>>,
    clock: Arc<dyn Clock>,
    retry: Arc<dyn Retry>,
    observer: Arc<dyn Observer>,
}

/// Why a dispatcher did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The queue cannot be opened or read.
    #[error("the queue cannot be used")]
    Queue(#[source] QueueError),
    /// A target's settings cannot be used.
    #[error("target {target}: {detail}")]
    Target {
        /// The target's name.
        target: String,
        /// What is wrong.
        detail: String,
    },
    /// The system refused a thread, or randomness.
    #[error("the system refused what a dispatcher needs")]
    System(#[source] std::io::Error),
}

/// How a dispatcher ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Whether everything accepted was delivered, or given up, before the end.
    pub drained: bool,
    /// Deliveries that came to nothing, since the queue's record of the event turned out to be
    /// damaged: it was set aside, and is owed to nobody.
    pub damaged: u64,
    /// The last figures. What is `pending` is safe in the queue; what is `unfinished` is lost.
    pub stats: Stats,
}

impl Dispatcher {
    /// Begins to configure a dispatcher.
    pub fn builder(config: Config) -> DispatcherBuilder {
        DispatcherBuilder {
            config,
            queue: None,
            connector: None,
            clock: Arc::new(SystemClock),
            retry: Arc::new(FullJitter),
            observer: Arc::new(Silent),
        }
    }

    /// What takes events for it.
    #[must_use]
    pub fn submitter(&self) -> Submitter {
        Submitter::new(Arc::clone(&self.inner))
    }

    /// What shows its figures, also to other threads.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor {
            inner: Arc::clone(&self.inner),
        }
    }

    /// What changes what it does, also from other threads.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.inner))
    }

    /// Its figures.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn stats(&self) -> Result<Stats, QueueError> {
        self.monitor().stats()
    }

    /// Events accepted and neither delivered nor given up, over all targets.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.inner.pending()
    }

    /// Waits until nothing is pending; whether that came about. Gives up when nothing has been
    /// settled for `patience`, or `give_up` is set.
    #[must_use]
    pub fn drain(&self, patience: Option<Duration>, give_up: &AtomicBool) -> bool {
        let drained = || self.pending() == 0;
        self.tally.wait(patience, None, || {
            drained() || give_up.load(Ordering::SeqCst)
        });
        drained()
    }

    /// Takes nothing more, waits up to `grace` for what is pending, then cuts short what is under
    /// way and ends every thread. What reliable targets are owed stays in the queue.
    pub fn shutdown(mut self, grace: Duration) -> ShutdownReport {
        self.inner.closed.store(true, Ordering::SeqCst);
        let inner = Arc::clone(&self.inner);
        let done = || {
            inner.unwritten() == 0
                && inner
                    .lines
                    .iter()
                    // One that was told to stop, or to wait, has nothing to be waited for.
                    .all(|line| line.counters.pending() == 0 || line.is_held())
        };
        self.tally
            .wait(None, Instant::now().checked_add(grace), done);
        let drained = self.pending() == 0;
        self.stop();
        for courier in self.couriers.drain(..) {
            // A courier that panicked has left its events in the queue.
            drop(courier.join());
        }
        if let Some(writer) = &self.inner.writer {
            writer.shutdown();
        }
        let queue = self.inner.queue.as_ref().map(|queue| queue.statistics());
        let queue = queue.and_then(Result::ok).unwrap_or_default();
        let damaged = self.inner.leave_out_damaged(&queue);
        ShutdownReport {
            // What was submitted at the last moment may be pending now.
            drained: drained && self.pending() == 0,
            damaged,
            stats: self.inner.snapshot(queue),
        }
    }

    fn stop(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        for line in &self.inner.lines {
            line.command(Command::Stop);
        }
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        if !self.couriers.is_empty() {
            self.stop();
        }
    }
}

impl fmt::Debug for DispatcherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DispatcherBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl DispatcherBuilder {
    /// Keeps events here, instead of in the directory that the configuration names.
    pub fn queue(mut self, queue: Arc<dyn Queue>) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Sends through this, instead of over HTTP.
    pub fn connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Asks this for the time.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Asks this when to try again.
    pub fn retry(mut self, retry: Arc<dyn Retry>) -> Self {
        self.retry = retry;
        self
    }

    /// Tells this of trouble.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Opens the queue, unless every target is best-effort, and starts a thread for each target
    /// and one for the queue. What the queue holds from before is delivered first.
    ///
    /// # Errors
    /// Nothing was started, and nothing in the queue was changed.
    pub fn start(self) -> Result<Dispatcher, StartError> {
        let targets = self.config.targets();
        let any_reliable = targets
            .iter()
            .any(|target| target.delivery() == webhook_config::Delivery::Reliable);
        let queue = match self.queue {
            Some(queue) if any_reliable => Some(queue),
            None if any_reliable => {
                let settings = self.config.queue();
                let options = Options::with_max_bytes(settings.max_bytes());
                let queue = DiskQueue::open(settings.dir(), &options).map_err(StartError::Queue)?;
                Some(Arc::new(queue) as Arc<dyn Queue>)
            }
            _ => None,
        };
        let pending: HashMap<String, u64> = match &queue {
            None => HashMap::new(),
            Some(queue) => queue
                .statistics()
                .map_err(StartError::Queue)?
                .targets
                .into_iter()
                .map(|target| (target.target, target.pending))
                .collect(),
        };
        let connector = self
            .connector
            .unwrap_or_else(|| Arc::new(HttpConnector::new()));
        let names = Names::new().map_err(StartError::System)?;
        let tally = Arc::new(Tally::default());
        let mut lines = Vec::new();
        let mut benches = Vec::new();
        for target in targets {
            let target = Arc::new(target.clone());
            let unusable = |detail| StartError::Target {
                target: target.name().to_string(),
                detail,
            };
            // Settings that no sender could use are told now.
            connector
                .transport(&target)
                .map_err(|error| unusable(error.message))?;
            let bench = Bench::new(
                Arc::clone(&target),
                Arc::clone(&connector),
                Arc::clone(&self.clock),
            )
            .map_err(unusable)?;
            let (events_in, events) = crossbeam_channel::bounded(target.window().get().min(LIVE));
            let (commands_in, commands) = crossbeam_channel::bounded(16);
            let line = Line::new(
                Arc::clone(&target),
                Arc::clone(&tally),
                events_in,
                commands_in,
            );
            let owed = pending.get(target.name().as_str()).copied().unwrap_or(0);
            line.counters
                .pending
                .store(i64::try_from(owed).unwrap_or(i64::MAX), Ordering::SeqCst);
            lines.push(Arc::new(line));
            benches.push((Arc::new(bench), events, commands));
        }
        let writer = match &queue {
            None => None,
            Some(queue) => Some(Arc::new(
                Writer::start(Arc::clone(queue), &lines, self.config.queue().when_full())
                    .map_err(StartError::System)?,
            )),
        };
        let backing = match (&queue, &writer) {
            (Some(queue), Some(writer)) => Some(Backing {
                queue: Arc::clone(queue),
                ledger: Arc::clone(writer) as Arc<dyn Ledger>,
            }),
            _ => None,
        };
        let reliable = lines.iter().filter(|line| line.is_reliable()).cloned();
        let inner = Arc::new(Inner {
            reliable: Route::new(reliable.collect()),
            writer,
            names,
            recent: Mutex::new(RecentKeys::new(BEST_EFFORT_WINDOW)),
            clock: Arc::clone(&self.clock),
            observer: Arc::clone(&self.observer),
            max_event_bytes: self.config.max_event_bytes(),
            closed: AtomicBool::new(false),
            lines,
            queue,
        });
        let mut dispatcher = Dispatcher {
            inner,
            couriers: Vec::new(),
            tally,
        };
        for (index, (bench, events, commands)) in benches.into_iter().enumerate() {
            let line = Arc::clone(&dispatcher.inner.lines[index]);
            let courier = Courier::new(Supplies {
                backing: backing.clone().filter(|_| line.is_reliable()),
                bench,
                retry: Arc::clone(&self.retry),
                observer: Arc::clone(&self.observer),
                events,
                commands,
                line: Arc::clone(&line),
            });
            let thread = std::thread::Builder::new()
                .name(format!("lane-{}", line.name))
                .spawn(move || courier.run())
                .map_err(StartError::System)?;
            dispatcher.couriers.push(thread);
        }
        Ok(dispatcher)
    }
}
