//! `webhookd top`: live figures of a running program, for each target.

mod board;
mod ending;
mod screen;
mod snapshot;
mod view;

use crate::commands::queue_selector::QueueSelector;
use crate::console::write_out;
use crate::units::parse_duration;
use anyhow::{Result, bail};
use board::Board;
use snapshot::Source;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Watch a running webhookd: rates, pending events, latencies and state of each target
///
/// Keys: up and down choose a target; p pauses or resumes it; r retries it at once, though it
/// failed or responded 410; s sorts by the next column; q quits. A narrow terminal shows fewer
/// columns. It also ends when its terminal is closed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    selector: QueueSelector,

    /// How often to update: 1s, 500ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    interval: Duration,

    /// Print one frame as text, with rates over one interval, and end
    #[arg(long)]
    once: bool,
}

/// The width of a frame without a terminal.
const WIDTH: u16 = 132;
/// How long a response may take; no key is handled meanwhile.
const RESPONSE: Duration = Duration::from_secs(5);
/// The shortest interval, since each update costs the running program some work.
const SHORTEST: Duration = Duration::from_millis(100);

pub(crate) fn run(args: TopArgs) -> Result<ExitCode> {
    let source = Source::new(args.selector.client()?.within(RESPONSE));
    let interval = args.interval.max(SHORTEST);
    let mut board = Board::default();
    // Before the terminal is changed, so that an error is printed as usual.
    board.update(source.look()?, Instant::now());
    if args.once {
        std::thread::sleep(interval);
        board.update(source.look()?, Instant::now());
        let width = ratatui::crossterm::terminal::size().map_or(WIDTH, |(width, _)| width);
        let width = if std::io::stdout().is_terminal() {
            width
        } else {
            WIDTH
        };
        write_out(view::as_text(&board, width))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !std::io::stdout().is_terminal() {
        bail!("standard output is not a terminal; --once prints one frame as text");
    }
    screen::watch(&source, board, interval)?;
    Ok(ExitCode::SUCCESS)
}
