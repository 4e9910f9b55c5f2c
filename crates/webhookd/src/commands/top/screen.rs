//! The terminal: shows the board, handles keys, and restores the terminal at the end.

use super::board::Board;
use super::snapshot::Source;
use super::view;
use anyhow::{Context, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often signals are checked.
const STEP: Duration = Duration::from_millis(100);

/// Restores the terminal when dropped. After a panic, ratatui's hook does so before the message is
/// printed.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the board until `q` is pressed or a signal arrives.
///
/// # Errors
/// The terminal cannot be used.
pub(super) fn watch(source: &Source, mut board: Board, interval: Duration) -> Result<()> {
    let end_requested = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&end_requested))
            .context("cannot wait for signals")?;
    }
    let _restore = Restore;
    let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
    let mut look_at = Instant::now() + interval;
    show(&mut terminal, &board)?;
    while !end_requested.load(Ordering::SeqCst) {
        let wait = look_at.saturating_duration_since(Instant::now());
        if event::poll(wait.min(STEP)).context("cannot read the terminal")? {
            let event = event::read().context("cannot read the terminal")?;
            if let Event::Key(key) = event
                && key.kind != KeyEventKind::Release
                && press(key, source, &mut board)
            {
                return Ok(());
            }
            show(&mut terminal, &board)?;
        }
        if Instant::now() >= look_at {
            match source.look() {
                Ok(snapshot) => board.update(snapshot, Instant::now()),
                Err(error) => board.error = Some(format!("{error:#}")),
            }
            look_at = Instant::now() + interval;
            show(&mut terminal, &board)?;
        }
    }
    Ok(())
}

fn show(terminal: &mut DefaultTerminal, board: &Board) -> Result<()> {
    terminal
        .draw(|frame| view::draw(frame, board, true))
        .map(drop)
        .context("cannot write to the terminal")
}

/// Handles a key. Returns whether it quits.
fn press(key: KeyEvent, source: &Source, board: &mut Board) -> bool {
    board.message.clear();
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return true,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
        KeyCode::Up | KeyCode::Char('k') => board.choose(-1),
        KeyCode::Down | KeyCode::Char('j') => board.choose(1),
        KeyCode::Char('s') => {
            board.order = board.order.next();
            board.message = view::sorted_by(board.order);
        }
        KeyCode::Char('p') => {
            let paused = board.chosen().is_some_and(|(_, target)| target.paused);
            command(source, board, if paused { "resume" } else { "pause" });
        }
        KeyCode::Char('r') => command(source, board, "restart"),
        _ => {}
    }
    false
}

fn command(source: &Source, board: &mut Board, verb: &str) {
    let Some(name) = board.chosen().map(|(_, target)| target.name.clone()) else {
        return;
    };
    let done = source.command(&name, verb).and_then(|()| source.look());
    match done {
        Ok(snapshot) => {
            board.update(snapshot, Instant::now());
            board.message = format!("{name}: {verb} requested");
        }
        Err(error) => board.message = format!("{name}: {error:#}"),
    }
}
