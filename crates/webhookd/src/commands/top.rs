//! `webhookd top`: what a running program does, target by target, live.

mod board;
mod screen;
mod snapshot;
mod view;

use crate::commands::queue_selector::QueueSelector;
use crate::units::parse_duration;
use anyhow::{Context, Result, bail};
use board::Board;
use snapshot::Source;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Watch a running webhookd: rates, what is owed, latencies and breakers of each target
///
/// Keys: up and down choose a target; p pauses or resumes it; r restarts it, which forgets that
/// it failed or answered 410; s sorts by the next column; q quits.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    selector: QueueSelector,

    /// How often to look: 1s, 500ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    interval: Duration,

    /// Print one frame as text, its rates taken over one interval, and end
    #[arg(long)]
    once: bool,
}

/// How wide a frame is where there is no terminal to ask.
const WIDTH: u16 = 132;
/// The shortest interval: each look costs the program some work.
const SHORTEST: Duration = Duration::from_millis(100);

pub(crate) fn run(args: TopArgs) -> Result<ExitCode> {
    let source = Source::new(args.selector.client()?);
    let interval = args.interval.max(SHORTEST);
    let mut board = Board::default();
    // Before the terminal is touched, so that what is wrong is told on it as it was.
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
        let text = view::as_text(&board, width);
        std::io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .context("cannot write to standard output")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !std::io::stdout().is_terminal() {
        bail!("standard output is no terminal; --once prints one frame as text");
    }
    screen::watch(&source, board, interval)?;
    Ok(ExitCode::SUCCESS)
}
