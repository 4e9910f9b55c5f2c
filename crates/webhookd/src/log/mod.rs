//! The log, on standard error: through `tracing`, as text or as JSON, by a thread of its own.
//!
//! A message says everything to people, and its fields say the same to programs. Neither has a
//! payload or a secret. Events of other crates are left out, since they might.

mod level;
mod observer;
mod rate_limit;
mod text;
mod writer;

pub(crate) use observer::{BreakerCauses, LogObserver};
pub(crate) use rate_limit::RateLimitedLog;
pub(crate) use text::printable;
pub(crate) use writer::{LogWriter, dropped_lines, finish, finish_by, print};

use anyhow::{Context, Result};
use level::Levels;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How to log
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Logs, on standard error")]
pub(crate) struct LogArgs {
    /// The format of log lines
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t = LogFormat::Text,
        env = "WEBHOOKD_LOG_FORMAT"
    )]
    log_format: LogFormat,

    /// The level of log lines: error, warn, info, debug, trace or off
    ///
    /// One for all, or others for some modules: info,webhookd::reload=debug.
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "info",
        env = "WEBHOOKD_LOG"
    )]
    log_level: Levels,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    /// Text for people
    Text,
    /// One JSON document per line
    Json,
    /// Text on a terminal, JSON elsewhere
    Auto,
}

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    People,
    Programs,
}

/// Installs the log, for panics too. Returns its writer, and who reads it.
///
/// # Errors
/// There is a log already, or the system refuses a thread.
pub(crate) fn install(args: &LogArgs) -> Result<(LogWriter, Readers)> {
    let ours = filter_fn(|metadata| metadata.target().starts_with("webhook"));
    let json = match args.log_format {
        LogFormat::Text => false,
        LogFormat::Json => true,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let writer = LogWriter::install()?;
    let layer = tracing_subscriber::fmt::layer().with_writer(writer.clone());
    let layer = if json {
        let json = layer.json().flatten_event(true);
        let json = json.with_current_span(false).with_span_list(false);
        json.with_target(false).boxed()
    } else {
        let timestamps = !is_journal();
        layer.event_format(text::Text { timestamps }).boxed()
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(args.log_level.filter()).with_filter(ours))
        .try_init()
        .context("cannot log")?;
    std::panic::set_hook(Box::new(log_panic));
    let readers = if json {
        Readers::Programs
    } else {
        Readers::People
    };
    Ok((writer, readers))
}

/// Whether standard error is the journal, which adds the time to each line, as systemd says by the
/// device and inode of its socket.
fn is_journal() -> bool {
    let journal = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stderr| journal == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no message");
    // Taken if the environment asks for it, as by RUST_BACKTRACE=1.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    let backtrace = backtrace.map(|it| it.to_string());
    tracing::error!(
        thread,
        place,
        backtrace,
        "thread {thread} panicked at {place}: {message}"
    );
}
