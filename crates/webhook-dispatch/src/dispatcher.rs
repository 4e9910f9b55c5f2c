//! The dispatcher: starts the threads, owns them, and ends them.

use crate::control::Control;
use crate::http::HttpConnector;
use crate::http::transport::Connector;
use crate::intake::{Router, RoutingTable, Submitter};
use crate::monitor::Monitor;
use crate::shared::event_ids::EventIds;
use crate::shared::{Clock, Observer, Shared, Silent, Stats, SystemClock};
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
/// Dropped, it tells its threads to stop and does not wait for them; nothing that was accepted for
/// a reliable target is lost. [`shutdown`](Dispatcher::shutdown) is the orderly end. Its queue is
/// closed once all its submitters and monitors are dropped, too.
pub struct Dispatcher {
    supervisor: Arc<Supervisor>,
    router: Arc<Router>,
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

/// How a dispatcher ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Whether everything accepted was delivered, or given up, before the end.
    pub drained: bool,
    /// Deliveries that came to nothing, since the queue's record of the event turned out to be
    /// damaged: it was quarantined, and no target is owed it.
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
        Submitter::new(Arc::clone(&self.router))
    }

    /// What shows its figures, also to other threads.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor::new(Arc::clone(&self.router))
    }

    /// What changes what it does, also from other threads.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.supervisor), Arc::clone(&self.router))
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
        self.monitor().pending()
    }

    /// Waits until nothing is pending; whether that came about. Gives up when nothing has been
    /// settled for `patience`, when `give_up` is set, and at once when all that is pending is for
    /// targets that were told to wait, or stopped after a 410.
    #[must_use]
    pub fn drain(&self, patience: Option<Duration>, give_up: &AtomicBool) -> bool {
        let monitor = self.monitor();
        self.router.shared.progress.wait(patience, None, || {
            monitor.is_at_rest() || give_up.load(Ordering::SeqCst)
        });
        self.pending() == 0
    }

    /// Takes nothing more, waits up to `grace` for what is pending, then cuts short what is under
    /// way and ends every thread. What reliable targets are owed stays in the queue.
    pub fn shutdown(self, grace: Duration) -> ShutdownReport {
        let shared = &self.router.shared;
        shared.close();
        let monitor = self.monitor();
        // A target that stopped or was paused is not waited for.
        let deadline = Instant::now().checked_add(grace);
        shared
            .progress
            .wait(None, deadline, || monitor.is_at_rest());
        let drained = self.pending() == 0;
        self.supervisor.shutdown();
        if let Some(storage) = self.router.storage() {
            storage.writer.shutdown();
        }
        let storage = self.router.storage();
        let queue = storage.map(|storage| storage.queue.statistics());
        if let Some(Ok(queue)) = &queue {
            monitor.leave_out_damaged(queue);
        }
        let stats = monitor.snapshot(queue.and_then(Result::ok).unwrap_or_default());
        let targets = stats.targets.iter().chain(&stats.removed);
        let damaged = targets.map(|target| target.damaged).sum();
        ShutdownReport {
            // What was submitted at the last moment may be pending now.
            drained: drained && damaged == 0 && self.pending() == 0,
            damaged,
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
        let connector = self
            .connector
            .unwrap_or_else(|| Arc::new(HttpConnector::new()));
        let ids = EventIds::new().map_err(StartError::System)?;
        let clock = Arc::new(Guarded(self.clock));
        let observer = Arc::new(Guarded(self.observer));
        let shared = Arc::new(Shared::new(clock, observer, ids));
        let empty = RoutingTable::new(Arc::new(self.config.clone()), Vec::new(), Vec::new());
        let router = Arc::new(Router::new(shared, empty));
        let retry = Arc::new(Guarded(self.retry));
        let supervisor = Supervisor::new(Arc::clone(&router), connector, retry, self.queue);
        let dispatcher = Dispatcher {
            supervisor: Arc::new(supervisor),
            router,
        };
        dispatcher.control().reload(self.config)?;
        Ok(dispatcher)
    }
}
