//! `webhookd run`: reads events and delivers them.

use crate::admin::{self, AdminArgs};

use crate::console::{self, Console, complain};
use crate::daemon::{BackgroundTasks, Daemon};
use crate::exit::{OWED, UNUSABLE};
use crate::http::Server;
use crate::log::{self, LogArgs, LogObserver, Readers, Screen};
use crate::notify;
use crate::reload::{self, Cause, ConfigFile, Look, ReloadArgs, Reloader};
use crate::signals::Signals;
use crate::sources::acks::Acks;
use crate::sources::follow::Follower;
use crate::sources::ingest::{IngestOptions, Listening};
use crate::sources::lines::Lines;
use crate::sources::{self, Feeder, Intake};
use crate::summary::Summary;
use crate::units::parse_duration;
use crate::wiring::News;
use anyhow::{Context, Result, bail};
use crossbeam_channel::Receiver;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use webhook_config::{Config, Delivery};
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

    /// Read events from this file; - is standard input, and the default without --listen
    ///
    /// May be given more than once: all are read at the same time.
    #[arg(long, value_name = "FILE")]
    events: Vec<PathBuf>,

    /// Go on reading the files as they grow, over rotation and restarts
    ///
    /// A file may be renamed and made anew, cut off, or not be there yet. What is read and safe is
    /// kept in the queue's directory; a file that is new there is read from its beginning. Runs
    /// until a signal.
    #[arg(long, requires = "events")]
    follow: bool,

    /// Keep what is owed in this directory, instead of the configuration's queue.dir
    #[arg(long, value_name = "DIR")]
    queue: Option<PathBuf>,

    /// Write {"line":N,"id":"evt_…"} for each event once it need not be sent again; - is
    /// standard output
    ///
    /// An event is acknowledged once it is synced to the queue, or when no target wants it. One
    /// that only best-effort targets want is never safe, and never acknowledged. With several
    /// --events, "source" names the one that the line is of. Events over HTTP have their answer
    /// instead.
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,

    #[command(flatten)]
    reload: ReloadArgs,

    #[command(flatten)]
    admin: AdminArgs,

    #[command(flatten)]
    ingest: IngestOptions,

    /// How long to wait for deliveries at the end: 30s, 5m, 500ms
    ///
    /// After SIGTERM or SIGINT, in all; at the end of the input, since the last delivery that went
    /// through.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    grace: Duration,

    /// How to report at the end, on standard error
    #[arg(long, value_name = "FORM", value_enum, default_value_t = SummaryForm::Text)]
    summary: SummaryForm,

    #[command(flatten)]
    log: LogArgs,
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

/// Threads that serve HTTP.
const HTTP_THREADS: usize = 2;
/// How long requests under way may take to end once all else has.
const HTTP_GRACE: Duration = Duration::from_secs(1);

/// Reads, delivers, and reports.
///
/// # Errors
/// Nothing was delivered: the configuration, the input, the queue or the system is at fault.
pub(crate) fn run(args: RunArgs) -> Result<ExitCode> {
    let screen = Screen::default();
    let readers = log::install(&args.log, &screen)?;
    let file = ConfigFile::new(args.webhook_config.clone(), args.queue.clone());
    let look = file.look();
    let Some(config) = told(&look, readers) else {
        return Ok(ExitCode::from(UNUSABLE));
    };
    let queue = config
        .targets()
        .iter()
        .any(|target| target.delivery() == Delivery::Reliable)
        .then(|| config.queue().dir().to_owned());
    let places = config.queue().dir().to_owned();
    let longest = config.max_event_bytes();
    let opened = args.ingest.open(config.max_event_bytes())?;
    let sources = open_sources(&args, config.max_event_bytes())?;
    let mut server = Server::start(HTTP_THREADS)?;
    let acks = args.acks.as_deref().map(Acks::start).transpose()?;
    let signals = Arc::new(Signals::install()?);
    let console = Console::new(total_length(&sources), &screen);
    let intake = Arc::new(Intake::default());
    let started = Instant::now();
    let dispatcher = Dispatcher::builder(config)
        .observer(Arc::new(LogObserver::new(console.sparing().clone())))
        .start()?;
    let ticker = Ticker::start(&console, dispatcher.monitor(), &intake)?;
    let reloader = Arc::new(Reloader::new(file, look, dispatcher.control()));
    let daemon = Arc::new(Daemon::new(
        dispatcher.control(),
        dispatcher.monitor(),
        Arc::clone(&intake),
        Arc::clone(&reloader),
        args.source_names(),
    ));
    if let Some(queue) = &queue {
        admin::listen_in(&mut server, queue, &daemon)?;
    }
    admin::listen(&mut server, &args.admin, &daemon)?;

    let (tell, news) = crossbeam_channel::unbounded();
    signals.announce(tell.clone(), {
        let reloader = Arc::clone(&reloader);
        // What came of it is logged and counted.
        move || drop(reloader.reload(Cause::Signal))
    })?;
    let feeder = |source: &str| {
        let several = args.events.len() > 1;
        Feeder::new(
            dispatcher.submitter(),
            console.clone(),
            acks.as_ref(),
            Arc::clone(&intake),
            several.then_some(source),
        )
    };
    let mut running = sources.len();
    for lines in sources {
        let feeder = feeder(lines.name());
        sources::start(lines, feeder, Arc::clone(&signals), tell.clone())?;
    }
    for path in args.events.iter().filter(|_| args.follow) {
        let feeder = feeder(&path.display().to_string());
        Follower::new(path.clone(), places.clone(), longest).start(
            feeder,
            Arc::clone(&signals),
            tell.clone(),
        )?;
        running += 1;
    }
    let listening = opened
        .map(|opened| opened.start(dispatcher.submitter(), &intake, &console))
        .transpose()?;
    if let Some(listening) = &listening {
        reloader.also(listening.rereading());
    }
    let background = BackgroundTasks::start(&daemon, &console, args.reload)?;
    let read = attend(&news, running, listening.is_some());
    let ending = Instant::now();
    let listening = listening.map(|listening| stop_listening(listening, args.grace));
    if !signals.asked_to_end() && read.is_ok() {
        // What is not through by then is dealt with below.
        let _through = dispatcher.drain(Some(args.grace), signals.flag());
    }
    let grace = if signals.asked_to_end() {
        args.grace.saturating_sub(ending.elapsed())
    } else {
        Duration::ZERO
    };
    if let Some(acks) = &acks {
        acks.hurry(args.grace);
    }
    daemon.stop();
    notify::stopping();
    let report = dispatcher.shutdown(grace);
    if let Some(listening) = listening {
        listening.shutdown(HTTP_GRACE);
    }
    server.shutdown(HTTP_GRACE);
    background.stop();
    ticker.stop();
    console.finish();
    let acknowledged = acks.map_or(Ok(()), Acks::finish);

    let summary = Summary::new(intake.so_far(), &report, started.elapsed());
    summarize(&summary, args.summary)?;
    read?;
    acknowledged?;
    Ok(exit_code(&summary))
}

/// Accepts no more events over HTTP. Requests under way get the first half of the grace, the
/// deliveries the rest: nothing is drained while more may come.
fn stop_listening(mut listening: Listening, grace: Duration) -> Listening {
    listening.stop(grace / 2);
    listening
}

/// Waits until the sources have ended, or a signal has come. While it is `listening` they never
/// end all.
///
/// # Errors
/// A source failed.
fn attend(news: &Receiver<News>, mut running: usize, listening: bool) -> Result<()> {
    while running > 0 || listening {
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
        SummaryForm::Text => console::print(&summary.to_string()),
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
    let paths = if args.events.is_empty() && args.ingest.listen.is_empty() {
        &standard_input[..]
    } else {
        &args.events
    };
    if args.follow {
        if paths.iter().any(|path| path == Path::new("-")) {
            bail!("--follow follows files; standard input is read to its end without it");
        }
        return Ok(Vec::new());
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

/// The configuration, or none; its problems are told.
fn told(look: &Look, readers: Readers) -> Option<Config> {
    let (config, diagnostics) = match &look.found {
        Ok((config, warnings)) => (Some(config.clone()), warnings),
        Err(diagnostics) => (None, diagnostics),
    };
    match readers {
        Readers::People => super::print_diagnostics(diagnostics),
        Readers::Programs => reload::log_diagnostics(diagnostics),
    }
    config
}

impl RunArgs {
    /// Where events come from, for people.
    fn source_names(&self) -> Vec<String> {
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
