//! What a document has where a value was expected.

use crate::error::UnknownEvent;
use crate::pointer::Pointer;
use crate::pointer_set::PointerSet;

/// The error of a value at none of these pointers. It tells of the one of which most was found.
#[cold]
pub(crate) fn missing(
    setting: &'static str,
    pointers: &[&Pointer],
    document: &[u8],
) -> UnknownEvent {
    let mut nearest = (0, None, None);
    for pointer in pointers {
        let mut set = PointerSet::default();
        for count in 0..=pointer.tokens().len() {
            set.add(&pointer.up_to(count));
        }
        let found = match set.read(document) {
            Ok(found) => found,
            Err(error) => return error.into(),
        };
        let way: Vec<_> = found.into_iter().map_while(|value| value).collect();
        if way.len() > nearest.0 {
            nearest = (way.len(), Some(*pointer), way.last().copied());
        }
    }
    let (count, pointer, value) = nearest;
    let pointer = pointer.cloned().unwrap_or_default();
    let kind = value.map_or("empty", |value| value.kind());
    let place = match count {
        0 | 1 => "the document".to_owned(),
        _ => format!("\"{}\"", pointer.up_to(count - 1)),
    };
    let found = match (pointer.tokens().get(count.saturating_sub(1)), kind) {
        (Some(token), "an object" | "an array") => format!("{place} is {kind} without {token:?}"),
        (None, kind) if kind != "null" => {
            format!("{place} is {kind}, which the selector does not accept")
        }
        (_, kind) => format!("{place} is {kind}"),
    };
    UnknownEvent::Missing {
        setting,
        pointer: pointer.to_string(),
        found,
        at: value.map_or(0, |value| value.at()),
    }
}
