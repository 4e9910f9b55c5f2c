//! Decides which targets have a worker, and starts, reconfigures and stops workers when the
//! configuration changes. May use intake and the layers below it.
//!
//! A configuration takes effect in two steps. The plan does all that can fail: it checks each
//! target's settings, opens the queue, and starts threads that wait for their beginning. Carrying
//! it out replaces the routing table, and cannot fail.

mod guarded;
mod pending_worker;
mod plan;
mod reload;
mod workers;

pub(crate) use self::guarded::Guarded;
pub use self::reload::{ReloadError, Reloaded};

use self::pending_worker::PendingWorker;
use self::plan::{ExistingWorker, Need, Opened, Plan, WorkerChange};
use self::workers::{Workers, key_of};
use crate::delivery::Endpoint;
use crate::http::transport::Connector;
use crate::intake::{Router, RoutingTable, Storage, TargetEntry};
use crate::shared::{Shared, Tracer};
use crate::target::retry::Retry;
use crate::worker::handle::{Command, TargetHandle};
use crate::worker::{QueueAccess, SettlementSink, WorkerContext};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use webhook_config::{Config, Delivery, InputName, QueueSettings, Target};
use webhook_queue::{DeadLetterLimits, DiskQueue, Options, Queue, QueueError, Quotas};

/// Events in the channel to a worker, at most.
const CHANNEL: usize = 1024;

/// Starts, reconfigures and stops the workers of a dispatcher.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    router: Arc<Router>,
    connector: Arc<dyn Connector>,
    retry: Arc<dyn Retry>,
    tracer: Option<Arc<dyn Tracer>>,
    /// Used instead of the configured queue.
    queue: Option<Arc<dyn Queue>>,
    /// Locked while workers are started or ended.
    workers: Mutex<Workers>,
}

impl Supervisor {
    pub(crate) fn new(
        router: Arc<Router>,
        connector: Arc<dyn Connector>,
        retry: Arc<dyn Retry>,
        tracer: Option<Arc<dyn Tracer>>,
        queue: Option<Arc<dyn Queue>>,
    ) -> Supervisor {
        Supervisor {
            shared: Arc::clone(&router.shared),
            router,
            connector,
            retry,
            tracer,
            queue,
            workers: Mutex::default(),
        }
    }

    /// The workers. Reloads wait while the lock is held.
    pub(crate) fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a configuration in force.
    pub(crate) fn reload(&self, config: Config) -> Result<Reloaded, ReloadError> {
        let mut workers = self.workers();
        if self.shared.is_closed() {
            return Err(ReloadError::ShuttingDown);
        }
        let plan = self.plan(&workers, config)?;
        Ok(self.carry_out(&mut workers, plan))
    }

    /// Commands every worker to stop.
    pub(crate) fn stop(&self) {
        for handle in self.router.routing_table().handles() {
            handle.command(Command::Stop);
        }
    }

    /// Commands the workers of reliable targets to end once nothing is under way.
    pub(crate) fn retire_reliable(&self) {
        let mut workers = self.workers();
        for handle in self.router.routing_table().handles() {
            if handle.is_reliable() {
                workers.retire(handle);
            }
        }
    }

    /// Stops and joins every worker. A reload under way ends first, and stops the workers that it
    /// started.
    pub(crate) fn shutdown(&self) {
        let mut workers = self.workers();
        self.stop();
        workers.join();
    }

    /// Does everything of a reload that can fail.
    fn plan(&self, workers: &Workers, config: Config) -> Result<Plan, ReloadError> {
        let mut reloaded = Reloaded::default();
        let config = Arc::new(self.with_open_queue(workers, config, &mut reloaded));
        let before = self.router.routing_table();
        let needs = config
            .targets()
            .iter()
            .map(|target| self.need(workers, &before, target, &mut reloaded))
            .collect::<Result<Vec<_>, _>>()?;
        let opened = self.open(workers, &config)?;
        let storage = opened.0.as_ref().or(self.router.storage());
        count_owed(workers, storage, &needs)?;
        let mut entries = Vec::new();
        let mut changes = Vec::new();
        for need in needs {
            entries.push(need.entry.clone());
            changes.push(self.change(workers, storage, need)?);
        }
        let is_configured = |handle: &Arc<TargetHandle>| {
            entries
                .iter()
                .any(|entry| Arc::ptr_eq(&entry.handle, handle))
        };
        for entry in before
            .entries
            .iter()
            .filter(|entry| !is_configured(&entry.handle))
        {
            reloaded.removed.push(entry.handle.name.to_string());
        }
        reloaded.inputs = changed_inputs(&before.config, &config);
        let mut former: Vec<Arc<TargetHandle>> = workers.handles.values().cloned().collect();
        former.retain(|handle| !is_configured(handle));
        former.sort_by(|a, b| (&a.name, a.is_reliable()).cmp(&(&b.name, b.is_reliable())));
        Ok(Plan {
            routing_table: RoutingTable::new(config, entries, former, Some(&before)),
            changes,
            opened,
            reloaded,
        })
    }

    /// Keeps the settings of an open queue, and lists those that the new configuration changes.
    fn with_open_queue(
        &self,
        workers: &Workers,
        config: Config,
        reloaded: &mut Reloaded,
    ) -> Config {
        let Some(now) = &workers.queue_settings else {
            return config;
        };
        let wanted = config.queue();
        let is_shared = now.postgres().is_some();
        if now.postgres() != wanted.postgres() {
            let (now, wanted) = (now.location(), wanted.location());
            let what = match now == wanted {
                true => {
                    "queue.postgres stays as it was: restart the program to change it".to_owned()
                }
                false => format!("queue stays {now}: restart the program to make it {wanted}"),
            };
            reloaded.kept.push(format!("{what}, as the file has it"));
        }
        let mut kept = |key: &str, now: String, wanted: String| {
            if now != wanted {
                reloaded.kept.push(format!(
                    "{key} stays {now}: restart the program to make it {wanted}"
                ));
            }
        };
        if self.queue.is_none() || is_shared {
            let key = match is_shared {
                true => "queue.postgres.stateDir",
                false => "queue.dir",
            };
            let shown = |settings: &QueueSettings| settings.dir().display().to_string();
            if is_shared == wanted.postgres().is_some() {
                kept(key, shown(now), shown(wanted));
            }
            let shown = |settings: &QueueSettings| settings.max_bytes().to_string();
            kept("queue.maxBytes", shown(now), shown(wanted));
            let shown = |settings: &QueueSettings| settings.max_last_states().to_string();
            kept("queue.maxLastStates", shown(now), shown(wanted));
        }
        let shown = |settings: &QueueSettings| settings.when_full().name().to_owned();
        kept("queue.whenFull", shown(now), shown(wanted));
        let dead_letters = *wanted.dead_letters();
        config.with_queue(now.clone().with_dead_letters(dead_letters))
    }

    /// Compares a configured target with the existing one, and checks its settings.
    fn need(
        &self,
        workers: &Workers,
        before: &RoutingTable,
        target: &Target,
        reloaded: &mut Reloaded,
    ) -> Result<Need, ReloadError> {
        let name = target.name().as_str();
        let key = key_of(target);
        let entry = before.entry(name);
        let entry = entry.filter(|entry| entry.handle.is_reliable() == key.1);
        if let Some(entry) = entry
            && *entry.target == *target
            && entry.handle.is_running()
        {
            reloaded.unchanged.push(name.to_owned());
            return Ok(Need {
                entry: entry.clone(),
                endpoint: None,
                worker: ExistingWorker::Running,
            });
        }
        let target = Arc::new(target.clone());
        let endpoint = Some(self.endpoint(&target)?);
        let handle = workers.handles.get(&key).cloned();
        let worker = match &handle {
            Some(handle) if !handle.is_running() => ExistingWorker::None,
            Some(_) if entry.is_some() => ExistingWorker::Running,
            Some(_) => ExistingWorker::Retiring,
            None => ExistingWorker::None,
        };
        let other = workers.handles.get(&(Arc::clone(&key.0), !key.1));
        if worker == ExistingWorker::Retiring && other.is_some_and(|other| other.is_running()) {
            return Err(ReloadError::StillEnding {
                target: name.to_owned(),
            });
        }
        match entry {
            Some(_) => reloaded.changed.push(name.to_owned()),
            None => reloaded.added.push(name.to_owned()),
        }
        let handle = handle.unwrap_or_else(|| {
            let events = target.window().get().min(CHANNEL);
            Arc::new(TargetHandle::new(
                key.0,
                key.1,
                events,
                Arc::clone(&self.shared.progress),
            ))
        });
        Ok(Need {
            entry: TargetEntry::new(handle, target),
            endpoint,
            worker,
        })
    }

    /// The endpoint of a target's senders. Fails if the target's settings cannot be used.
    fn endpoint(&self, target: &Arc<Target>) -> Result<Arc<Endpoint>, ReloadError> {
        let unusable = |detail| ReloadError::Target {
            target: target.name().to_string(),
            detail,
        };
        let transport = self.connector.transport(target);
        drop(transport.map_err(|error| unusable(error.message))?);
        let connector = Arc::clone(&self.connector);
        let endpoint = Endpoint::new(
            Arc::clone(target),
            connector,
            Arc::clone(&self.shared.clock),
            self.tracer.clone(),
        );
        Ok(Arc::new(endpoint.map_err(unusable)?))
    }

    /// Opens the queue, if this is the first configuration with a reliable target.
    fn open(&self, workers: &Workers, config: &Config) -> Result<Opened, ReloadError> {
        let mut targets = config.targets().iter();
        let wanted = targets.any(|target| target.delivery() == Delivery::Reliable);
        if !wanted || self.router.storage().is_some() {
            return Ok(Opened(None));
        }
        let settings = config.queue();
        let queue = match &self.queue {
            Some(queue) => Arc::clone(queue),
            None if settings.postgres().is_some() => {
                return Err(ReloadError::Queue(QueueError::Unusable {
                    storage: settings.location(),
                    detail:
                        "a database is opened at the start alone: restart the program, or give \
                             the queue to the builder"
                            .to_owned(),
                }));
            }
            None => {
                let options = Options {
                    max_last_states: settings.max_last_states(),
                    ..Options::with_max_bytes(settings.max_bytes())
                };
                let queue = DiskQueue::open(settings.dir(), &options);
                Arc::new(queue.map_err(ReloadError::Queue)?)
            }
        };
        let handles = Arc::clone(&workers.reliable);
        let clock = Arc::clone(&self.shared.clock);
        let storage = Storage::start(queue, handles, settings.when_full(), clock);
        Ok(Opened(Some(storage.map_err(ReloadError::System)?)))
    }

    /// The change that a target's worker needs; a new worker's thread is started.
    fn change(
        &self,
        workers: &Workers,
        storage: Option<&Storage>,
        need: Need,
    ) -> Result<WorkerChange, ReloadError> {
        let Some(endpoint) = need.endpoint else {
            return Ok(WorkerChange::Keep);
        };
        if need.worker == ExistingWorker::Running {
            return Ok(WorkerChange::Reconfigure(endpoint));
        }
        let handle = need.entry.handle;
        let queue_access = storage.filter(|_| handle.is_reliable());
        let pending = PendingWorker::start(WorkerContext {
            predecessors: workers.ends_of(&handle.name),
            handle,
            endpoint: Arc::clone(&endpoint),
            queue_access: queue_access.map(|storage| QueueAccess {
                queue: Arc::clone(&storage.queue),
                settlements: Arc::clone(&storage.writer) as Arc<dyn SettlementSink>,
            }),
            retry: Arc::clone(&self.retry),
            observer: Arc::clone(&self.shared.observer),
        })
        .map_err(ReloadError::System)?;
        Ok(match need.worker {
            ExistingWorker::Retiring => WorkerChange::Revive(endpoint, pending),
            _ => WorkerChange::Start(pending),
        })
    }

    /// Puts a plan in force. It cannot fail.
    fn carry_out(&self, workers: &mut Workers, mut plan: Plan) -> Reloaded {
        if let Some(storage) = plan.opened.0.take() {
            workers.queue_settings = Some(plan.routing_table.config.queue().clone());
            self.router.set_storage(storage);
        }
        if let Some(storage) = self.router.storage() {
            storage.queue.set_quotas(quotas(&plan.routing_table.config));
        }
        let entries = plan.routing_table.entries.iter();
        let handles: Vec<_> = entries.map(|entry| Arc::clone(&entry.handle)).collect();
        workers.add_handles(&handles);
        // Workers begin before an event can meet the new table: a best-effort target without one
        // drops it.
        for (handle, change) in handles.iter().zip(plan.changes) {
            workers.apply(handle, change);
        }
        let before = self.router.replace_routing_table(plan.routing_table);
        for handle in before.entries.iter().map(|entry| &entry.handle) {
            if !handles.iter().any(|kept| Arc::ptr_eq(kept, handle)) {
                workers.retire(handle);
            }
        }
        workers.reap();
        if self.shared.is_closed() {
            // The shutdown may have come before the new workers were known.
            self.stop();
        }
        plan.reloaded
    }
}

/// What the targets of a configuration may use of the queue.
pub(crate) fn quotas(config: &Config) -> Quotas {
    let targets = config.targets().iter();
    let reliable = targets.filter(|target| target.delivery() == Delivery::Reliable);
    let dead_letters = config.queue().dead_letters();
    let retained = config.targets().iter().filter_map(|target| {
        let limits = target.retain().map(|retain| DeadLetterLimits {
            max_bytes: retain.max_bytes(),
            max_age: retain.max_age(),
            ..DeadLetterLimits::default()
        })?;
        Some((Arc::from(target.name().as_str()), limits))
    });
    Quotas {
        owed: reliable
            .map(|target| (Arc::from(target.name().as_str()), target.max_owed_bytes()))
            .collect(),
        retained: retained.collect(),
        dead_letters: DeadLetterLimits {
            max_bytes: config.queue().max_dead_letter_bytes(),
            max_count: dead_letters.max_count(),
            max_age: dead_letters.max_age(),
        },
    }
}

/// The names of inputs that only one of two configurations has, or whose schemas differ.
fn changed_inputs(before: &Config, now: &Config) -> Vec<String> {
    let removed = before
        .inputs()
        .filter(|(name, _)| now.input(name).is_none());
    let names = now.inputs().chain(removed).map(|(name, _)| name);
    let changed = names.filter(|name| before.input(name) != now.input(name));
    let listed = changed.map(|name| match name {
        "" => InputName::DEFAULT.to_owned(),
        name => name.to_owned(),
    });
    listed.collect()
}

/// Sets the pending events of new targets to what the queue holds for them.
fn count_owed(
    workers: &Workers,
    storage: Option<&Storage>,
    needs: &[Need],
) -> Result<(), ReloadError> {
    let handles = needs.iter().map(|need| &need.entry.handle);
    let is_new = |handle: &&Arc<TargetHandle>| {
        handle.is_reliable()
            && !workers
                .handles
                .contains_key(&(Arc::clone(&handle.name), true))
    };
    let mut new = handles.filter(is_new).peekable();
    let (Some(_), Some(storage)) = (new.peek(), storage) else {
        return Ok(());
    };
    let statistics = storage.queue.statistics().map_err(ReloadError::Queue)?;
    let owed: HashMap<String, u64> = statistics
        .targets
        .into_iter()
        .map(|target| (target.target, target.pending))
        .collect();
    for handle in new {
        let owed = owed.get(&*handle.name).copied().unwrap_or(0);
        let owed = i64::try_from(owed).unwrap_or(i64::MAX);
        handle.counters.pending.store(owed, Ordering::SeqCst);
    }
    Ok(())
}
