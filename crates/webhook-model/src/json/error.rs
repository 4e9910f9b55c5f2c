//! Why a payload cannot be read, and where.

use std::fmt;

/// What kind of fault stopped a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The bytes are not UTF-8, or a string escapes half a surrogate pair.
    Encoding,
    /// The text is not JSON.
    Syntax,
    /// Arrays and objects are nested deeper than the reader's bound.
    TooDeep,
    /// The JSON is well formed, but a member is not of the type that Aurora gives it.
    Type,
    /// The payload contradicts itself: a member twice, a union whose value is not of its tag.
    Contradiction,
}

/// Why a payload cannot be read: what is wrong, at which member, at which byte.
///
/// Nothing of the payload is kept; the same bytes fail the same way again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(Box<Fault>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    kind: ReadErrorKind,
    message: String,
    /// The steps from the payload's root, innermost first.
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
    /// A fault at byte `offset` of `bytes`.
    #[cold]
    pub(crate) fn new(kind: ReadErrorKind, message: String, bytes: &[u8], offset: usize) -> Self {
        let before = bytes.get(..offset).unwrap_or(bytes);
        let line_start = before
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |newline| newline + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        // A UTF-8 continuation byte is no character of its own.
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

    /// The same fault, seen from the object whose member `name` holds it.
    #[cold]
    pub(crate) fn in_member(mut self, name: &str) -> Self {
        self.0.steps.push(Step::Member(name.into()));
        self
    }

    /// The same fault, seen from the array whose element `index` holds it.
    #[cold]
    pub(crate) fn in_element(mut self, index: usize) -> Self {
        self.0.steps.push(Step::Element(index));
        self
    }

    /// What is wrong, without its place.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// What kind of fault it is.
    #[must_use]
    pub fn kind(&self) -> ReadErrorKind {
        self.0.kind
    }

    /// The member at fault, `task.assignedTask.task.resources[2].setField` say; empty where the
    /// fault is the payload's own.
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

    /// The byte at which the fault was noticed, counted from 0.
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
