//! Renders diagnostics for a terminal.

use super::problem::{Diagnostic, Severity};
use super::source::Source;
use crate::json::Span;
use crate::secret::MASK;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// The most characters of a line shown on either side of a place.
const SHOWN_AROUND: usize = 100;

/// The most problems whose lines are shown.
const MOST_SHOWN: usize = 100;

pub(super) fn render(source: &Source, list: &[Diagnostic], color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut text = String::new();
    for diagnostic in list.iter().take(MOST_SHOWN) {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level
            .primary_title(&diagnostic.message)
            .id(diagnostic.code.as_str());
        let line = shown_line(source, &diagnostic.span);
        // The path includes line and column, since the line shown may be shortened.
        let (file, at, column) = (source.name(), diagnostic.line, diagnostic.column);
        let path = format!("{file}:{at}:{column}");
        let group = if source.text().is_empty() {
            title.element(annotate_snippets::Origin::path(&path))
        } else {
            title
                .element(annotate_snippets::Origin::path(&path))
                .element(
                    Snippet::source(line.text)
                        .line_start(diagnostic.line)
                        .annotation(AnnotationKind::Primary.span(line.span)),
                )
        };
        let group = match &diagnostic.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        };
        for line in renderer.render(&[group]).lines() {
            // Skip the mark of a snippet without a path: the path is already above it.
            if !is_bare_mark(line) {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text.push('\n');
    }
    if list.len() > MOST_SHOWN {
        text.push_str(&format!("... and {} more\n\n", list.len() - MOST_SHOWN));
    }
    text
}

/// Whether a line shows `:::` and nothing else, colours aside.
fn is_bare_mark(line: &str) -> bool {
    let mut shown = String::new();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            rest.by_ref().find(|c| *c == 'm');
        } else {
            shown.push(c);
        }
    }
    shown.trim() == ":::"
}

/// The part of a line that is shown, and the place of the problem in it.
struct ShownLine {
    text: String,
    span: Span,
}

/// The first line of `span`, shortened around it, with hidden parts masked.
fn shown_line(source: &Source, span: &Span) -> ShownLine {
    let text = source.text();
    let start = span.start.min(text.len());
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let end = span.end.clamp(start, line_end.max(start));
    let from = back(&text[line_start..start], SHOWN_AROUND) + line_start;
    let until = forth(&text[start..line_end], 2 * SHOWN_AROUND) + start;
    let mut shown = Masked {
        text: String::new(),
        at: from,
        span: 0..0,
    };
    if from > line_start {
        shown.text.push('\u{2026}');
    }
    let first = source.hidden().partition_point(|hidden| hidden.end <= from);
    shown.span.start = usize::MAX;
    for hidden in &source.hidden()[first..] {
        if hidden.start >= until {
            break;
        }
        shown.copy(text, hidden.start.clamp(from, until), start, end);
        shown.mask(hidden.end.clamp(from, until), start, end);
    }
    shown.copy(text, until, start, end);
    let length = shown.text.len();
    if until < line_end {
        shown.text.push('\u{2026}');
    }
    let span_start = shown.span.start.min(length);
    ShownLine {
        span: span_start..shown.span.end.max(span_start),
        text: shown.text,
    }
}

/// A line that is being copied with parts masked. It tracks where the place moves to.
struct Masked {
    text: String,
    at: usize,
    span: Span,
}

impl Masked {
    fn copy(&mut self, text: &str, until: usize, start: usize, end: usize) {
        let base = self.text.len();
        let offset = |place: usize| base + (place - self.at);
        if self.span.start == usize::MAX && (self.at..=until).contains(&start) {
            self.span.start = offset(start);
        }
        if end > self.at {
            self.span.end = offset(end.min(until).max(self.at));
        }
        // A tab counts, and is shown, as one column. A blank has as many bytes as what it replaces.
        for c in text[self.at..until].chars() {
            self.text.push(match c.len_utf8() {
                1 if c.is_control() => ' ',
                2 if c.is_control() => '\u{a0}',
                _ => c,
            });
        }
        self.at = until;
    }

    fn mask(&mut self, until: usize, start: usize, end: usize) {
        let base = self.text.len();
        if self.span.start == usize::MAX && (self.at..until).contains(&start) {
            self.span.start = base;
        }
        self.text.push_str(MASK);
        if end > self.at {
            self.span.end = self.text.len();
        }
        self.at = until;
    }
}

/// The offset at most `count` characters before the end of `text`.
fn back(text: &str, count: usize) -> usize {
    text.char_indices()
        .rev()
        .take(count)
        .last()
        .map_or(text.len(), |(at, _)| at)
}

/// The offset at most `count` characters after the start of `text`.
fn forth(text: &str, count: usize) -> usize {
    text.char_indices()
        .nth(count)
        .map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, hidden: Option<Span>, span: Span) -> (String, String) {
        let source = Source::new("f", text.to_owned(), hidden.into_iter().collect());
        let line = shown_line(&source, &span);
        let place = line.text[line.span.clone()].to_owned();
        (line.text, place)
    }

    #[test]
    fn a_hidden_part_is_masked_and_the_place_follows() {
        let text = "{\"A\": \"secret\", \"b\": 1}";
        let (line, place) = shown(text, Some(7..13), 16..19);
        assert_eq!(
            (line.as_str(), place.as_str()),
            ("{\"A\": \"***\", \"b\": 1}", "\"b\"")
        );
        let (_, place) = shown(text, Some(7..13), 6..14);
        assert_eq!(place, "\"***\"");
        let (_, place) = shown(text, Some(7..13), 9..10);
        assert_eq!(place, "***");
    }

    #[test]
    fn control_characters_are_shown_as_blanks_and_the_place_stays() {
        let text = "\u{1b}[2J\u{9b}2J\tX";
        let (line, place) = shown(text, None, text.len() - 1..text.len());
        assert_eq!((line.as_str(), place.as_str()), (" [2J\u{a0}2J X", "X"));
    }

    #[test]
    fn a_long_line_is_cut_on_both_sides() {
        let text = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let (line, place) = shown(&text, None, 5000..5001);
        assert_eq!(place, "X");
        assert!(line.chars().count() < 400);
    }

    #[test]
    fn the_end_of_the_text_is_a_place() {
        let (line, place) = shown("ab", None, 2..2);
        assert_eq!((line.as_str(), place.as_str()), ("ab", ""));
        let (_, place) = shown("ab\n", None, 3..3);
        assert_eq!(place, "");
    }
}
