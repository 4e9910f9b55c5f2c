//! The terminal: shows the board, takes keys, and gives the terminal back as it was.

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

/// How soon a signal is heard.
const LISTEN: Duration = Duration::from_millis(100);

/// Gives the terminal back, however it ends. A panic does so before its message is printed, by
/// ratatui's hook.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows it until `q`, or a signal.
///
/// # Errors
/// The terminal cannot be used.
pub(super) fn watch(source: &Source, mut board: Board, interval: Duration) -> Result<()> {
    let asked_to_end = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&asked_to_end))
            .context("cannot wait for signals")?;
    }
    let _restore = Restore;
    let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
    let mut look_at = Instant::now() + interval;
    show(&mut terminal, &board)?;
    while !asked_to_end.load(Ordering::SeqCst) {
        let wait = look_at.saturating_duration_since(Instant::now());
        if event::poll(wait.min(LISTEN)).context("cannot read the terminal")? {
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
                Err(error) => board.trouble = Some(format!("{error:#}")),
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

/// Does what a key asks for; whether that is to end.
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
            tell(source, board, if paused { "resume" } else { "pause" });
        }
        KeyCode::Char('r') => tell(source, board, "restart"),
        _ => {}
    }
    false
}

fn tell(source: &Source, board: &mut Board, verb: &str) {
    let Some(name) = board.chosen().map(|(_, target)| target.name.clone()) else {
        return;
    };
    let told = source.tell(&name, verb).and_then(|()| source.look());
    match told {
        Ok(snapshot) => {
            board.update(snapshot, Instant::now());
            board.message = format!("{name}: {verb} was asked for");
        }
        Err(error) => board.message = format!("{name}: {error:#}"),
    }
}
