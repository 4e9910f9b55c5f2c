//! Cuts members out of a document, and leaves the rest as it is.

use crate::pointer_set::{Node, PointerSet};
use std::borrow::Cow;
use std::ops::Range;
use webhook_model::{JsonScanner, ReadError};

/// The document without the values at these pointers, of which none is the whole document. A member
/// is cut with its name and a comma, each time that it occurs.
///
/// # Errors
/// It is not one JSON document in UTF-8.
pub(crate) fn cut<'a>(
    document: &'a [u8],
    pointers: &PointerSet,
) -> Result<Cow<'a, [u8]>, ReadError> {
    let mut scanner = JsonScanner::new(document)?;
    let mut cuts = Vec::new();
    value(&mut scanner, pointers, pointers.root(), &mut cuts)?;
    scanner.end()?;
    if cuts.is_empty() {
        return Ok(Cow::Borrowed(document));
    }
    let mut kept = Vec::with_capacity(document.len());
    let mut from = 0;
    for cut in cuts {
        kept.extend_from_slice(document.get(from..cut.start).unwrap_or_default());
        from = cut.end;
    }
    kept.extend_from_slice(document.get(from..).unwrap_or_default());
    Ok(Cow::Owned(kept))
}

/// The members of an object or the elements of an array that were passed.
#[derive(Default)]
struct Items {
    /// The end of the last one.
    end: usize,
    /// Whether one was kept.
    kept: bool,
    /// The start of those at the beginning that are cut.
    open: Option<usize>,
}

fn value(
    scanner: &mut JsonScanner<'_>,
    pointers: &PointerSet,
    node: Option<&Node>,
    cuts: &mut Vec<Range<usize>>,
) -> Result<(), ReadError> {
    let (node, is_object) = match (node, scanner.peek()) {
        (Some(node), Some(b'{')) => (node, true),
        (Some(node), Some(b'[')) => (node, false),
        _ => return scanner.skip_value(),
    };
    match is_object {
        true => scanner.enter_object()?,
        false => scanner.enter_array()?,
    }
    let mut items = Items::default();
    let mut first = true;
    let mut index = 0_usize;
    loop {
        let start = scanner.next_item_place(first);
        let inner = if is_object {
            match scanner.next_name(&mut first)? {
                Some(name) => pointers.member(node, &name),
                None => break,
            }
        } else if scanner.next_element(&mut first)? {
            index += 1;
            pointers.element(node, index - 1)
        } else {
            break;
        };
        if inner.is_some_and(Node::is_end) {
            scanner.skip_value()?;
            let end = scanner.place();
            match items.kept {
                true => cuts.push(items.end..end),
                false => items.open = items.open.or(Some(start)),
            }
        } else {
            if let Some(open) = items.open.take() {
                cuts.push(open..start);
            }
            items.kept = true;
            value(scanner, pointers, inner, cuts)?;
        }
        items.end = scanner.place();
    }
    if let Some(open) = items.open {
        cuts.push(open..items.end);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_cut_with_a_comma_and_the_rest_is_untouched() {
        for (document, expected) in [
            (r#"{"a":1,"s":"x","b":2}"#, r#"{"a":1,"b":2}"#),
            (r#"{"s":{"a":[1]},"b":2}"#, r#"{"b":2}"#),
            (r#"{ "s" : 1 , "s":2, "b" : 2 }"#, r#"{ "b" : 2 }"#),
            (r#"{"a":1, "s":2}"#, r#"{"a":1}"#),
            (r#"{"s":2}"#, "{}"),
            (r#"{"\u0073":"\"}","a":{"s":1}}"#, r#"{"a":{"s":1}}"#),
            (
                r#"{"n":{"s":1,"t":2},"l":[1,2,3]}"#,
                r#"{"n":{"t":2},"l":[1,3]}"#,
            ),
            (r#"[1]"#, "[1]"),
        ] {
            let mut pointers = PointerSet::default();
            for pointer in ["/s", "/n/s", "/l/1"] {
                pointers.add(&pointer.parse().unwrap());
            }
            let cut = cut(document.as_bytes(), &pointers).unwrap();
            assert_eq!(String::from_utf8_lossy(&cut), expected, "{document}");
        }
    }
}
