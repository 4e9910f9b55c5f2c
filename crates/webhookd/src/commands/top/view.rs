//! Draws the board.

use super::board::{Board, Order};
use super::snapshot::{Queue, Target};
use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

const KEYS: &str = "up/down choose  p pause/resume  r restart  s sort  q quit";
/// Lines besides the targets: state, queue, a blank one, titles, keys.
const OTHER_LINES: usize = 5;

/// Titles and widths of the columns.
const COLUMNS: [(&str, u16); 12] = [
    ("TARGET", 20),
    ("STATE", 12),
    ("IN/s", 9),
    ("OUT/s", 9),
    ("FAIL/s", 8),
    ("PENDING", 10),
    ("OLDEST", 8),
    ("FLIGHT", 6),
    ("WAITING", 8),
    ("DEAD", 8),
    ("P50", 9),
    ("P99", 9),
];

/// Draws the board.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board, interactive: bool) {
    let [state, queue, _, table, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(state_line(board)), state);
    frame.render_widget(Paragraph::new(queue_line(&board.now.queue)), queue);

    let rows = board.targets().into_iter().map(|target| row(board, target));
    let widths = COLUMNS.map(|(title, width)| match title {
        "TARGET" => Constraint::Min(width),
        _ => Constraint::Length(width),
    });
    let titles = COLUMNS.map(|(title, _)| {
        let style = if title == board.order.column() && interactive {
            Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            Style::new().add_modifier(Modifier::BOLD)
        };
        aligned(title, title.to_owned()).style(style)
    });
    let mut figures = Table::new(rows, widths).header(Row::new(titles));
    let mut choice = TableState::new();
    if interactive {
        figures = figures.row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        choice.select(board.chosen().map(|(row, _)| row));
    }
    frame.render_stateful_widget(figures, table, &mut choice);
    if interactive {
        let text = if board.message.is_empty() {
            KEYS
        } else {
            &board.message
        };
        frame.render_widget(Paragraph::new(text), foot);
    }
}

/// One frame as text, without colours and trailing blanks.
pub(super) fn as_text(board: &Board, width: u16) -> String {
    let lines = board.now.targets.len() + OTHER_LINES;
    let height = u16::try_from(lines).unwrap_or(u16::MAX);
    let mut terminal =
        Terminal::new(TestBackend::new(width, height)).expect("a terminal in memory does not fail");
    terminal
        .draw(|frame| draw(frame, board, false))
        .expect("a terminal in memory does not fail");
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for line in buffer.content.chunks(usize::from(width)) {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn state_line(board: &Board) -> Line<'_> {
    let status = &board.now.status;
    let good = Style::new().fg(Color::Green);
    let bad = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    let state = match (&board.error, status.ready) {
        (Some(error), _) => Span::styled(format!("these figures are old: {error}"), bad),
        (None, true) => Span::styled("ready", good),
        (None, false) => {
            let why: Vec<&str> = status.reasons.iter().map(|it| it.detail.as_str()).collect();
            Span::styled(format!("NOT READY: {}", why.join("; ")), bad)
        }
    };
    let up = span_of_time(status.uptime_seconds);
    let version = &status.version;
    let mut spans = vec![Span::raw(format!("webhookd {version}, up {up}, ")), state];
    for target in &board.now.targets {
        if let Some(hold) = &target.hold {
            let until = hold.until.as_deref().unwrap_or("an event is delivered");
            let (name, detail) = (&target.name, &hold.detail);
            spans.push(Span::raw(format!(
                "; {name} is held until {until}: {detail}"
            )));
        }
    }
    Line::from(spans)
}

fn queue_line(queue: &Queue) -> Line<'_> {
    if queue.directory.is_none() {
        return Line::raw("no queue: every target is best-effort");
    }
    let size = |bytes: u64| indicatif::HumanBytes(bytes).to_string();
    let fill = queue.bytes as f64 / (queue.max_bytes as f64).max(1.0);
    let mut text = format!(
        "queue: {} events, {} of {} ({:.0} %)",
        queue.events,
        size(queue.bytes),
        size(queue.max_bytes),
        fill * 100.0
    );
    if queue.quarantined > 0 {
        text.push_str(&format!(", {} quarantined", queue.quarantined));
    }
    let writer = queue.writer.as_ref();
    if writer.is_some_and(|writer| writer.blocked) {
        text.push_str(", events wait for room");
    }
    if let Some(why) = writer.and_then(|writer| writer.failing.as_deref()) {
        text.push_str(&format!(", commits fail: {why}"));
    }
    let color = match fill {
        fill if fill >= 0.9 => Color::Red,
        fill if fill >= 0.7 => Color::Yellow,
        _ => Color::Reset,
    };
    Line::styled(text, Style::new().fg(color))
}

fn row<'a>(board: &Board, target: &'a Target) -> Row<'a> {
    let stats = &target.stats;
    let rates = board.rates(&target.name);
    let rate = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |it| format!("{it:.1}"));
    let cells = [
        target.name.clone(),
        target.state.clone(),
        rate(rates.map(|it| it.accepted)),
        rate(rates.map(|it| it.delivered)),
        rate(rates.map(|it| it.failed)),
        stats.pending.to_string(),
        stats
            .oldest_pending_age_seconds
            .map_or_else(|| "-".to_owned(), span_of_time),
        stats.in_flight.to_string(),
        stats.waiting_tasks.to_string(),
        stats.dead_held.to_string(),
        milliseconds(stats.attempt_seconds.p50),
        milliseconds(stats.attempt_seconds.p99),
    ];
    let cells = COLUMNS.iter().zip(cells).map(|((title, _), text)| {
        let cell = aligned(title, text);
        match *title {
            "STATE" => cell.style(Style::new().fg(state_color(&target.state))),
            "DEAD" if stats.dead_held > 0 => cell.style(Style::new().fg(Color::Red)),
            _ => cell,
        }
    });
    Row::new(cells)
}

fn state_color(state: &str) -> Color {
    match state {
        "ok" => Color::Green,
        "retrying" | "half-open" | "paused" => Color::Yellow,
        _ => Color::Red,
    }
}

/// Text is aligned to the left, figures to the right.
fn aligned(title: &str, text: String) -> Cell<'static> {
    let side = match title {
        "TARGET" | "STATE" => Alignment::Left,
        _ => Alignment::Right,
    };
    Cell::from(Text::from(text).alignment(side))
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |it| format!("{:.1} ms", it * 1_000.0))
}

/// The two largest units: `4 s`, `2m 03s`, `5h 07m`, `12d 4h`.
fn span_of_time(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60) {
        (0, 0, 0) => format!("{:.1}s", seconds.max(0.0)),
        (0, 0, minutes) => format!("{minutes}m {:02}s", whole % 60),
        (0, hours, minutes) => format!("{hours}h {minutes:02}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

/// The message about the order.
pub(super) fn sorted_by(order: Order) -> String {
    format!("sorted by {}", order.column())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::top::board::tests::snapshot;
    use std::time::{Duration, Instant};

    fn board() -> Board {
        let start = Instant::now();
        let mut board = Board::default();
        board.update(snapshot(3_725.0, [100, 0]), start);
        board.update(snapshot(3_727.0, [350, 0]), start + Duration::from_secs(2));
        board
    }

    #[test]
    fn a_frame_shows_each_target_with_its_figures() {
        let expected = "\
webhookd 0.1.0, up 1h 02m, ready
queue: 7 events, 1.00 GiB of 4.00 GiB (25 %)

TARGET               STATE             IN/s     OUT/s   FAIL/s    PENDING   OLDEST FLIGHT  WAITING     DEAD       P50       P99
audit                ok               125.0     125.0      0.0          0        -      3        0        0    2.1 ms 1500.0 ms
pager                ok                 0.0       0.0      0.0          7   1m 01s      3        7        0    2.1 ms 1500.0 ms
";
        assert_eq!(as_text(&board(), 127), expected);
    }

    #[test]
    fn problems_are_shown() {
        let mut board = board();
        board.now.targets[0].state = "breaker-open".to_owned();
        board.now.targets[1].state = "paused".to_owned();
        board.now.queue.quarantined = 2;
        board.now.status.ready = false;
        board.error = Some("no answer".to_owned());
        let text = as_text(&board, 124);
        for sign in [
            "breaker-open",
            "paused",
            "2 quarantined",
            "these figures are old: no answer",
        ] {
            assert!(text.contains(sign), "{sign} in\n{text}");
        }
        board.error = None;
        assert!(as_text(&board, 124).contains("NOT READY"));
    }

    #[test]
    fn the_chosen_target_is_marked_and_the_keys_are_shown() {
        let mut board = board();
        board.choose(1);
        let mut terminal = Terminal::new(TestBackend::new(124, 8)).unwrap();
        terminal.draw(|frame| draw(frame, &board, true)).unwrap();
        let buffer = terminal.backend().buffer();
        let is_marked = |line: u16| buffer[(0, line)].modifier.contains(Modifier::REVERSED);
        assert!(is_marked(5) && !is_marked(4));
        let last: String = (0..124)
            .map(|column| buffer[(column, 7)].symbol())
            .collect();
        assert_eq!(last.trim_end(), KEYS);
    }

    #[test]
    fn a_terminal_of_any_size_will_do() {
        for (width, height) in [(1, 1), (10, 3), (500, 2), (40, 200)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, &board(), true)).unwrap();
        }
    }

    #[test]
    fn times_are_shown_in_their_largest_units() {
        for (seconds, text) in [
            (0.04, "0.0s"),
            (59.94, "59.9s"),
            (123.0, "2m 03s"),
            (18_432.0, "5h 07m"),
            (1_051_300.0, "12d 4h"),
        ] {
            assert_eq!(span_of_time(seconds), text);
        }
    }
}
