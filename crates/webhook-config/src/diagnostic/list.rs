//! The problems of a file.

use super::code::Code;
use super::problem::{Diagnostic, Severity};
use super::render;
use super::source::Source;
use crate::json::Span;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// All problems of one file, in the order of the file.
///
/// `Display` writes one line for each; [`Self::render`] also shows the places.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    source: Arc<Source>,
    list: Vec<Diagnostic>,
}

/// The most problems that are listed for one file.
const MOST_LISTED: usize = 1000;

impl Diagnostics {
    /// The name of the file, as given.
    #[must_use]
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// The problems, in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Whether there are no problems.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number of problems.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The number of problems of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.list
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }

    /// Whether there is an error, so that the file is not valid.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Renders the problems for a terminal: each with its line, the place underlined, and how to
    /// fix it. Values that may be secrets are masked. `color` adds ANSI colours.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        render::render(&self.source, &self.list, color)
    }
}

impl Serialize for Diagnostics {
    /// A list of the problems; see [`Diagnostic`].
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, it) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let (file, severity) = (self.file(), it.severity.as_str());
            write!(
                f,
                "{file}:{}:{}: {severity}: {} [{}]",
                it.line, it.column, it.message, it.code
            )?;
        }
        Ok(())
    }
}

/// A problem as found, with its place in bytes.
#[derive(Debug)]
struct Problem {
    code: Code,
    severity: Severity,
    span: Span,
    message: String,
    help: Option<String>,
}

/// Collects problems in any order.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn error(
        &mut self,
        code: Code,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, code, span, message.into(), help.into());
    }

    pub(crate) fn warning(
        &mut self,
        code: Code,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Warning, code, span, message.into(), help.into());
    }

    fn add(&mut self, severity: Severity, code: Code, span: &Span, message: String, help: String) {
        // A text may quote the file, and is shown on a terminal.
        let [message, help] = [message, help].map(escaped);
        let help = Some(help).filter(|help| !help.is_empty());
        self.0.push(Problem {
            code,
            severity,
            span: span.clone(),
            message,
            help,
        });
    }

    /// Whether further problems would not be listed.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() > MOST_LISTED
    }

    pub(crate) fn count_errors(&self) -> usize {
        self.0
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count()
    }

    /// Sorts the problems, finds their lines and columns, and limits their number.
    pub(crate) fn finish(self, source: Source) -> Diagnostics {
        let mut problems = self.0;
        problems.sort_by_key(|problem| problem.span.start);
        if problems.len() > MOST_LISTED {
            // If an error is cut off, the file must still not be valid.
            let cut = problems.split_off(MOST_LISTED);
            let is_error = |problem: &Problem| problem.severity == Severity::Error;
            let severity = if cut.iter().any(is_error) {
                Severity::Error
            } else {
                Severity::Warning
            };
            let span = cut.first().map_or(0..0, |problem| problem.span.clone());
            problems.push(Problem {
                code: Code::TooManyProblems,
                severity,
                span,
                message: format!("{} more problems are not listed", cut.len()),
                help: Some("fix the problems above first".to_owned()),
            });
        }
        let mut places = source.places();
        let list = problems
            .into_iter()
            .map(
                |Problem {
                     code,
                     severity,
                     span,
                     message,
                     help,
                 }| {
                    let (line, column) = places.of(span.start);
                    Diagnostic {
                        code,
                        severity,
                        span,
                        line,
                        column,
                        message,
                        help,
                    }
                },
            )
            .collect();
        Diagnostics {
            source: Arc::new(source),
            list,
        }
    }
}

/// The text with its control characters escaped.
fn escaped(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_debug());
        } else {
            escaped.push(character);
        }
    }
    escaped
}
