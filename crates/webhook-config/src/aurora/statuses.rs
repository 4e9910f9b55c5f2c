//! How a list became Aurora's list of strings.

use crate::diagnostic::Code;
use crate::file::{FromValue, Reader};
use crate::json::{Kind, Span, Value};

/// The elements of `statuses`, as Aurora read them.
#[derive(Debug)]
pub(crate) struct StatusList {
    pub(crate) span: Span,
    pub(crate) items: Vec<StatusItem>,
}

/// An element, or a part of one.
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
        let mut items = Vec::new();
        for element in elements {
            reader.show(element);
            let text = match &element.kind {
                Kind::Null => None,
                Kind::String(text) | Kind::Number(text) => Some(text.clone()),
                Kind::Bool(boolean) => Some(boolean.to_string()),
                Kind::Array(_) | Kind::Object(_) => {
                    let message = format!("expected a status, found {}", element.kind_name());
                    let help = "write the statuses in one list, as [\"LOST\", \"FAILED\"]";
                    reader
                        .problems
                        .error(Code::WrongType, &element.span, message, help);
                    continue;
                }
            };
            items.push(StatusItem {
                span: element.span.clone(),
                text,
            });
        }
        Some(StatusList {
            span: value.span.clone(),
            items,
        })
    }
}
