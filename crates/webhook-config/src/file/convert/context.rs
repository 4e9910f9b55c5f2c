//! What all conversions need.

use crate::diagnostic::Code;
use crate::file::read::{Reader, Slot, Spanned};
use crate::file::resolve::Surroundings;
use crate::json::Span;
use crate::limits::Limits;

/// The input of a conversion besides the mirror.
pub(crate) struct Context<'a> {
    pub(crate) text: &'a str,
    /// Whether a syntax error ends the file early: then a missing key may only be unread, and is
    /// not reported.
    pub(crate) is_partial: bool,
    pub(crate) surroundings: &'a Surroundings<'a>,
}

/// The opening brace of an object.
pub(super) fn opening(object: &Span) -> Span {
    object.start..object.start + 1
}

/// The value of a required key. If it is absent, that is reported at the object's brace.
pub(super) fn required<T>(
    slot: Slot<T>,
    key: &str,
    what: &str,
    brace: &Span,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<T> {
    match slot {
        Slot::Given(value) => return Some(value),
        Slot::Absent if !context.is_partial => {
            let message = format!("the key `{key}` is missing");
            let help = format!("add `{key}`: {what}");
            reader.error(Code::MissingKey, brace, message, help);
        }
        Slot::Null(span) => {
            let message = format!("`{key}` is null");
            reader.error(Code::MissingKey, &span, message, format!("give it {what}"));
        }
        Slot::Absent | Slot::Bad => {}
    }
    None
}

/// A number, if one is given and is in range.
pub(super) fn number(
    slot: &Slot<Spanned<u64>>,
    limits: Limits,
    key: &str,
    reader: &mut Reader,
) -> Option<u64> {
    let Spanned { value, span } = slot.as_given()?;
    if limits.contains(*value) {
        return Some(*value);
    }
    let message = format!("`{key}` is out of range");
    let help = format!("from {} to {}", limits.least, limits.most);
    reader.error(Code::OutOfRange, span, message, help);
    None
}
