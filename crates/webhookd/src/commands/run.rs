//! `webhookd run`: reads events and delivers them.

use crate::admin;
use crate::cli::UNUSABLE;
use crate::console::{Console, complain};
use crate::http::Server;
use crate::signals::Signals;
use crate::sources::acks::Acks;
use crate::sources::lines::Lines;
use crate::sources::{self, Feeder, Intake};
use crate::summary::Summary;
use crate::wiring::News;
use anyhow::{Context, Result, bail};
use crossbeam_channel::Receiver;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use webhook_config::{Config, Delivery, QueueSettings};
use webhook_dispatch::{Dispatcher, Monitor};

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
    webhook_config: PathBuf,

    /// Read events from this file; - is standard input, and the default
    ///
    /// May be given more than once: all are read at the same time.
    #[arg(long, value_name = "FILE")]
    events: Vec<PathBuf>,

    /// Keep what is owed in this directory, instead of the configuration's queue.dir
    #[arg(long, value_name = "DIR")]
    queue: Option<PathBuf>,

    /// Write {"line":N,"id":"evt_…"} for each event once it need not be sent again; - is
    /// standard output
    ///
    /// An event is acknowledged once it is synced to the queue, or when no target wants it. One
    /// that only best-effort targets want is never safe, and never acknowledged.
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,

    /// Answer operators on this address: PORT is 127.0.0.1:PORT, and port 0 picks a free one
    #[arg(long, value_name = "[HOST:]PORT")]
    admin: Option<String>,

    /// How long to wait for deliveries at the end: 30s, 5m, 500ms
    ///
    /// After SIGTERM or SIGINT, in all; at the end of the input, since the last delivery that went
    /// through.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    grace: Duration,

    /// How to report at the end, on standard error
    #[arg(long, value_name = "FORM", value_enum, default_value_t = SummaryForm::Text)]
    summary: SummaryForm,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SummaryForm {
    /// A line for people
    Text,
    /// One line of JSON
    Json,
    /// Not at all
    None,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u64>().map(Duration::from_secs).ok();
    let parsed = seconds.or_else(|| {
        let signed: jiff::SignedDuration = text.parse().ok()?;
        Duration::try_from(signed).ok()
    });
    parsed.ok_or_else(|| "write a time as 30s, 5m or 500ms".to_owned())
}

/// Threads that serve HTTP.
const HTTP_THREADS: usize = 2;
/// How long requests under way may take to end once all else has.
const HTTP_GRACE: Duration = Duration::from_secs(1);
/// Exit status when something is still owed, safe in the queue.
const OWED: u8 = 3;

/// Reads, delivers, and reports.
///
/// # Errors
/// Nothing was delivered: the configuration, the input, the queue or the system is at fault.
pub(crate) fn run(args: RunArgs) -> Result<ExitCode> {
    let Some(config) = load(&args)? else {
        return Ok(ExitCode::from(UNUSABLE));
    };
    let queue = config
        .targets()
        .iter()
        .any(|target| target.delivery() == Delivery::Reliable)
        .then(|| config.queue().dir().to_owned());
    let sources = open_sources(&args, config.max_event_bytes())?;
    let mut server = Server::start(HTTP_THREADS)?;
    let acks = args.acks.as_deref().map(Acks::start).transpose()?;
    let signals = Arc::new(Signals::install()?);
    let console = Console::new(total_length(&sources));
    let intake = Arc::new(Intake::default());
    let started = Instant::now();
    let dispatcher = Dispatcher::builder(config)
        .observer(Arc::new(console.clone()))
        .start()?;
    let ticker = Ticker::start(&console, dispatcher.monitor(), &intake)?;
    let routes = admin::routes();
    if let Some(queue) = &queue {
        admin::listen_in(&mut server, queue, routes.clone())?;
    }
    if let Some(address) = &args.admin {
        admin::listen(&mut server, address, routes, &console)?;
    }

    let (tell, news) = crossbeam_channel::unbounded();
    signals.announce(tell.clone())?;
    let running = sources.len();
    for lines in sources {
        let feeder = Feeder::new(
            dispatcher.submitter(),
            console.clone(),
            acks.as_ref(),
            Arc::clone(&intake),
        );
        sources::start(lines, feeder, Arc::clone(&signals), tell.clone())?;
    }
    let read = attend(&news, running);
    if !signals.asked_to_end() && read.is_ok() {
        // What is not through by then is dealt with below.
        let _through = dispatcher.drain(Some(args.grace), signals.flag());
    }
    let grace = if signals.asked_to_end() {
        args.grace
    } else {
        Duration::ZERO
    };
    if let Some(acks) = &acks {
        acks.hurry(args.grace);
    }
    let report = dispatcher.shutdown(grace);
    server.shutdown(HTTP_GRACE);
    ticker.stop();
    console.finish();
    let acknowledged = acks.map_or(Ok(()), Acks::finish);

    let summary = Summary::new(intake.so_far(), &report, started.elapsed());
    summarize(&summary, args.summary)?;
    read?;
    acknowledged?;
    Ok(exit_code(&summary))
}

/// Waits until the sources have ended, or a signal has come.
///
/// # Errors
/// A source failed.
fn attend(news: &Receiver<News>, mut running: usize) -> Result<()> {
    while running > 0 {
        match news.recv() {
            Ok(News::SourceEnded(result)) => {
                result?;
                running -= 1;
            }
            Ok(News::AskedToEnd) | Err(_) => break,
        }
    }
    // They look at the signal themselves, and end one after the other.
    while running > 0 {
        match news.recv() {
            Ok(News::SourceEnded(result)) => {
                result?;
                running -= 1;
            }
            Ok(News::AskedToEnd) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

fn summarize(summary: &Summary, form: SummaryForm) -> Result<()> {
    match form {
        SummaryForm::None => {}
        SummaryForm::Text => complain(&summary.to_string()),
        SummaryForm::Json => {
            use std::io::Write;
            let json = serde_json::to_string(summary).context("cannot write the summary")?;
            // Whoever closed standard error does not want the summary.
            drop(writeln!(std::io::stderr().lock(), "{json}"));
        }
    }
    Ok(())
}

fn exit_code(summary: &Summary) -> ExitCode {
    if summary.owed > 0 {
        let owed = match summary.owed {
            1 => "1 delivery is".to_owned(),
            owed => format!("{owed} deliveries are"),
        };
        complain(&format!(
            "{owed} still owed, and safe in the queue: run webhookd again to go on"
        ));
        ExitCode::from(OWED)
    } else if summary.all_well() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Opens what lines are read from: standard input, if nothing else is named.
fn open_sources(args: &RunArgs, max_line: usize) -> Result<Vec<Lines>> {
    let standard_input = [PathBuf::from("-")];
    let paths = if args.events.is_empty() {
        &standard_input[..]
    } else {
        &args.events
    };
    if args.acks.is_some() && paths.len() > 1 {
        bail!("--acks names events by their line, so it takes one --events at most");
    }
    paths
        .iter()
        .map(|path| Lines::open(path, max_line))
        .collect()
}

/// Bytes of all sources together; none if one of them has no end to be known.
fn total_length(sources: &[Lines]) -> Option<u64> {
    sources.iter().map(Lines::length).sum()
}

/// The configuration, or none when its problems have been told.
fn load(args: &RunArgs) -> Result<Option<Config>> {
    let loaded = match Config::load(&args.webhook_config) {
        Ok(loaded) => loaded,
        Err(error) => {
            super::print_diagnostics(error.diagnostics());
            return Ok(None);
        }
    };
    super::print_diagnostics(&loaded.warnings);
    let config = loaded.config;
    Ok(Some(match &args.queue {
        None => config,
        Some(dir) => {
            let settings = QueueSettings::new(dir.clone())
                .with_max_bytes(config.queue().max_bytes())
                .with_when_full(config.queue().when_full());
            config.with_queue(settings)
        }
    }))
}

/// Shows progress a few times a second, on a terminal.
struct Ticker {
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(console: &Console, monitor: Monitor, intake: &Arc<Intake>) -> Result<Ticker> {
        let ended = Arc::new(AtomicBool::new(false));
        let mut thread = None;
        if console.shows_progress() {
            let (console, intake, ended) =
                (console.clone(), Arc::clone(intake), Arc::clone(&ended));
            let spawned = std::thread::Builder::new()
                .name("progress".to_owned())
                .spawn(move || {
                    while !ended.load(Ordering::SeqCst) {
                        let progress = monitor.progress();
                        let message = format!(
                            "{} delivered, {} failed, {} pending",
                            progress.delivered, progress.failed, progress.pending
                        );
                        console.progress(intake.bytes(), message);
                        std::thread::park_timeout(Duration::from_millis(100));
                    }
                });
            thread = Some(spawned.context("cannot start a thread")?);
        }
        Ok(Ticker { ended, thread })
    }

    fn stop(self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread {
            thread.thread().unpark();
            // It only shows; nothing hangs on how it ended.
            drop(thread.join());
        }
    }
}
