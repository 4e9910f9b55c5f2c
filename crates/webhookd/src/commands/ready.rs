//! `webhookd ready`: a health check for containers.

use crate::commands::queue_selector::QueueSelector;
use crate::console::write_out;
use anyhow::Result;
use hyper::Method;
use std::process::ExitCode;

/// Check whether a running webhookd can accept events; exit 0 if so, 1 if not
///
/// For health checks without curl.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadyArgs {
    #[command(flatten)]
    selector: QueueSelector,
}

pub(crate) fn run(args: ReadyArgs) -> Result<ExitCode> {
    let answer = args.selector.client()?.send(Method::GET, "/readyz", None)?;
    let (text, code) = if answer.status.is_success() {
        ("ready\n".to_owned(), ExitCode::SUCCESS)
    } else {
        let text = format!("not ready: {}\n", answer.detail());
        (text, ExitCode::FAILURE)
    };
    write_out(text)?;
    Ok(code)
}
