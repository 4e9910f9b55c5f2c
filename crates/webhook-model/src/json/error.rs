//! The error of a payload that cannot be read, with its place.

use std::fmt;

/// The kind of an error in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The bytes are not UTF-8, or a string escapes half a surrogate pair.
    Encoding,
    /// The text is not JSON.
    Syntax,
    /// Arrays and objects are nested deeper than the reader's bound.
    TooDeep,
    /// The JSON is well formed, but a member has another type than in Aurora.
    Type,
    /// The payload contradicts itself: a member occurs twice, or the value of a union has another
    /// type than its tag.
    Contradiction,
}

/// Why a payload cannot be read: what is wrong, in which member, at which byte.
///
/// Nothing of the payload is kept. Reading the same bytes again fails in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(Box<Fault>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    kind: ReadErrorKind,
    message: String,
    /// The path from the payload's root, innermost step first.
    steps: Vec<Step>,
    offset: usize,
    line: usize,
    column: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(Box<str>),
    Element(usize),
}

impl ReadError {
    /// An error at byte `offset` of `bytes`.
    #[cold]
    pub(crate) fn new(kind: ReadErrorKind, message: String, bytes: &[u8], offset: usize) -> Self {
        let before = bytes.get(..offset).unwrap_or(bytes);
        let line_start = before
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |newline| newline + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        // A UTF-8 continuation byte does not start a character.
        let column = in_line.iter().filter(|&&b| b & 0xC0 != 0x80).count() + 1;
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        ReadError(Box::new(Fault {
            kind,
            message,
            steps: Vec::new(),
            offset,
            line,
            column,
        }))
    }

    /// Adds the member `name` to the path of the error. One with control characters, which would break
    /// a line of a log or control a terminal, is escaped.
    #[cold]
    pub(crate) fn in_member(mut self, name: &str) -> Self {
        let name = if name.contains(char::is_control) {
            name.escape_debug().to_string()
        } else {
            name.to_owned()
        };
        self.0.steps.push(Step::Member(name.into()));
        self
    }

    /// Adds the element `index` to the path of the error.
    #[cold]
    pub(crate) fn in_element(mut self, index: usize) -> Self {
        self.0.steps.push(Step::Element(index));
        self
    }

    /// What is wrong, without the place.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The kind of error.
    #[must_use]
    pub fn kind(&self) -> ReadErrorKind {
        self.0.kind
    }

    /// The path of the member, for example `task.assignedTask.task.resources[2].setField`; empty if
    /// the error is in the payload as a whole.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.0.steps.iter().rev() {
            match step {
                Step::Member(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
                Step::Element(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    /// The byte at which the error was noticed, counted from 0.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The line of that byte, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The column of that byte in its line, in characters, counted from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.0.column
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.steps.is_empty() {
            write!(f, "{}: ", self.path())?;
        }
        let Fault {
            message,
            line,
            column,
            offset,
            ..
        } = &*self.0;
        write!(
            f,
            "{message}, at line {line} column {column} (byte {offset})"
        )
    }
}

impl std::error::Error for ReadError {}
