//! Which queue a command is about.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use webhook_config::Config;
use webhook_queue::{DiskQueue, Options};

/// The queue's directory, or the configuration that names it.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct QueuePlace {
    /// The queue's directory
    #[arg(long, value_name = "DIR")]
    queue: Option<PathBuf>,

    /// The webhook.json that names it in queue.dir
    #[arg(long, value_name = "PATH")]
    webhook_config: Option<PathBuf>,
}

impl QueuePlace {
    /// The directory.
    pub(crate) fn dir(&self) -> Result<PathBuf> {
        Ok(self.settings()?.0)
    }

    /// Opens the queue; none is created.
    pub(crate) fn open(&self) -> Result<DiskQueue> {
        let (dir, options) = self.settings()?;
        DiskQueue::open_existing(&dir, &options)
            .with_context(|| format!("cannot open the queue in {}", dir.display()))
    }

    /// Whether its bound is known: it is the configuration's, and is not kept in the queue.
    pub(crate) fn knows_bound(&self) -> bool {
        self.webhook_config.is_some()
    }

    fn settings(&self) -> Result<(PathBuf, Options)> {
        if let Some(dir) = &self.queue {
            return Ok((dir.clone(), Options::default()));
        }
        let Some(path) = &self.webhook_config else {
            bail!("name the queue with --queue DIR or --webhook-config PATH");
        };
        let loaded = Config::load(path)?;
        let settings = loaded.config.queue();
        let options = Options::with_max_bytes(settings.max_bytes());
        Ok((settings.dir().to_owned(), options))
    }
}
