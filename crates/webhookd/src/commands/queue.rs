//! `webhookd queue`: shows, checks and compacts a queue.

mod apart;
mod copy;
mod findings;
mod holdings;

pub(crate) use apart::check_unclosed;

use crate::admin::client::segment;
use crate::commands::output_format::OutputFormat;
use crate::commands::queue_selector::{Access, QueueSelector};
use crate::console::output;
use crate::database::CHECKED_BY;
use anyhow::{Result, bail};
use findings::Findings;
use holdings::Holdings;
use indicatif::HumanBytes;
use serde::Deserialize;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use webhook_config::{Config, PostgresSettings, SchemaName};
use webhook_queue::compact;
use webhook_queue_postgres::schema_sql;

/// Show a queue, check it, release its free space, create its tables
///
/// Works while webhookd runs, by its admin API or in its database, and while it is stopped.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum QueueCommand {
    /// Show the events owed to each target, and the space in use; of a database also its workers
    Stats {
        #[command(flatten)]
        selector: QueueSelector,

        /// The output format
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
        format: OutputFormat,
    },
    /// Return the space of delivered events to the file system
    ///
    /// webhookd must be stopped. While it runs, it reuses free space, but the file does not shrink.
    /// Needs as much free disk space as the queue has in use. May be interrupted at any time without
    /// loss. Checks the tables first, and leaves a damaged queue unchanged.
    Compact {
        #[command(flatten)]
        selector: QueueSelector,
    },
    /// Read the whole queue and check every record
    ///
    /// Exit status 0 if there is no damage, 1 if there is. Changes nothing: webhookd quarantines a
    /// damaged record when it reads it, and delivers the rest.
    Verify {
        #[command(flatten)]
        selector: QueueSelector,

        /// Read in this process, which damage to the database's pages may end
        #[arg(long, hide = true)]
        in_process: bool,

        /// Leave out the content of the events
        #[arg(long, hide = true, requires = "in_process")]
        tables_only: bool,
    },
    /// Print the SQL that creates the tables in a database
    ///
    /// The first worker creates them, if its user may. If not, an administrator runs this script:
    /// webhookd queue schema --grant ROLE | psql DATABASE
    Schema(SchemaArgs),
    Copy(copy::CopyArgs),
    /// Delete all events owed to one target, and its dead letters
    ///
    /// For a target that was removed from the configuration, or renamed. This cannot be undone.
    DropTarget {
        /// The target's name
        target: String,

        #[command(flatten)]
        selector: QueueSelector,

        /// Confirm the deletion
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct SchemaArgs {
    /// The webhook.json with the schema and the slots in queue.postgres
    #[arg(long, value_name = "PATH", conflicts_with_all = ["schema", "slots"])]
    webhook_config: Option<PathBuf>,

    /// The schema, as in queue.postgres.schema
    #[arg(long, value_name = "NAME", default_value_t = SchemaName::default())]
    schema: SchemaName,

    /// The number of slots, as in queue.postgres.slots
    #[arg(long, value_name = "N", default_value_t = PostgresSettings::DEFAULT_SLOTS,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    slots: u16,

    /// Let this role use the tables as a worker does
    #[arg(long, value_name = "ROLE")]
    grant: Option<String>,
}

impl SchemaArgs {
    /// The SQL.
    ///
    /// # Errors
    /// The configuration cannot be read, or names no database.
    fn script(&self) -> Result<String> {
        let (schema, slots) = match &self.webhook_config {
            None => (self.schema.clone(), self.slots),
            Some(path) => {
                let config = Config::load(path)?.config;
                let Some(postgres) = config.queue().postgres() else {
                    bail!(
                        "the queue of {} is in no database: queue.postgres is missing",
                        path.display()
                    );
                };
                (postgres.schema().clone(), postgres.slots())
            }
        };
        Ok(schema_sql(schema.as_str(), slots, self.grant.as_deref()))
    }
}

pub(crate) fn run(args: QueueArgs) -> Result<ExitCode> {
    let mut out = output();
    match args.command {
        QueueCommand::Stats { selector, format } => {
            let holdings = match selector.open()? {
                Access::Opened(queue) => Holdings::of(&*queue, selector.knows_bound())?,
                Access::Running(client) => Holdings::ask(&client)?,
            };
            match format {
                OutputFormat::Text => holdings.write_text(&mut out)?,
                OutputFormat::Json => writeln!(out, "{}", serde_json::to_string(&holdings)?)?,
            }
        }
        QueueCommand::Compact { selector } => {
            if selector.is_database()? {
                bail!(
                    "PostgreSQL keeps the space of delivered events for new ones, and needs no \
                     compaction: the queue empties its tables as a whole"
                );
            }
            if selector.running()?.is_some() {
                bail!(
                    "webhookd runs with this queue: stop it first, since compact needs the queue \
                     to itself"
                );
            }
            let compaction = compact(selector.dir()?)?;
            let (before, after) = (HumanBytes(compaction.before), HumanBytes(compaction.after));
            writeln!(out, "{before} before, {after} after")?;
        }
        QueueCommand::Verify {
            selector,
            in_process,
            tables_only,
        } => {
            if selector.is_database()? {
                bail!("{CHECKED_BY}");
            }
            if tables_only {
                return apart::verify_tables(&selector.dir()?, &mut out);
            }
            if in_process {
                return Findings::of(&selector)?.write(&mut out);
            }
            let findings = match selector.running()? {
                Some(client) => Findings::ask(&client)?,
                None => return apart::verify(&selector.dir()?),
            };
            return findings.write(&mut out);
        }
        QueueCommand::Copy(args) => return copy::run(&args),
        QueueCommand::Schema(args) => out.write_all(args.script()?.as_bytes())?,
        QueueCommand::DropTarget {
            target,
            selector,
            yes,
        } => {
            let access = selector.open()?;
            let holdings = match &access {
                Access::Opened(queue) => Holdings::of(&**queue, false)?,
                Access::Running(client) => Holdings::ask(client)?,
            };
            holdings.check_drop(&target, yes)?;
            let dropped = match access {
                Access::Opened(queue) => {
                    // Its workers may run.
                    if selector.is_database()? {
                        selector.check_removed(&target)?;
                    }
                    queue.drop_target(&target)?
                }
                Access::Running(client) => {
                    let path = format!("/api/v1/queue/targets/{}", segment(&target));
                    client.delete(&path)?.json::<Dropped>()?.dropped
                }
            };
            writeln!(out, "{dropped} entries of {target:?} dropped")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The admin API's response.
#[derive(Deserialize)]
struct Dropped {
    dropped: u64,
}
