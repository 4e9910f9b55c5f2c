//! Reads `statuses` like Aurora, which read the tokens of the list as strings.

use super::read::{FromValue, Reader};
use crate::diagnostic::Code;
use crate::json::{Kind, Span, Value};

/// The elements of `statuses`, as Aurora read them.
#[derive(Debug)]
pub(crate) struct StatusList {
    pub(crate) span: Span,
    pub(crate) items: Vec<StatusItem>,
    /// A list inside the list. At its end, Aurora stopped reading the list and the file.
    pub(crate) cut: Option<Span>,
}

/// An element, or one token of a nested one.
#[derive(Debug)]
pub(crate) struct StatusItem {
    pub(crate) span: Span,
    /// `None` for null.
    pub(crate) text: Option<String>,
}

impl FromValue for StatusList {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        let Kind::Array(elements) = &value.kind else {
            reader.wrong_type(value, "a list of statuses");
            return None;
        };
        let mut list = StatusList {
            span: value.span.clone(),
            items: Vec::new(),
            cut: None,
        };
        for element in elements {
            reader.show(element);
            if let Kind::Array(_) | Kind::Object(_) = &element.kind {
                let message = format!("expected a status, found {}", element.kind_name());
                let help = "write the statuses in one list, as [\"LOST\", \"FAILED\"]";
                reader.warning(Code::SloppyType, &element.span, message, help);
            }
            if list.add(element, &element.span) {
                list.cut = Some(element.span.clone());
                break;
            }
        }
        Some(list)
    }
}

impl StatusList {
    /// Adds the texts of a value's tokens, brackets and keys included; whether a list ended in the
    /// value.
    ///
    /// Jackson read the text of every token up to the first end of a list, even of an inner one.
    fn add(&mut self, value: &Value, span: &Span) -> bool {
        match &value.kind {
            Kind::Null => self.push(None, span),
            Kind::Bool(boolean) => self.push(Some(&boolean.to_string()), span),
            Kind::Number(text) | Kind::String(text) => self.push(Some(text), span),
            Kind::Array(items) => {
                self.push(Some("["), span);
                let _ = items.iter().any(|item| self.add(item, span));
                return true;
            }
            Kind::Object(members) => {
                self.push(Some("{"), span);
                for member in members {
                    self.push(Some(&member.key.text), span);
                    if self.add(&member.value, span) {
                        return true;
                    }
                }
                self.push(Some("}"), span);
            }
        }
        false
    }

    fn push(&mut self, text: Option<&str>, span: &Span) {
        self.items.push(StatusItem {
            span: span.clone(),
            text: text.map(str::to_owned),
        });
    }
}
