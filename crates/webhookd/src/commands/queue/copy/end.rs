//! The two ends of a copy: which queue, and how it is opened.

use crate::database;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_config::{Config, PostgresSettings, PostgresUrl, QueueSettings};
use webhook_queue::{DiskQueue, Options, Queue, QueueError};
use webhook_queue_postgres::Role;

/// How often it is looked whether the workers of a database have ended.
const STEP: Duration = Duration::from_millis(100);
/// Beyond the lease, how long a worker that is gone may seem to be there.
const SLACK: Duration = Duration::from_secs(1);
/// How long the slots may take to be claimed, once there is no other worker.
const CLAIM: Duration = Duration::from_secs(30);

/// A queue that is copied from or to.
#[derive(Debug)]
pub(super) struct End {
    settings: QueueSettings,
}

impl End {
    /// The queue in a directory or a database, or that of a configuration.
    ///
    /// # Errors
    /// The URL or the configuration is not valid.
    pub(super) fn new(place: Option<&Path>, config: Option<&Path>) -> Result<End> {
        let settings = match (place, config) {
            (Some(place), _) => match place.to_str().filter(|text| PostgresUrl::is_one(text)) {
                Some(url) => {
                    let postgres = PostgresSettings::new(url.parse()?);
                    QueueSettings::new("").with_postgres(postgres)
                }
                None => QueueSettings::new(place),
            },
            (None, Some(config)) => Config::load(config)?.config.queue().clone(),
            (None, None) => bail!("name the queue, or the configuration that names it"),
        };
        Ok(End { settings })
    }

    pub(super) fn location(&self) -> String {
        self.settings.location()
    }

    /// The same directory, or the same database and schema?
    pub(super) fn is_same(&self, other: &End) -> bool {
        let real =
            |path: &Path| -> PathBuf { path.canonicalize().unwrap_or_else(|_| path.to_owned()) };
        match (self.settings.postgres(), other.settings.postgres()) {
            (Some(one), Some(other)) => one.url() == other.url() && one.schema() == other.schema(),
            (None, None) => real(self.settings.dir()) == real(other.settings.dir()),
            _ => false,
        }
    }

    /// Opens a queue that exists, and that nothing else uses.
    ///
    /// # Errors
    /// There is none, it is in use, or cannot be opened.
    pub(super) fn open_source(&self) -> Result<Arc<dyn Queue>> {
        let opened = self.open_unused_source();
        opened.with_context(|| format!("cannot copy from {}", self.location()))
    }

    fn open_unused_source(&self) -> Result<Arc<dyn Queue>> {
        let options = Options::with_max_bytes(self.settings.max_bytes());
        match self.settings.postgres() {
            None => Ok(Arc::new(DiskQueue::open_existing(
                self.settings.dir(),
                &options,
            )?)),
            Some(postgres) => {
                let queue = database::open(&self.settings, postgres, Role::Operator)?;
                wait_for_workers(&*queue, postgres.lease(), 0)?;
                Ok(queue)
            }
        }
    }

    /// Opens a queue that nothing else uses, or creates one.
    ///
    /// # Errors
    /// It is in use, or cannot be opened.
    pub(super) fn open_target(&self) -> Result<Arc<dyn Queue>> {
        let opened = self.open_unused_target();
        opened.with_context(|| format!("cannot copy to {}", self.location()))
    }

    fn open_unused_target(&self) -> Result<Arc<dyn Queue>> {
        let settings = &self.settings;
        let Some(postgres) = settings.postgres() else {
            let options = Options {
                max_last_states: settings.max_last_states(),
                ..Options::with_max_bytes(settings.max_bytes())
            };
            return Ok(Arc::new(DiskQueue::open(settings.dir(), &options)?));
        };
        match database::open(settings, postgres, Role::Operator) {
            // So that no slot is taken from workers that run.
            Ok(queue) => wait_for_workers(&*queue, postgres.lease(), 0)?,
            // There are no tables yet, if the same is not said below.
            Err(QueueError::Unusable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let queue = database::open(settings, postgres, Role::Worker)?;
        wait_for_workers(&*queue, postgres.lease(), 1)?;
        Ok(queue)
    }
}

/// Waits until a shared queue has so many workers, and they have all slots. A worker that was killed
/// is there until its lease ends.
///
/// # Errors
/// Others run.
fn wait_for_workers(queue: &dyn Queue, lease: Duration, wanted: usize) -> Result<()> {
    let start = Instant::now();
    loop {
        let shared = queue.statistics()?.shared.unwrap_or_default();
        let slots: u16 = shared.workers.iter().map(|worker| worker.slots).sum();
        let has_slots = wanted == 0 || slots == shared.slots;
        if shared.workers.len() == wanted && has_slots {
            return Ok(());
        }
        let others = shared.workers.iter().filter(|worker| !worker.is_this);
        let names: Vec<_> = others.map(|worker| worker.name.as_str()).collect();
        if !names.is_empty() && start.elapsed() > lease + SLACK {
            let names = names.join(", ");
            bail!("it is used by the workers {names}: stop them first");
        }
        if start.elapsed() > lease + CLAIM {
            bail!(
                "its slots could not be claimed: {} of {}",
                slots,
                shared.slots
            );
        }
        std::thread::sleep(STEP);
    }
}

/// Checks that no worker has begun to use a shared queue.
///
/// # Errors
/// One has.
pub(super) fn check_unused(queue: &dyn Queue) -> Result<()> {
    let shared = queue.statistics()?.shared.unwrap_or_default();
    match shared.workers.iter().find(|worker| !worker.is_this) {
        None => Ok(()),
        Some(other) => bail!(
            "the worker {} has begun to use {} meanwhile: stop it, and repeat the copy",
            other.name,
            shared.storage
        ),
    }
}
