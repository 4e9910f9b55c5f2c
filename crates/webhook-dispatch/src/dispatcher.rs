//! The dispatcher: its builder, its handles, drain and shutdown.

use crate::control::Control;
use crate::http::HttpConnector;
use crate::http::transport::Connector;
use crate::intake::{Router, RoutingTable, Submitter};
use crate::monitor::Monitor;
use crate::shared::event_ids::EventIds;
use crate::shared::{Clock, Observer, Shared, Silent, Stats, SystemClock, Tracer};
use crate::supervisor::{Guarded, ReloadError, Supervisor};
use crate::target::retry::{FullJitter, Retry};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use webhook_config::Config;
use webhook_queue::{Queue, QueueError};

/// Delivers events to the targets of a configuration, on threads of its own.
///
/// [`shutdown`](Dispatcher::shutdown) ends it in order. A drop signals the threads to stop without
/// waiting for them; what reliable targets are owed stays in the queue. The queue is closed once
/// all submitters, monitors and controls are dropped, too.
pub struct Dispatcher {
    supervisor: Arc<Supervisor>,
    router: Arc<Router>,
}

/// Configures and starts a [`Dispatcher`]. Its queue, transport, clock, retry schedule and observer
/// can be replaced.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use webhook_config::{Config, Target, TargetUrl};
/// use webhook_dispatch::{ChannelObserver, Dispatcher};
/// use webhook_queue::MemoryQueue;
///
/// let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?).build()?;
/// let (observer, incidents) = ChannelObserver::new(1024, |incident| Some(incident.to_string()));
/// let dispatcher = Dispatcher::builder(Config::builder().target(target).build()?)
///     .queue(Arc::new(MemoryQueue::new(1 << 20))) // instead of one on the disk
///     .observer(Arc::new(observer))
///     .start()?;
/// let report = dispatcher.shutdown(Duration::from_secs(1));
/// assert!(report.drained);
/// assert_eq!(incidents.iter().count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct DispatcherBuilder {
    config: Config,
    queue: Option<Arc<dyn Queue>>,
    connector: Option<Arc<dyn Connector>>,
    clock: Arc<dyn Clock>,
    retry: Arc<dyn Retry>,
    observer: Arc<dyn Observer>,
    tracer: Option<Arc<dyn Tracer>>,
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
    /// The system provided no thread, or no randomness.
    #[error("the system provided no thread or no randomness")]
    System(#[source] std::io::Error),
}

impl From<ReloadError> for StartError {
    /// A start is the reload of a dispatcher without targets.
    fn from(error: ReloadError) -> StartError {
        match error {
            ReloadError::Queue(error) => StartError::Queue(error),
            ReloadError::Target { target, detail } => StartError::Target { target, detail },
            ReloadError::System(error) => StartError::System(error),
            error => StartError::System(std::io::Error::other(error)),
        }
    }
}

/// The state that a shutdown left.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Whether every accepted event was delivered or given up before the end.
    pub drained: bool,
    /// Events that cannot be delivered, summed over all targets, since their records in the queue
    /// are damaged and were quarantined.
    pub damaged: u64,
    /// Why the queue could not be [closed](webhook_queue::Queue::close): what it holds is lost when the
    /// process ends. [`Control::close_queue`] tries again.
    pub unsaved: Option<Arc<QueueError>>,
    /// The last statistics. `pending` events are in the queue; `unfinished` ones are lost.
    pub stats: Stats,
}

impl Dispatcher {
    /// A builder with the defaults: HTTP, the configured queue, full jitter, no observer.
    pub fn builder(config: Config) -> DispatcherBuilder {
        DispatcherBuilder {
            config,
            queue: None,
            connector: None,
            clock: Arc::new(SystemClock),
            retry: Arc::new(FullJitter),
            observer: Arc::new(Silent),
            tracer: None,
        }
    }

    /// A handle that submits events.
    #[must_use]
    pub fn submitter(&self) -> Submitter {
        Submitter::new(Arc::clone(&self.router))
    }

    /// A handle that reads the statistics.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor::new(Arc::clone(&self.router))
    }

    /// A handle that reloads, pauses, and repairs the queue.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.supervisor), Arc::clone(&self.router))
    }

    /// The statistics.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn stats(&self) -> Result<Stats, QueueError> {
        self.monitor().stats()
    }

    /// Events accepted and neither delivered nor given up, over all targets.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.monitor().pending()
    }

    /// Waits until nothing is pending, and returns whether nothing is. Events in a shared queue are
    /// pending until any of its processes has settled them; those that another process has stored
    /// count once this one was told of them, a moment later. Returns early when nothing has been
    /// settled for `patience`, when `give_up` is set, and when all pending events are for targets that
    /// are paused or stopped by a 410.
    #[must_use]
    pub fn drain(&self, patience: Option<Duration>, give_up: &AtomicBool) -> bool {
        let monitor = self.monitor();
        self.router.shared.progress.wait(patience, None, || {
            monitor.is_at_rest() || give_up.load(Ordering::SeqCst)
        });
        self.pending() == 0
    }

    /// Refuses new events, waits up to `grace` for pending ones, then aborts the attempts under way
    /// and joins every thread. What reliable targets are owed stays in the queue. If that is shared,
    /// only attempts under way are waited for, and the other processes deliver the rest.
    ///
    /// ```no_run
    /// # use webhook_config::{Config, Target, TargetUrl};
    /// # use webhook_dispatch::Dispatcher;
    /// # let target = Target::builder(TargetUrl::parse("http://localhost:5000/")?).build()?;
    /// # let dispatcher = Dispatcher::builder(Config::builder().target(target).build()?).start()?;
    /// use std::time::Duration;
    ///
    /// let report = dispatcher.shutdown(Duration::from_secs(10));
    /// if !report.drained {
    ///     println!("{} events are in the queue, for the next start", report.stats.targets[0].pending);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(self, grace: Duration) -> ShutdownReport {
        let shared = &self.router.shared;
        shared.close();
        let monitor = self.monitor();
        let shares = self.router.storage();
        let shares = shares.is_some_and(|storage| storage.queue.is_shared());
        if shares {
            // The other processes go on with what is pending.
            self.supervisor.retire_reliable();
        }
        // Paused and stopped targets are not waited for.
        let deadline = Instant::now().checked_add(grace);
        shared
            .progress
            .wait(None, deadline, || monitor.is_at_rest());
        let drained = self.pending() == 0;
        self.supervisor.shutdown();
        if let Some(storage) = self.router.storage() {
            storage.shutdown();
        }
        let storage = self.router.storage();
        let queue = storage.map(|storage| storage.queue.statistics());
        let unsaved = storage.and_then(|storage| storage.queue.close().err());
        if let Some(Ok(queue)) = &queue
            && !shares
        {
            monitor.count_damaged(queue);
        }
        let stats = monitor.snapshot(queue.and_then(Result::ok).unwrap_or_default());
        let targets = stats.targets.iter().chain(&stats.removed);
        let damaged = targets.map(|target| target.damaged).sum();
        ShutdownReport {
            // An event submitted just before `close` may be pending by now.
            drained: drained && damaged == 0 && self.pending() == 0,
            damaged,
            unsaved: unsaved.map(Arc::new),
            stats,
        }
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.router.shared.close();
        self.supervisor.stop();
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
    /// Stores events in this queue instead of in the configured directory.
    pub fn queue(mut self, queue: Arc<dyn Queue>) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Sends through this connector instead of over HTTP.
    pub fn connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Reads the time from this clock instead of the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Schedules retries by this instead of [`FullJitter`].
    pub fn retry(mut self, retry: Arc<dyn Retry>) -> Self {
        self.retry = retry;
        self
    }

    /// Reports incidents to this observer instead of to none.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Reports the attempts at events of sampled traces to this tracer instead of to none.
    pub fn tracer(mut self, tracer: Arc<dyn Tracer>) -> Self {
        self.tracer = Some(tracer);
        self
    }

    /// Opens the queue, unless every target is best-effort, and starts a thread for each target
    /// and one for the queue. Events that the queue holds from before are delivered first.
    ///
    /// # Errors
    /// The queue or a target's settings cannot be used, or the system provides no thread. Nothing
    /// was started, and nothing in the queue was changed.
    pub fn start(self) -> Result<Dispatcher, StartError> {
        let ids = EventIds::new().map_err(StartError::System)?;
        let clock = Arc::new(Guarded(self.clock));
        let observer = Arc::new(Guarded(self.observer));
        let connector = self.connector.unwrap_or_else(|| {
            let observer = Arc::clone(&observer) as Arc<dyn Observer>;
            Arc::new(HttpConnector::new().with_observer(observer))
        });
        let shared = Arc::new(Shared::new(clock, observer, ids));
        let empty = RoutingTable::new(Arc::new(self.config.clone()), Vec::new(), Vec::new(), None);
        let router = Arc::new(Router::new(shared, empty));
        let retry = Arc::new(Guarded(self.retry));
        let tracer = self
            .tracer
            .map(|it| Arc::new(Guarded(it)) as Arc<dyn Tracer>);
        let supervisor = Supervisor::new(Arc::clone(&router), connector, retry, tracer, self.queue);
        let dispatcher = Dispatcher {
            supervisor: Arc::new(supervisor),
            router,
        };
        dispatcher.control().reload(self.config)?;
        Ok(dispatcher)
    }
}
