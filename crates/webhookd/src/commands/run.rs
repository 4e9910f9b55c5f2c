//! `webhookd run`: reads events and delivers them.

use crate::acks::{AckSender, Acks};
use crate::cli::UNUSABLE;
use crate::console::{Console, complain};
use crate::input::{Input, Line};
use crate::signals::Signals;
use crate::summary::{Read, Summary};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use webhook_config::{Config, QueueSettings};
use webhook_dispatch::{Dispatcher, Monitor, Receipt, Refusal, SubmitError, Submitter};

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

    /// Read events from this file; - is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    events: PathBuf,

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
    let input = Input::open(&args.events, config.max_event_bytes())?;
    let acks = args.acks.as_deref().map(Acks::start).transpose()?;
    let signals = Signals::install()?;
    let console = Console::new(input.length());
    let started = Instant::now();
    let dispatcher = Dispatcher::builder(config)
        .observer(Arc::new(console.clone()))
        .start()?;
    let ticker = Ticker::start(&console, dispatcher.monitor())?;

    let mut feeder = Feeder {
        submitter: dispatcher.submitter(),
        console: console.clone(),
        acks: acks.as_ref().map(Acks::sender),
        refused: Arc::new(AtomicU64::new(0)),
        read: Read::default(),
    };
    let read = feeder.feed(input, &signals, &ticker, acks.as_ref());
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
    ticker.stop();
    console.finish();
    let counts = feeder.counts();
    drop(feeder);
    let acknowledged = acks.map_or(Ok(()), Acks::finish);

    let summary = Summary::new(counts, &report, started.elapsed());
    match args.summary {
        SummaryForm::None => {}
        SummaryForm::Text => complain(&summary.to_string()),
        SummaryForm::Json => {
            use std::io::Write;
            let json = serde_json::to_string(&summary).context("cannot write the summary")?;
            // Whoever closed standard error does not want the summary.
            drop(writeln!(std::io::stderr().lock(), "{json}"));
        }
    }
    read.with_context(|| format!("cannot read on in {}", shown(&args.events)))?;
    acknowledged?;
    Ok(if summary.owed > 0 {
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
    })
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

/// The input's name, for people.
fn shown(events: &Path) -> std::borrow::Cow<'_, str> {
    if events == Path::new("-") {
        return "standard input".into();
    }
    events.to_string_lossy()
}

/// Hands lines to the dispatcher.
struct Feeder {
    submitter: Submitter,
    console: Console,
    acks: Option<AckSender>,
    /// Events that the queue did not take after all.
    refused: Arc<AtomicU64>,
    read: Read,
}

impl Feeder {
    fn feed(
        &mut self,
        mut input: Input,
        signals: &Signals,
        ticker: &Ticker,
        acks: Option<&Acks>,
    ) -> std::io::Result<()> {
        loop {
            ticker.read.store(input.read(), Ordering::Relaxed);
            match input.next_line(signals)? {
                None => return Ok(()),
                Some(Line::TooLong(number)) => self.reject(
                    number,
                    "it is longer than maxEventBytes allows; nothing of it was sent",
                ),
                Some(Line::Text(number, line)) => {
                    let event = Arc::from(line);
                    if !self.submit(number, event, signals) {
                        return Ok(());
                    }
                }
            }
            if acks.is_some_and(Acks::failed) {
                // A feeder that hears nothing would send all of it again.
                return Ok(());
            }
        }
    }

    /// Hands over one event, however long that takes; false when a signal came first.
    fn submit(&mut self, number: u64, mut event: Arc<[u8]>, signals: &Signals) -> bool {
        loop {
            let acks = self.acks.clone();
            let refused = Arc::clone(&self.refused);
            let console = self.console.clone();
            let completion = move |result: Result<Receipt, Refusal>| match result {
                Ok(receipt) => {
                    if let Some(acks) = acks.filter(|_| receipt.is_safe()) {
                        acks.send(number, receipt.id);
                    }
                }
                Err(refusal) => {
                    refused.fetch_add(1, Ordering::SeqCst);
                    console.say_sparingly(&format!("line {number}: {}", chain(&refusal)));
                }
            };
            // In steps, so that a signal is seen while there is no room.
            let deadline = Instant::now() + Duration::from_millis(100);
            match self
                .submitter
                .submit_with(event, Some(deadline), completion)
            {
                Ok(_) => {
                    self.read.events += 1;
                    return true;
                }
                Err(SubmitError {
                    event: back,
                    refusal: Refusal::Full,
                }) => {
                    if signals.asked_to_end() {
                        self.console
                            .say(&format!("line {number} and what follows were not taken"));
                        return false;
                    }
                    event = back;
                }
                Err(error) => {
                    self.reject(number, &chain(&error.refusal));
                    return true;
                }
            }
        }
    }

    fn reject(&mut self, number: u64, why: &str) {
        self.read.rejected += 1;
        self.console.say_sparingly(&format!("line {number}: {why}"));
    }

    fn counts(&self) -> Read {
        Read {
            refused: self.refused.load(Ordering::SeqCst),
            ..self.read
        }
    }
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Shows progress a few times a second, on a terminal.
struct Ticker {
    read: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(console: &Console, monitor: Monitor) -> Result<Ticker> {
        let read = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(AtomicBool::new(false));
        let mut thread = None;
        if console.shows_progress() {
            let (console, read, ended) = (console.clone(), Arc::clone(&read), Arc::clone(&ended));
            let spawned = std::thread::Builder::new()
                .name("progress".to_owned())
                .spawn(move || {
                    while !ended.load(Ordering::SeqCst) {
                        let progress = monitor.progress();
                        let message = format!(
                            "{} delivered, {} failed, {} pending",
                            progress.delivered, progress.failed, progress.pending
                        );
                        console.progress(read.load(Ordering::Relaxed), message);
                        std::thread::park_timeout(Duration::from_millis(100));
                    }
                });
            thread = Some(spawned.context("cannot start a thread")?);
        }
        Ok(Ticker {
            read,
            ended,
            thread,
        })
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
