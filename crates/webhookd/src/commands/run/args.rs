//! The options of `webhookd run`.

use crate::admin::AdminArgs;
use crate::log::LogArgs;
use crate::reload::ReloadArgs;
use crate::sources::{IngestOptions, LineFile, is_open_input, unknown_input};
use crate::units::parse_duration;
use anyhow::{Result, bail};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use webhook_config::{Config, InputName};

/// Deliver events: the default command
///
/// Reads events, one JSON document per line, and sends each to every target of the configuration
/// whose filters match. Ends when the input has ended and all events are delivered.
///
/// Exit status: 0 all events were delivered; 1 some were not, or a line is not an event; 2 bad
/// usage, configuration or unreadable input; 3 some events are still in the queue: run it again to
/// deliver them; 65 the queue is damaged; 75 a port or the queue is in use, the disk is full or
/// fails, or the database cannot be reached: try again later; 130 a second signal ended it at once.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The configuration: Aurora's webhook.json, or one with more settings
    ///
    /// Aurora's spelling, -webhook_config=PATH, is understood, too.
    #[arg(long, value_name = "PATH")]
    pub(in crate::commands) webhook_config: PathBuf,

    /// Read events from this file; - is standard input, the default without --listen and sources
    ///
    /// NAME=FILE reads events of the configuration's input NAME; without a name they are of the
    /// default input. May be repeated; the files are read at the same time.
    #[arg(long, value_name = "[NAME=]FILE")]
    pub(in crate::commands) events: Vec<PathBuf>,

    /// Follow the files as they grow, across rotation and restarts
    ///
    /// A file may be rotated (also compressed by gzip), truncated, or not exist yet. The position up
    /// to which its events are safe is kept in the queue's directory, or the state directory; a file
    /// without one is read from its beginning. Runs until a signal arrives.
    #[arg(long, requires = "events")]
    pub(in crate::commands) follow: bool,

    /// Keep the queue in this directory, instead of the configuration's queue.dir
    #[arg(long, value_name = "DIR")]
    pub(in crate::commands) queue: Option<PathBuf>,

    /// Keep the files of this webhookd in this directory, instead of the configuration's queue.dir
    /// or queue.postgres.stateDir
    ///
    /// The queue, unless it is in a database; the admin API's socket, rejects, the positions of
    /// followed files and streams. Workers of a database that run on one machine need one each.
    #[arg(long, value_name = "DIR", conflicts_with = "queue")]
    pub(in crate::commands) state_dir: Option<PathBuf>,

    /// How long to wait at the start for a queue that another program has open, or a database that
    /// cannot be reached
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

    /// Write a line of JSON for each attempt at a target, as the admin API shows them; - is standard
    /// output
    ///
    /// The file is opened again on SIGUSR1 and on a reload, for rotation. Attempts that the file or
    /// its reader does not take in time are dropped, and counted in
    /// webhookd_delivery_log_dropped_total.
    #[arg(long, value_name = "FILE")]
    pub(in crate::commands) delivery_log: Option<PathBuf>,

    /// Export spans of accepted requests and of attempts to the OpenTelemetry collector at this URL, by
    /// OTLP over HTTP in JSON
    ///
    /// A URL without a path gets /v1/traces. Spans that the collector does not take in time are dropped,
    /// and counted in webhookd_trace_spans_total. OTEL_SERVICE_NAME names the service, instead of
    /// webhookd.
    #[arg(long, value_name = "URL")]
    pub(in crate::commands) otlp: Option<String>,

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
    pub(super) fn source_names<'a>(&self, streams: impl Iterator<Item = &'a str>) -> Vec<String> {
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
        names.extend(streams.map(|name| format!("stream {name}")));
        if names.is_empty() {
            names.push("standard input".to_owned());
        }
        names
    }

    /// Rejects two outputs that would mix their lines.
    ///
    /// # Errors
    /// Both are standard output.
    pub(super) fn check_outputs(&self) -> Result<()> {
        let outputs = [&self.acks, &self.delivery_log];
        if outputs
            .iter()
            .all(|it| it.as_deref() == Some(Path::new("-")))
        {
            bail!(
                "--acks and --delivery-log cannot both write to standard output: name a file for \
                 one of them"
            );
        }
        Ok(())
    }

    /// The files to read, by the inputs of a configuration; standard input, if nothing else is
    /// named.
    ///
    /// # Errors
    /// One of them cannot be followed.
    pub(super) fn event_files(&self, config: &Config) -> Result<Vec<EventsFile>> {
        let mut files: Vec<EventsFile> = self
            .events
            .iter()
            .map(|argument| EventsFile::of(argument, config))
            .collect();
        let reads_streams = !config.sources().is_empty();
        if files.is_empty() && self.ingest.listen.is_empty() && !reads_streams {
            files.push(EventsFile::of(Path::new("-"), config));
        }
        if self.follow && files.iter().any(|file| file.path == Path::new("-")) {
            bail!("--follow follows files; standard input is read to its end without it");
        }
        Ok(files)
    }
}

/// A file of events, and the input that they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventsFile {
    /// Empty for the default input.
    pub(super) input: Arc<str>,
    pub(super) path: PathBuf,
}

impl EventsFile {
    /// `NAME=FILE` if the configuration has an input of this name, else a path, which may hold `=`.
    fn of(argument: &Path, config: &Config) -> EventsFile {
        let bytes = argument.as_os_str().as_bytes();
        let mut parts = bytes.splitn(2, |byte| *byte == b'=');
        let name = parts.next().and_then(|name| std::str::from_utf8(name).ok());
        let named = name.filter(|name| !name.is_empty() && is_open_input(config, name));
        match (named, parts.next()) {
            (Some(name), Some(path)) => EventsFile {
                input: Arc::from(name),
                path: PathBuf::from(OsStr::from_bytes(path)),
            },
            _ => EventsFile {
                input: Arc::from(""),
                path: argument.to_owned(),
            },
        }
    }

    /// Opens the file to read it to its end.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(&self, config: &Config) -> Result<LineFile> {
        let opened = LineFile::open(&self.path, config.max_event_bytes());
        opened.map_err(|error| match self.hint(config) {
            Some(hint) => error.context(hint),
            None => error,
        })
    }

    /// Why a path that does not exist may be meant as `NAME=FILE`.
    pub(super) fn hint(&self, config: &Config) -> Option<String> {
        let path = self.path.to_str().filter(|_| !self.path.exists())?;
        let (name, _) = path.split_once('=')?;
        let is_name = self.input.is_empty() && InputName::new(name).is_ok();
        is_name.then(|| unknown_input(config, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_an_input_only_if_there_is_one() {
        let config = br#"{ "targetURL": "http://localhost/", "headers": {},
            "timeoutMsec": 5000, "inputs": { "nomad": { "schema": "nomad" } } }"#;
        let config = Config::parse("webhook.json", config).unwrap().config;
        for (argument, input, path) in [
            ("nomad=events.ndjson", "nomad", "events.ndjson"),
            ("nomad=-", "nomad", "-"),
            ("nomad=a=b", "nomad", "a=b"),
            ("batch=events.ndjson", "", "batch=events.ndjson"),
            ("=events.ndjson", "", "=events.ndjson"),
            ("nomad", "", "nomad"),
            ("./nomad=x", "", "./nomad=x"),
        ] {
            let expected = EventsFile {
                input: Arc::from(input),
                path: PathBuf::from(path),
            };
            assert_eq!(EventsFile::of(Path::new(argument), &config), expected);
        }
    }
}
