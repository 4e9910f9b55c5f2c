//! `webhookd ready`: a health check for containers.

use crate::commands::queue_selector::QueueSelector;
use crate::console::write_out;
use crate::units::parse_duration;
use anyhow::{Result, bail};
use hyper::Method;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Check whether a running webhookd can accept events; exit 0 if so, 1 if not
///
/// For health checks without curl. The exit status is 1 for each kind of failure: webhookd does not
/// run, does not respond, or an argument is not valid.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadyArgs {
    #[command(flatten)]
    selector: QueueSelector,

    /// Check whether it runs and works instead, even if it can accept no events at the moment
    ///
    /// A full queue, for example, needs no restart. Asks for /livez instead of /readyz.
    #[arg(long)]
    live: bool,

    /// Wait up to this long until it is ready: 30s, 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    wait: Option<Duration>,
}

/// How long a response may take.
const RESPONSE: Duration = Duration::from_secs(5);
/// How often to ask.
const STEP: Duration = Duration::from_millis(200);

pub(crate) fn run(args: &ReadyArgs) -> ExitCode {
    let state = if args.live { "live" } else { "ready" };
    let until = Instant::now() + args.wait.unwrap_or_default();
    loop {
        let why = match ask(args) {
            Ok(()) => {
                // The status says it, too.
                drop(write_out(format!("{state}\n")));
                return ExitCode::SUCCESS;
            }
            Err(why) => why,
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            drop(write_out(format!("not {state}: {why:#}\n")));
            return ExitCode::FAILURE;
        }
        std::thread::sleep(left.min(STEP));
    }
}

/// # Errors
/// Says why it is not ready, or not live.
fn ask(args: &ReadyArgs) -> Result<()> {
    let client = args.selector.client()?.within(RESPONSE);
    let path = if args.live { "/livez" } else { "/readyz" };
    let answer = client.send(Method::GET, path, None)?;
    if !answer.status.is_success() {
        bail!("{}", answer.detail());
    }
    Ok(())
}
