//! Selects the queue, or the running program, that a command works on.

use crate::admin::client::Client;
use crate::database;
use anyhow::{Context, Result, anyhow, bail};
use hyper::Method;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use webhook_config::{Config, Delivery, PostgresSettings, PostgresUrl, QueueSettings, SchemaName};
use webhook_queue::{DiskQueue, Options, Queue};
use webhook_queue_postgres::Role;

/// The queue, the configuration that names it, or the address of a running program.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Which queue")]
pub(crate) struct QueueSelector {
    #[command(flatten)]
    which: Which,

    /// The file with the token of that webhookd's --admin-token-file
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_token_file: Option<PathBuf>,

    /// The authority, in PEM, that signed the certificate of an address https://HOST:PORT
    ///
    /// The authorities that the system trusts are in a file such as /etc/ssl/certs/ca-certificates.crt.
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_ca_file: Option<PathBuf>,

    /// The schema in the database of --queue
    #[arg(long, value_name = "NAME", requires = "queue", conflicts_with_all = ["webhook_config", "admin"])]
    schema: Option<SchemaName>,
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The directory of the queue, or its database: postgres://USER@HOST/DATABASE
    ///
    /// Other users of this machine can see a password in it; --webhook-config does not show one.
    #[arg(long, value_name = "DIR|URL")]
    queue: Option<PathBuf>,

    /// The webhook.json whose queue.dir or queue.postgres names the queue
    #[arg(long, value_name = "PATH")]
    webhook_config: Option<PathBuf>,

    /// The --admin address of a running webhookd: HOST:PORT, https://HOST:PORT, PORT or unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
}

/// How to access a queue.
pub(crate) enum Access {
    /// The queue is open in this process: its program is stopped, or it is in a database.
    Opened(Arc<dyn Queue>),
    /// The program runs; its admin API is used.
    Running(Client),
}

impl QueueSelector {
    /// The directory of a queue whose program must be stopped.
    ///
    /// # Errors
    /// An address or a database was given, or the configuration cannot be read.
    pub(crate) fn dir(&self) -> Result<PathBuf> {
        if self.which.admin.is_some() {
            bail!(
                "this needs the queue to itself: stop webhookd, then name the queue by --queue DIR"
            );
        }
        let settings = self.settings()?;
        match settings.postgres() {
            None => Ok(settings.dir().to_owned()),
            Some(_) => Err(anyhow!(
                "the queue is {}, not a directory",
                settings.location()
            )),
        }
    }

    /// Whether the queue is in a database. The address of a running program may be that of one with
    /// a database, too.
    ///
    /// # Errors
    /// The configuration cannot be read.
    pub(crate) fn is_database(&self) -> Result<bool> {
        Ok(self.which.admin.is_none() && self.settings()?.postgres().is_some())
    }

    /// Finds the program that has the queue open, or opens the queue; no queue is created.
    ///
    /// # Errors
    /// The queue does not exist, or cannot be opened.
    pub(crate) fn open(&self) -> Result<Access> {
        match self.running()? {
            Some(client) => Ok(Access::Running(client)),
            None => self.open_here().map(Access::Opened),
        }
    }

    /// Opens the queue in this process; no queue is created.
    ///
    /// # Errors
    /// The queue cannot be opened, or is a directory in use.
    pub(crate) fn open_here(&self) -> Result<Arc<dyn Queue>> {
        let settings = self.settings()?;
        match settings.postgres() {
            None => Ok(Arc::new(open_directory(&settings)?)),
            Some(postgres) => Ok(database::open(&settings, postgres, Role::Operator)?),
        }
    }

    /// Opens the queue in the directory of a stopped program; no queue is created.
    ///
    /// # Errors
    /// The queue cannot be opened, or is in use.
    pub(crate) fn open_stopped(&self) -> Result<DiskQueue> {
        open_directory(&self.settings()?)
    }

    /// A client of the running program; `None` if it is stopped.
    ///
    /// # Errors
    /// The address is not valid, or the configuration cannot be read.
    pub(crate) fn running(&self) -> Result<Option<Client>> {
        if let Some(address) = &self.which.admin {
            let (token, ca) = (&self.admin_token_file, &self.admin_ca_file);
            return Client::at(address, token.as_deref(), ca.as_deref()).map(Some);
        }
        let settings = self.settings()?;
        if settings.dir() == Path::new("") {
            return Ok(None);
        }
        // The socket of a program that was killed accepts no connection.
        let client = Client::of_queue(settings.dir())?;
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
            Ok(settings) if settings.postgres().is_some() => {
                let dir = match settings.dir() {
                    dir if dir == Path::new("") => String::new(),
                    dir => format!(", and none runs with the state directory {}", dir.display()),
                };
                format!(
                    "this asks one webhookd, not the database{dir}: name one by --admin ADDRESS, or \
                     by --queue with its state directory; `webhookd queue stats` shows what the \
                     database knows of all"
                )
            }
            Ok(settings) => format!(
                "no webhookd runs with the queue in {}",
                settings.dir().display()
            ),
            Err(_) => "no webhookd runs at this address".to_owned(),
        })
    }

    /// Whether the queue's maximal size is known: the configuration has it, and the queue does not.
    pub(crate) fn knows_bound(&self) -> bool {
        self.which.webhook_config.is_some()
    }

    /// Checks that the configuration, if it is known, has no reliable target of this name.
    ///
    /// # Errors
    /// It has one, or cannot be read.
    pub(crate) fn check_removed(&self, target: &str) -> Result<()> {
        let Some(path) = &self.which.webhook_config else {
            return Ok(());
        };
        let config = Config::load(path)?.config;
        let mut reliable = config.targets().iter();
        if reliable.any(|it| it.name().as_str() == target && it.delivery() == Delivery::Reliable) {
            bail!(
                "{target:?} is a target of {}: remove it there, and from the workers by a reload, \
                 before its events are dropped",
                path.display()
            );
        }
        Ok(())
    }

    /// The settings of the queue. The directory is empty if a database is named without a worker.
    fn settings(&self) -> Result<QueueSettings> {
        if let Some(queue) = &self.which.queue {
            let database = queue.to_str().filter(|text| PostgresUrl::is_one(text));
            return match (database, &self.schema) {
                (Some(url), schema) => {
                    let url: PostgresUrl = url.parse().context("--queue")?;
                    let schema = schema.clone().unwrap_or_default();
                    let postgres = PostgresSettings::new(url).with_schema(schema);
                    Ok(QueueSettings::new("").with_postgres(postgres))
                }
                (None, None) => Ok(QueueSettings::new(queue)),
                (None, Some(_)) => bail!("--schema needs a database: --queue postgres://…"),
            };
        }
        let Some(path) = &self.which.webhook_config else {
            bail!("name the queue with --queue DIR or --webhook-config PATH");
        };
        Ok(Config::load(path)?.config.queue().clone())
    }
}

/// Opens the queue in a directory; none is created.
fn open_directory(settings: &QueueSettings) -> Result<DiskQueue> {
    let options = Options::with_max_bytes(settings.max_bytes());
    DiskQueue::open_existing(settings.dir(), &options)
        .with_context(|| format!("cannot open the queue in {}", settings.dir().display()))
}
