//! Selects the queue, or the running program, that a command works on.

use crate::admin::client::Client;
use anyhow::{Context, Result, bail};
use hyper::Method;
use std::path::PathBuf;
use webhook_config::Config;
use webhook_queue::{DiskQueue, Options};

/// The queue's directory, the configuration that names it, or the address of a running program.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Which queue")]
pub(crate) struct QueueSelector {
    #[command(flatten)]
    which: Which,

    /// The file with the token of that webhookd's --admin-token-file
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_token_file: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The directory of the queue; its webhookd may run or be stopped
    #[arg(long, value_name = "DIR")]
    queue: Option<PathBuf>,

    /// The webhook.json whose queue.dir is the directory
    #[arg(long, value_name = "PATH")]
    webhook_config: Option<PathBuf>,

    /// The --admin address of a running webhookd: http://HOST:PORT, HOST:PORT or PORT
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
}

/// How to access a queue.
#[derive(Debug)]
pub(crate) enum Access {
    /// The program is stopped; the queue is open.
    Stopped(Box<DiskQueue>),
    /// The program runs; its admin API is used.
    Running(Client),
}

impl QueueSelector {
    /// The directory of a queue whose program must be stopped.
    ///
    /// # Errors
    /// An address was given, or the configuration cannot be read.
    pub(crate) fn dir(&self) -> Result<PathBuf> {
        if self.which.admin.is_some() {
            bail!(
                "this needs the queue to itself: stop webhookd, then name the queue by --queue DIR"
            );
        }
        Ok(self.settings()?.0)
    }

    /// Finds the program that has the queue open, or opens the queue; no queue is created.
    ///
    /// # Errors
    /// The queue does not exist, or cannot be opened.
    pub(crate) fn open(&self) -> Result<Access> {
        match self.running()? {
            Some(client) => Ok(Access::Running(client)),
            None => Ok(Access::Stopped(Box::new(self.open_stopped()?))),
        }
    }

    /// Opens the queue of a stopped program; no queue is created.
    ///
    /// # Errors
    /// The queue cannot be opened, or is in use.
    pub(crate) fn open_stopped(&self) -> Result<DiskQueue> {
        let (dir, options) = self.settings()?;
        DiskQueue::open_existing(&dir, &options)
            .with_context(|| format!("cannot open the queue in {}", dir.display()))
    }

    /// A client of the running program; `None` if it is stopped.
    ///
    /// # Errors
    /// The address is not valid, or the configuration cannot be read.
    pub(crate) fn running(&self) -> Result<Option<Client>> {
        if let Some(address) = &self.which.admin {
            return Client::at(address, self.admin_token_file.as_deref()).map(Some);
        }
        let (dir, _) = self.settings()?;
        // The socket of a program that was killed accepts no connection.
        let client = Client::of_queue(&dir)?;
        Ok(client
            .send(Method::GET, "/livez", None)
            .ok()
            .map(|_| client))
    }

    /// A client of the running program.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn client(&self) -> Result<Client> {
        self.running()?.with_context(|| match self.settings() {
            Ok((dir, _)) => format!("no webhookd runs with the queue in {}", dir.display()),
            Err(_) => "no webhookd runs at this address".to_owned(),
        })
    }

    /// Whether the queue's maximal size is known: the configuration has it, and the queue does not.
    pub(crate) fn knows_bound(&self) -> bool {
        self.which.webhook_config.is_some()
    }

    fn settings(&self) -> Result<(PathBuf, Options)> {
        if let Some(dir) = &self.which.queue {
            return Ok((dir.clone(), Options::default()));
        }
        let Some(path) = &self.which.webhook_config else {
            bail!("name the queue with --queue DIR or --webhook-config PATH");
        };
        let loaded = Config::load(path)?;
        let settings = loaded.config.queue();
        let options = Options::with_max_bytes(settings.max_bytes());
        Ok((settings.dir().to_owned(), options))
    }
}
