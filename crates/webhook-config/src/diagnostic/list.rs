//! All problems of a file.

use super::code::Code;
use super::problem::{Diagnostic, Severity};
use super::render;
use super::source::Source;
use crate::json::Span;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// All problems of one file, in the file's order.
///
/// `Display` gives one line for each; [`Self::render`] shows the places.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    source: Arc<Source>,
    list: Vec<Diagnostic>,
}

/// The most problems that are listed of one file.
const MOST_LISTED: usize = 1000;

impl Diagnostics {
    /// The name of the file, as it was given.
    #[must_use]
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// The problems, in the file's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// How many of them are of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.list
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }

    /// Whether the file is not valid.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// The problems for a terminal: each with its line, the place underlined, and how to mend it.
    /// Values that are or may be secrets are masked. `color` adds ANSI colours.
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

/// A problem as found, its place in bytes.
#[derive(Debug)]
struct Problem {
    code: Code,
    severity: Severity,
    span: Span,
    message: String,
    help: Option<String>,
}

/// Problems as they are found, in any order.
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
        let help = Some(help).filter(|help| !help.is_empty());
        self.0.push(Problem {
            code,
            severity,
            span: span.clone(),
            message,
            help,
        });
    }

    /// Whether no more will be listed.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() > MOST_LISTED
    }

    pub(crate) fn count_errors(&self) -> usize {
        self.0
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count()
    }

    /// Sorts them, finds their lines and columns, and bounds their number.
    pub(crate) fn finish(self, source: Source) -> Diagnostics {
        let mut problems = self.0;
        problems.sort_by_key(|problem| problem.span.start);
        if problems.len() > MOST_LISTED {
            // An error that comes late must not turn the file valid.
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
                help: Some("mend the ones before".to_owned()),
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
