//! Which queue, or which running program, a command is about.

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

    /// A file that holds the token which that webhookd asks for
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_token_file: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The queue's directory, whether its webhookd runs or is stopped
    #[arg(long, value_name = "DIR")]
    queue: Option<PathBuf>,

    /// The webhook.json that names it in queue.dir
    #[arg(long, value_name = "PATH")]
    webhook_config: Option<PathBuf>,

    /// A running webhookd's --admin: http://HOST:PORT, HOST:PORT or PORT
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
}

/// A queue, as it can be got at.
#[derive(Debug)]
pub(crate) enum Access {
    /// Its program is stopped.
    Stopped(Box<DiskQueue>),
    /// Its program runs, and is asked.
    Running(Client),
}

impl QueueSelector {
    /// The directory of a queue whose program has to be stopped.
    ///
    /// # Errors
    /// A running program was named, or the configuration cannot be read.
    pub(crate) fn dir(&self) -> Result<PathBuf> {
        if self.which.admin.is_some() {
            bail!(
                "this needs the queue to itself: stop webhookd, then name the queue by --queue DIR"
            );
        }
        Ok(self.settings()?.0)
    }

    /// Opens the queue, or finds the program that has it open; no queue is created.
    ///
    /// # Errors
    /// Neither can be had.
    pub(crate) fn open(&self) -> Result<Access> {
        match self.running()? {
            Some(client) => Ok(Access::Running(client)),
            None => Ok(Access::Stopped(Box::new(self.open_stopped()?))),
        }
    }

    /// Opens the queue of a stopped program; none is created.
    ///
    /// # Errors
    /// It cannot be opened, or is in use.
    pub(crate) fn open_stopped(&self) -> Result<DiskQueue> {
        let (dir, options) = self.settings()?;
        DiskQueue::open_existing(&dir, &options)
            .with_context(|| format!("cannot open the queue in {}", dir.display()))
    }

    /// The program that runs, if one does.
    ///
    /// # Errors
    /// An address was named that is none, or the configuration cannot be read.
    pub(crate) fn running(&self) -> Result<Option<Client>> {
        if let Some(address) = &self.which.admin {
            return Client::at(address, self.admin_token_file.as_deref()).map(Some);
        }
        let (dir, _) = self.settings()?;
        // A socket that a killed program has left behind takes no connection.
        let client = Client::of_queue(&dir)?;
        Ok(client.ask(Method::GET, "/livez", None).ok().map(|_| client))
    }

    /// The program that runs.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn client(&self) -> Result<Client> {
        self.running()?.with_context(|| match self.settings() {
            Ok((dir, _)) => format!("no webhookd runs with the queue in {}", dir.display()),
            Err(_) => "no webhookd runs there".to_owned(),
        })
    }

    /// Whether the bound of a stopped queue is known: it is the configuration's, and is not kept
    /// in the queue.
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
