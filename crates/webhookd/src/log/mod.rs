//! The log, on standard error: through `tracing`, as text or as JSON.
//!
//! A message says everything to people, and its fields say the same to programs. Neither has a
//! payload or a secret. Events of other crates are left out, since they might.

mod observer;
mod rate_limit;
mod screen;
mod text;

pub(crate) use observer::LogObserver;
pub(crate) use rate_limit::RateLimitedLog;
pub(crate) use screen::Screen;
pub(crate) use text::printable;

use anyhow::{Context, Result};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
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

    /// The level of log lines: error, warn, info, debug or off
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "info",
        env = "WEBHOOKD_LOG"
    )]
    log_level: String,
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

/// Installs the log. Returns who reads it.
///
/// # Errors
/// The level is not valid.
pub(crate) fn install(args: &LogArgs, screen: &Screen) -> Result<Readers> {
    let level = EnvFilter::builder()
        .parse(&args.log_level)
        .with_context(|| {
            format!(
                "{:?} is not a log level; --log-level and WEBHOOKD_LOG take error, warn, info, debug \
             or off",
                args.log_level
            )
        })?;
    let ours = filter_fn(|metadata| metadata.target().starts_with("webhook"));
    let json = match args.log_format {
        LogFormat::Text => false,
        LogFormat::Json => true,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(screen.clone());
    let layer = if json {
        let json = layer.json().flatten_event(true);
        let json = json.with_current_span(false).with_span_list(false);
        json.with_target(false).boxed()
    } else {
        layer.event_format(text::Text).boxed()
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(level).with_filter(ours))
        .try_init()
        .context("cannot log")?;
    Ok(if json {
        Readers::Programs
    } else {
        Readers::People
    })
}
