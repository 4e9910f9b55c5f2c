//! Reads the JSON tree into the mirror's types, and reports what is wrong.

use crate::aurora::integer::{self, NotAnInteger};
use crate::diagnostic::{Code, Problems};
use crate::json::{Kind, Span, Value};
use std::collections::HashSet;

/// The value of a key.
#[derive(Debug, Default)]
pub(crate) enum Slot<T> {
    #[default]
    Absent,
    Null(Span),
    /// Present but invalid; the problem has been reported.
    Bad,
    Given(T),
}

impl<T> Slot<T> {
    pub(crate) fn given(self) -> Option<T> {
        match self {
            Slot::Given(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn as_given(&self) -> Option<&T> {
        match self {
            Slot::Given(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn is_given(&self) -> bool {
        self.as_given().is_some()
    }
}

/// A value and its place in the file.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// Collects problems while values are read, and which values may be shown.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) problems: Problems,
    /// Starts of the scalars that may be shown; all others are masked.
    shown: HashSet<usize>,
    /// Parts of shown scalars that are masked nevertheless.
    pub(crate) hidden: Vec<Span>,
}

impl Reader {
    pub(crate) fn error(
        &mut self,
        code: Code,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.error(code, span, message, help);
    }

    pub(crate) fn warning(
        &mut self,
        code: Code,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.warning(code, span, message, help);
    }

    pub(crate) fn wrong_type(&mut self, value: &Value, expected: &str) {
        let message = format!("expected {expected}, found {}", value.kind_name());
        self.error(Code::WrongType, &value.span, message, "");
    }

    /// Allows a value to be shown in the line of a problem, since it cannot be a secret.
    pub(crate) fn show(&mut self, value: &Value) {
        self.shown.insert(value.span.start);
    }

    /// Allows the value at this place to be shown.
    pub(crate) fn show_at(&mut self, span: &Span) {
        self.shown.insert(span.start);
    }

    pub(crate) fn is_shown(&self, value: &Value) -> bool {
        self.shown.contains(&value.span.start)
    }
}

/// A type of the mirror.
pub(crate) trait FromValue: Sized {
    /// Reads a value that is not null, and reports what is wrong with it.
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self>;
}

impl<T: FromValue> Slot<T> {
    pub(crate) fn read(value: &Value, reader: &mut Reader) -> Self {
        if value.is_null() {
            return Slot::Null(value.span.clone());
        }
        T::from_value(value, reader).map_or(Slot::Bad, Slot::Given)
    }
}

/// A string that is not a secret.
#[derive(Clone, Debug)]
pub(crate) struct Text(pub(crate) Spanned<String>);

impl FromValue for Text {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        reader.show(value);
        match &value.kind {
            Kind::String(text) => Some(Text(Spanned {
                value: text.clone(),
                span: value.span.clone(),
            })),
            _ => {
                reader.wrong_type(value, "a string");
                None
            }
        }
    }
}

impl FromValue for bool {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        reader.show(value);
        match value.kind {
            Kind::Bool(boolean) => Some(boolean),
            _ => {
                reader.wrong_type(value, "true or false");
                None
            }
        }
    }
}

impl FromValue for Spanned<u64> {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        reader.show(value);
        let number = match &value.kind {
            Kind::Number(text) => text.parse().ok(),
            _ => None,
        };
        if number.is_none() {
            reader.wrong_type(value, "a whole number");
        }
        Some(Spanned {
            value: number?,
            span: value.span.clone(),
        })
    }
}

impl FromValue for Spanned<f64> {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        reader.show(value);
        match &value.kind {
            Kind::Number(text) => Some(Spanned {
                value: text.parse().ok()?,
                span: value.span.clone(),
            }),
            _ => {
                reader.wrong_type(value, "a number");
                None
            }
        }
    }
}

impl<T: FromValue> FromValue for Spanned<Vec<T>> {
    /// Reads a list. Items that cannot be read are reported and left out.
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        let Kind::Array(items) = &value.kind else {
            reader.wrong_type(value, "a list");
            return None;
        };
        let mut list = Vec::new();
        for item in items {
            if item.is_null() {
                reader.wrong_type(item, "a value");
            } else {
                list.extend(T::from_value(item, reader));
            }
        }
        Some(Spanned {
            value: list,
            span: value.span.clone(),
        })
    }
}

/// A whole number of milliseconds. Like Aurora, it accepts a string and a fraction.
#[derive(Clone, Debug)]
pub(crate) struct Milliseconds {
    pub(crate) span: Span,
    /// `None` for an empty string, which Aurora read as null.
    pub(crate) value: Option<i32>,
}

impl FromValue for Milliseconds {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        reader.show(value);
        let span = value.span.clone();
        let read = match &value.kind {
            Kind::Number(text) => integer::from_number(text).map(Some),
            Kind::String(text) => integer::from_string(text),
            _ => {
                reader.wrong_type(value, "a whole number");
                return None;
            }
        };
        match read {
            Ok(Some(number)) => {
                let is_plain =
                    matches!(&value.kind, Kind::Number(text) if text.parse() == Ok(number));
                if !is_plain {
                    let found = value.kind_name();
                    let message =
                        format!("{found} where a whole number should be; read as {number}");
                    let help = format!("write {number}");
                    reader.warning(Code::SloppyType, &span, message, help);
                }
                Some(Milliseconds {
                    span,
                    value: Some(number),
                })
            }
            Ok(None) => Some(Milliseconds { span, value: None }),
            Err(NotAnInteger::NoNumber) => {
                let message = "expected a whole number, found a string that is not a number";
                reader.error(Code::WrongType, &span, message, "such as 5000");
                None
            }
            Err(NotAnInteger::TooLarge) => {
                let message = "the number is too large or too small";
                reader.error(Code::OutOfRange, &span, message, "from 1 to 2147483647");
                None
            }
        }
    }
}
