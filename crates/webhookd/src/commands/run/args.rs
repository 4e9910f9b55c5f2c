//! The options of `webhookd run`.

use crate::admin::AdminArgs;
use crate::log::LogArgs;
use crate::reload::ReloadArgs;
use crate::sources::{IngestOptions, LineFile};
use crate::units::parse_duration;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Deliver events: the default command
///
/// Reads events, one JSON document per line, and POSTs each, unchanged, to every target of the
/// configuration whose filters match. Ends when the input has ended and all events are delivered.
///
/// Exit status: 0 all events were delivered; 1 some were not, or a line is not an event; 2 bad
/// usage, configuration or unreadable input; 3 some events are still in the queue: run it again to
/// deliver them; 65 the queue is damaged; 75 a port or the queue is in use, or the disk is full or
/// fails: try again later.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The configuration: Aurora's webhook.json, or one with more settings
    ///
    /// Aurora's spelling, -webhook_config=PATH, is understood, too.
    #[arg(long, value_name = "PATH")]
    pub(in crate::commands) webhook_config: PathBuf,

    /// Read events from this file; - is standard input, the default without --listen
    ///
    /// May be repeated; the files are read at the same time.
    #[arg(long, value_name = "FILE")]
    pub(in crate::commands) events: Vec<PathBuf>,

    /// Follow the files as they grow, across rotation and restarts
    ///
    /// A file may be rotated (also compressed by gzip), truncated, or not exist yet. The position up
    /// to which its events are safe is kept in the queue's directory; a file without one is read from
    /// its beginning. Runs until a signal arrives.
    #[arg(long, requires = "events")]
    pub(in crate::commands) follow: bool,

    /// Keep the queue in this directory, instead of the configuration's queue.dir
    #[arg(long, value_name = "DIR")]
    pub(in crate::commands) queue: Option<PathBuf>,

    /// How long to wait at the start for a queue that another program has open
    ///
    /// `webhookd queue stats`, for example, opens the queue of a stopped webhookd for a moment.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(in crate::commands) queue_lock_timeout: Duration,

    /// Write {"line":N,"id":"evt_…"} for each event that need not be sent again; - is standard
    /// output
    ///
    /// An event is acknowledged once it is synced to the queue, or when it matches no target. One
    /// that only matches best-effort targets is not stored, and not acknowledged. "overQuota" names
    /// targets that will not get the event, since they are over their quotas. With several --events,
    /// "source" names the file of the line. Events over HTTP get a response instead.
    #[arg(long, value_name = "FILE")]
    pub(in crate::commands) acks: Option<PathBuf>,

    #[command(flatten)]
    pub(in crate::commands) reload: ReloadArgs,

    #[command(flatten)]
    pub(in crate::commands) admin: AdminArgs,

    #[command(flatten)]
    pub(in crate::commands) ingest: IngestOptions,

    /// How long to wait for deliveries at the end: 30s, 5m, 500ms
    ///
    /// After SIGTERM or SIGINT, this bounds the whole shutdown. At the end of the input, it bounds
    /// the time without a successful delivery.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(in crate::commands) grace: Duration,

    /// The format of the summary at the end, on standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = SummaryFormat::Text)]
    pub(in crate::commands) summary: SummaryFormat,

    #[command(flatten)]
    pub(in crate::commands) log: LogArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(in crate::commands) enum SummaryFormat {
    /// Text for people
    Text,
    /// One line of JSON
    Json,
    /// No summary
    None,
}

impl RunArgs {
    /// The names of the sources, for people.
    pub(super) fn source_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .events
            .iter()
            .map(|path| match path.display().to_string() {
                name if name == "-" => "standard input".to_owned(),
                name => name,
            })
            .collect();
        let listening = self.ingest.listen.iter();
        names.extend(listening.map(|address| format!("http://{address}/")));
        if names.is_empty() {
            names.push("standard input".to_owned());
        }
        names
    }

    /// Opens the inputs that are read to their end: standard input, if nothing else is named.
    ///
    /// # Errors
    /// One of them cannot be opened, or cannot be followed.
    pub(super) fn open_inputs(&self, max_line: usize) -> Result<Vec<LineFile>> {
        let standard_input = [PathBuf::from("-")];
        let paths = if self.events.is_empty() && self.ingest.listen.is_empty() {
            &standard_input[..]
        } else {
            &self.events
        };
        if self.follow {
            if paths.iter().any(|path| path == Path::new("-")) {
                bail!("--follow follows files; standard input is read to its end without it");
            }
            return Ok(Vec::new());
        }
        paths
            .iter()
            .map(|path| LineFile::open(path, max_line))
            .collect()
    }
}
