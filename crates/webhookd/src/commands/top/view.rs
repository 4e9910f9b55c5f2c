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

/// Titles and least widths of the columns.
const COLUMNS: [(&str, u16); 12] = [
    ("TARGET", 6),
    ("STATE", 12),
    ("IN/s", 9),
    ("OUT/s", 9),
    ("FAIL/s", 8),
    ("PENDING", 9),
    ("OLDEST", 8),
    ("FLIGHT", 6),
    ("WAITING", 8),
    ("DEAD", 8),
    ("P50", 9),
    ("P99", 9),
];
/// The width that the longest name gets before columns are hidden.
const NAME_WIDTH: u16 = 20;
/// The columns that a narrow terminal does not show, the first ones first. The one that the targets
/// are sorted by is shown longest.
const HIDDEN_FIRST: [&str; 11] = [
    "P50", "FLIGHT", "WAITING", "IN/s", "P99", "FAIL/s", "OUT/s", "OLDEST", "DEAD", "PENDING",
    "STATE",
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

    let rows: Vec<_> = board
        .targets()
        .into_iter()
        .map(|target| (target, texts(board, target)))
        .collect();
    let columns = columns(
        rows.iter().map(|(_, texts)| texts),
        board.order,
        table.width,
    );
    let widths = columns
        .iter()
        .map(|(index, width)| match COLUMNS[*index].0 {
            "TARGET" => Constraint::Min(*width),
            _ => Constraint::Length(*width),
        });
    let titles = columns.iter().map(|(index, _)| {
        let title = COLUMNS[*index].0;
        let style = if title == board.order.column() && interactive {
            Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            Style::new().add_modifier(Modifier::BOLD)
        };
        aligned(title, title.to_owned()).style(style)
    });
    let titles = Row::new(titles);
    let rows = rows.into_iter().map(|(target, texts)| {
        let shown = columns.iter().map(|(index, _)| *index);
        row(
            target,
            shown.map(|index| (COLUMNS[index].0, texts[index].clone())),
        )
    });
    let mut figures = Table::new(rows, widths).header(titles);
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
        if let Some(until) = &target.breaker_open_until {
            let name = &target.name;
            spans.push(Span::raw(format!(
                "; the breaker of {name} is open until {until}"
            )));
        }
    }
    for stream in status.streams.iter().filter(|it| !it.connected) {
        let (name, why) = (
            &stream.name,
            stream.error.as_deref().unwrap_or("no response"),
        );
        spans.push(Span::raw(format!(
            "; stream {name} is not connected: {why}"
        )));
    }
    Line::from(spans)
}

fn queue_line(queue: &Queue) -> Line<'_> {
    if queue.directory.is_none() && queue.shared.is_none() {
        return Line::raw("no queue: every target is best-effort");
    }
    let size = |bytes: u64| indicatif::HumanBytes(bytes).to_string();
    let usable = match queue.usable_bytes {
        0 => queue.max_bytes,
        usable => usable,
    };
    let fill = queue.bytes as f64 / (usable as f64).max(1.0);
    let mut text = format!(
        "queue: {} events, {} of {} ({:.0} %)",
        queue.events,
        size(queue.bytes),
        size(usable),
        fill * 100.0
    );
    if let Some(shared) = &queue.shared {
        text.push_str(&format!(", {}", shared.summary()));
    }
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

/// The columns that fit into `width`, by their place, and their widths. A column is shown whole or
/// not at all, since a number without its last digits is another number.
fn columns<'a>(
    rows: impl Iterator<Item = &'a [String; COLUMNS.len()]>,
    order: Order,
    width: u16,
) -> Vec<(usize, u16)> {
    let mut widths = COLUMNS.map(|(_, width)| width);
    for texts in rows {
        for (width, text) in widths.iter_mut().zip(texts) {
            let needed = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
            *width = needed.max(*width);
        }
    }
    widths[0] = widths[0].min(NAME_WIDTH);
    let mut shown: Vec<(usize, u16)> = widths.into_iter().enumerate().collect();
    let sorted_by = order.column();
    let hidden = HIDDEN_FIRST.iter().filter(|title| **title != sorted_by);
    for title in hidden
        .chain([&sorted_by])
        .filter(|title| **title != "TARGET")
    {
        let total: u32 = shown.iter().map(|(_, width)| u32::from(*width) + 1).sum();
        if total <= u32::from(width) + 1 {
            break;
        }
        shown.retain(|(index, _)| COLUMNS[*index].0 != *title);
    }
    shown
}

/// The texts of a target, one for each column.
fn texts(board: &Board, target: &Target) -> [String; COLUMNS.len()] {
    let stats = &target.stats;
    let rates = board.rates(&target.name);
    let rate = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |it| format!("{it:.1}"));
    [
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
    ]
}

fn row(target: &Target, texts: impl Iterator<Item = (&'static str, String)>) -> Row<'static> {
    let cells = texts.map(|(title, text)| {
        let cell = aligned(title, text);
        match title {
            "STATE" => cell.style(Style::new().fg(state_color(&target.state))),
            "DEAD" if target.stats.dead_held > 0 => cell.style(Style::new().fg(Color::Red)),
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

TARGET               STATE             IN/s     OUT/s   FAIL/s   PENDING   OLDEST FLIGHT  WAITING     DEAD       P50       P99
audit                ok               125.0     125.0      0.0         0        -      3        0        0    2.1 ms 1500.0 ms
pager                ok                 0.0       0.0      0.0         7   1m 01s      3        7        0    2.1 ms 1500.0 ms
";
        assert_eq!(as_text(&board(), 126), expected);
    }

    #[test]
    fn a_narrow_terminal_hides_whole_columns() {
        let mut board = board();
        board.now.targets[0].name = "a-target-with-a-long-name".to_owned();
        board.now.targets[1].stats.pending = 1_234_567_890;
        let expected = "\
webhookd 0.1.0, up 1h 02m, ready
queue: 7 events, 1.00 GiB of 4.00 GiB (25 %)

TARGET                 STATE            OUT/s    PENDING   OLDEST     DEAD
a-target-with-a-long-n ok                   -          0        -        0
pager                  ok                 0.0 1234567890   1m 01s        0
";
        assert_eq!(as_text(&board, 74), expected);
        board.order = Order::Failed;
        for width in 1..140 {
            let text = as_text(&board, width);
            let lines: Vec<&str> = text.lines().skip(3).collect();
            let titles: Vec<&str> = lines[0].split_whitespace().collect();
            assert_eq!(
                titles.contains(&"PENDING"),
                text.contains("1234567890"),
                "{text}"
            );
            let known = |title: &&str| COLUMNS.iter().any(|(it, _)| it == title);
            assert!(width < 6 || titles.iter().all(known), "{text}");
            assert!(width < 29 || titles.contains(&"FAIL/s"), "{text}");
        }
    }

    #[test]
    fn eighty_columns_show_what_an_operator_looks_at_first() {
        let text = as_text(&board(), 80);
        let titles = text.lines().nth(3).unwrap();
        for title in ["STATE", "OUT/s", "FAIL/s", "PENDING", "OLDEST", "DEAD"] {
            assert!(titles.contains(title), "{title} in {titles}");
        }
    }

    #[test]
    fn problems_are_shown() {
        let mut board = board();
        board.now.targets[0].state = "breaker-open".to_owned();
        board.now.targets[0].breaker_open_until = Some("2026-11-30T10:00:00Z".to_owned());
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
        let open = "the breaker of audit is open until 2026-11-30T10:00:00Z";
        assert!(as_text(&board, 240).contains(open));
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
