//! `webhookd ready`: what a container's health check asks.

use crate::commands::queue_selector::QueueSelector;
use anyhow::{Context, Result};
use hyper::Method;
use std::io::Write;
use std::process::ExitCode;

/// Ask a running webhookd whether it can accept events: exit 0 if so, 1 if not
///
/// For health checks where there is no curl.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadyArgs {
    #[command(flatten)]
    selector: QueueSelector,
}

pub(crate) fn run(args: ReadyArgs) -> Result<ExitCode> {
    let answer = args.selector.client()?.ask(Method::GET, "/readyz", None)?;
    let (said, code) = if answer.status.is_success() {
        ("ready".to_owned(), ExitCode::SUCCESS)
    } else {
        (format!("not ready: {}", answer.detail()), ExitCode::FAILURE)
    };
    writeln!(std::io::stdout().lock(), "{said}").context("cannot write to standard output")?;
    Ok(code)
}
