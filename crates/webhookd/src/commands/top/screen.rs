//! The terminal: shows the board, handles keys, and restores the terminal at the end.

use super::board::Board;
use super::ending::{Ending, is_terminal_gone};
use super::snapshot::Source;
use super::view;
use anyhow::{Context, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

/// How often to look whether to end.
const STEP: Duration = Duration::from_millis(100);

/// Restores the terminal when dropped. After a panic, ratatui's hook does so before the message is
/// printed.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        // A terminal that is gone needs none.
        drop(ratatui::try_restore());
        drop(execute!(std::io::stdout(), Show));
    }
}

/// Shows the board until `q` is pressed, a signal arrives or the terminal is gone.
///
/// # Errors
/// The terminal cannot be used.
pub(super) fn watch(source: &Source, mut board: Board, interval: Duration) -> Result<()> {
    let ending = Ending::watch()?;
    let _restore = Restore;
    let shown = keep_showing(source, &mut board, interval, &ending);
    if ending.is_requested() || is_terminal_gone() {
        return Ok(());
    }
    shown
}

fn keep_showing(
    source: &Source,
    board: &mut Board,
    interval: Duration,
    ending: &Ending,
) -> Result<()> {
    // If the terminal is gone, the drop would panic on an error that it cannot print. `Restore` does
    // what it does.
    let mut terminal = ManuallyDrop::new(ratatui::try_init().context("cannot use the terminal")?);
    let mut look_at = Instant::now() + interval;
    show(&mut terminal, board)?;
    while !ending.is_requested() {
        let wait = look_at.saturating_duration_since(Instant::now());
        if event::poll(wait.min(STEP)).context("cannot read the terminal")? {
            let event = event::read().context("cannot read the terminal")?;
            if let Event::Key(key) = event
                && key.kind != KeyEventKind::Release
                && press(key, source, board)
            {
                return Ok(());
            }
            show(&mut terminal, board)?;
        }
        if Instant::now() >= look_at {
            match source.look() {
                Ok(snapshot) => board.update(snapshot, Instant::now()),
                Err(error) => board.error = Some(format!("{error:#}")),
            }
            look_at = Instant::now() + interval;
            show(&mut terminal, board)?;
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
