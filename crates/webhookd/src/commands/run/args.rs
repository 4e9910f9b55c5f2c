//! The options of `webhookd run`.

use crate::admin::AdminArgs;
use crate::log::LogArgs;
use crate::reload::ReloadArgs;
use crate::sources::{IngestOptions, Input};
use crate::units::parse_duration;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Deliver events: the default command
///
/// Reads events, one JSON document a line, and POSTs each as it came to every target of the
/// configuration that wants it. Ends when its input has ended and all is delivered.
///
/// Exit status: 0 all delivered; 1 something was not, or a line was no event; 2 bad usage,
/// configuration or unreadable input; 3 something is still owed and safe in the queue: run it
/// again to go on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The webhook.json: Aurora's own, or one with more in it
    ///
    /// Aurora's spelling, -webhook_config=PATH, is understood too.
    #[arg(long, value_name = "PATH")]
    pub(in crate::commands) webhook_config: PathBuf,

    /// Read events from this file; - is standard input, and the default without --listen
    ///
    /// May be given more than once: all are read at the same time.
    #[arg(long, value_name = "FILE")]
    pub(in crate::commands) events: Vec<PathBuf>,

    /// Go on reading the files as they grow, over rotation and restarts
    ///
    /// A file may be renamed and made anew, cut off, or not be there yet. What is read and safe is
    /// kept in the queue's directory; a file that is new there is read from its beginning. Runs
    /// until a signal.
    #[arg(long, requires = "events")]
    pub(in crate::commands) follow: bool,

    /// Keep what is owed in this directory, instead of the configuration's queue.dir
    #[arg(long, value_name = "DIR")]
    pub(in crate::commands) queue: Option<PathBuf>,

    /// Write {"line":N,"id":"evt_…"} for each event once it need not be sent again; - is
    /// standard output
    ///
    /// An event is acknowledged once it is synced to the queue, or when no target wants it. One
    /// that only best-effort targets want is never safe, and never acknowledged. With several
    /// --events, "source" names the one that the line is of. Events over HTTP have their answer
    /// instead.
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
    /// After SIGTERM or SIGINT, in all; at the end of the input, since the last delivery that went
    /// through.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(in crate::commands) grace: Duration,

    /// How to report at the end, on standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = SummaryFormat::Text)]
    pub(in crate::commands) summary: SummaryFormat,

    #[command(flatten)]
    pub(in crate::commands) log: LogArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(in crate::commands) enum SummaryFormat {
    /// A line for people
    Text,
    /// One line of JSON
    Json,
    /// Not at all
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
    pub(super) fn open_inputs(&self, max_line: usize) -> Result<Vec<Input>> {
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
            .map(|path| Input::open(path, max_line))
            .collect()
    }
}
