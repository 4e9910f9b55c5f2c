//! Selectors: where the text of a field is.

use crate::condition::{self, Condition, Test, hold};
use crate::error::{InvalidSchema, UnknownEvent};
use crate::fragment::Fragment;
use crate::pointer::Pointer;
use crate::pointer_set::{PointerSet, Source};
use crate::settings::{self, Members, kind};
use serde_json::Value;
use std::borrow::Cow;
use webhook_model::{JsonScanner, ReadError};

/// Where the text of a field is: a pointer, or an object that says more (see [`Selector::from_json`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Selector(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Value(OneValue),
    Element(Box<Element>),
    /// The first that is found.
    First(Vec<Selector>),
}

/// The value at a pointer, if it meets the tests.
#[derive(Clone, Debug, PartialEq)]
struct OneValue {
    at: Pointer,
    /// The index of the pointer in the schema's set.
    slot: usize,
    tests: Vec<Test>,
    default: Option<String>,
}

/// A value in an element of the array at a pointer: of those that meet the conditions and have the
/// value, the last one or the one before it. An object counts as an array of one.
#[derive(Clone, Debug, PartialEq)]
struct Element {
    at: Pointer,
    slot: usize,
    before_last: bool,
    value: Pointer,
    conditions: Vec<Condition>,
    /// The pointers of the value and of the conditions within an element.
    set: PointerSet,
    /// The indices in that set: of the value, and of each condition.
    inner: (usize, Vec<usize>),
    /// The indices in the schema's set, for an object.
    outer: (usize, Vec<usize>),
}

impl Selector {
    /// Reads a selector: a JSON Pointer; `{"at": P}` with tests or a `default`; `{"at": P, "where":
    /// [conditions], "last": Q}` or `"previous"` for an element of the array at `P`; or `{"first":
    /// [selectors]}`.
    ///
    /// # Errors
    /// It has another form.
    pub fn from_json(value: &Value) -> Result<Selector, InvalidSchema> {
        if value.is_string() {
            return Ok(Selector(Kind::Value(OneValue {
                at: settings::pointer(value)?,
                slot: 0,
                tests: Vec::new(),
                default: None,
            })));
        }
        if !value.is_object() {
            let found = kind(value);
            return Err(
                InvalidSchema::new(format!("expected a JSON Pointer, found {found}")).help(
                    "such as \"/job/id\", or an object such as {\"first\": [\"/a\", \"/b\"]}",
                ),
            );
        }
        let mut members = Members::of(value, "a selector")?;
        let first =
            members.optional("first", |value| settings::list(value, Selector::from_json))?;
        let at = members.optional("at", settings::pointer)?;
        let last = members.optional("last", settings::pointer)?;
        let previous = members.optional("previous", settings::pointer)?;
        let conditions =
            members.optional("where", |value| settings::list(value, Condition::from_json))?;
        let tests = condition::tests(&mut members)?;
        let default = members.optional("default", settings::scalar)?;
        members.end()?;
        let is_element = last.is_some() || previous.is_some() || conditions.is_some();
        let is_value = !tests.is_empty() || default.is_some();
        if let Some(first) = first {
            if first.is_empty() {
                return Err(InvalidSchema::new("an empty list").within("first"));
            }
            if at.is_some() || is_element || is_value {
                return Err(InvalidSchema::new("`first` stands alone")
                    .help("put the rest into one of its selectors"));
            }
            return Ok(Selector(Kind::First(first)));
        }
        let at = at.ok_or_else(|| settings::missing("at"))?;
        let kind = match (last, previous) {
            (Some(_), Some(_)) => {
                return Err(InvalidSchema::new(
                    "`last` and `previous` exclude each other",
                ));
            }
            (None, None) if is_element => {
                return Err(InvalidSchema::new("`where` without `last` or `previous`")
                    .help("give the pointer of the value within the element, such as \"/name\""));
            }
            (None, None) => Kind::Value(OneValue {
                at,
                slot: 0,
                tests,
                default,
            }),
            _ if is_value => {
                return Err(InvalidSchema::new(
                    "a test or a `default` beside `last` or `previous`",
                )
                .help("put a test into `where`, and a default into the last of `first`"));
            }
            (last, previous) => Kind::Element(Box::new(Element::new(
                at,
                previous.is_some(),
                last.or(previous).unwrap_or_default(),
                conditions.unwrap_or_default(),
            ))),
        };
        Ok(Selector(kind))
    }

    /// The pointers that are looked up, for messages.
    pub(crate) fn pointers(&self) -> Vec<&Pointer> {
        match &self.0 {
            Kind::Value(value) => vec![&value.at],
            Kind::Element(element) => vec![&element.at],
            Kind::First(first) => first.iter().flat_map(Selector::pointers).collect(),
        }
    }

    /// Adds all pointers to the schema's set.
    pub(crate) fn add_to(&mut self, set: &mut PointerSet) {
        match &mut self.0 {
            Kind::Value(value) => value.slot = set.add(&value.at),
            Kind::Element(element) => {
                let at = element.at.clone();
                element.slot = set.add(&at);
                element.outer.0 = set.add(&at.join(&element.value));
                element.outer.1 = (element.conditions.iter())
                    .map(|condition| set.add(&at.join(condition.at())))
                    .collect();
            }
            Kind::First(first) => first.iter_mut().for_each(|selector| selector.add_to(set)),
        }
    }

    /// The text in what the schema's set found, `None` if there is none.
    ///
    /// # Errors
    /// The value is an object or an array.
    pub(crate) fn find<'a>(
        &self,
        setting: &'static str,
        found: &[Option<Fragment<'a>>],
    ) -> Result<Option<Cow<'a, str>>, UnknownEvent> {
        match &self.0 {
            Kind::First(first) => {
                for selector in first {
                    if let Some(text) = selector.find(setting, found)? {
                        return Ok(Some(text));
                    }
                }
                Ok(None)
            }
            Kind::Value(OneValue {
                at,
                slot,
                tests,
                default,
            }) => match present(found, *slot).filter(|value| hold(tests, Some(value))) {
                Some(value) => text(setting, at, &value).map(Some),
                None => Ok(default.clone().map(Cow::Owned)),
            },
            Kind::Element(element) => match element.find(setting, found)? {
                Some(value) => text(setting, &element.at.join(&element.value), &value).map(Some),
                None => Ok(None),
            },
        }
    }
}

impl Element {
    fn new(at: Pointer, before_last: bool, value: Pointer, conditions: Vec<Condition>) -> Element {
        let mut set = PointerSet::default();
        let slots = conditions.iter().map(Condition::at);
        let inner = (set.add(&value), slots.map(|at| set.add(at)).collect());
        Element {
            at,
            slot: 0,
            before_last,
            value,
            conditions,
            set,
            inner,
            outer: (0, Vec::new()),
        }
    }

    fn find<'a>(
        &self,
        setting: &'static str,
        found: &[Option<Fragment<'a>>],
    ) -> Result<Option<Fragment<'a>>, UnknownEvent> {
        let Some(array) = present(found, self.slot) else {
            return Ok(None);
        };
        match array.kind() {
            "an array" => Ok(self.in_array(&array)?),
            "an object" => Ok(self
                .chosen(found, &self.outer)
                .filter(|_| !self.before_last)),
            kind => Err(UnknownEvent::Type {
                setting,
                expected: "an array",
                pointer: self.at.to_string(),
                found: kind,
                at: array.at(),
            }),
        }
    }

    fn in_array<'a>(&self, array: &Fragment<'a>) -> Result<Option<Fragment<'a>>, ReadError> {
        let mut scanner = JsonScanner::new(array.bytes())?;
        let mut found = vec![None; self.set.pointers().len()];
        let (mut last, mut previous) = (None, None);
        scanner.enter_array()?;
        let mut first = true;
        while scanner.next_element(&mut first)? {
            self.set
                .read_next(&mut scanner, Source::of(array), &mut found)?;
            if let Some(value) = self.chosen(&found, &self.inner) {
                previous = last.replace(value);
            }
        }
        Ok(if self.before_last { previous } else { last })
    }

    /// The value, if the conditions hold, by the indices of their pointers.
    fn chosen<'a>(
        &self,
        found: &[Option<Fragment<'a>>],
        (value, slots): &(usize, Vec<usize>),
    ) -> Option<Fragment<'a>> {
        let mut conditions = self.conditions.iter().zip(slots);
        let hold = conditions.all(|(condition, slot)| condition.holds(found[*slot].as_ref()));
        present(found, *value).filter(|_| hold)
    }
}

/// What was found for a pointer, if it is not null.
fn present<'a>(found: &[Option<Fragment<'a>>], slot: usize) -> Option<Fragment<'a>> {
    found[slot].filter(|value| !value.is_null())
}

/// The first elements of an array, at most `most`; `None` if it is no array.
pub(crate) fn elements<'a>(array: &Fragment<'a>, most: usize) -> Option<Vec<Fragment<'a>>> {
    if array.bytes().first() != Some(&b'[') {
        return None;
    }
    let mut scanner = JsonScanner::new(array.bytes()).ok()?;
    let mut elements = Vec::new();
    scanner.enter_array().ok()?;
    let mut first = true;
    while elements.len() < most && scanner.next_element(&mut first).ok()? {
        scanner.peek();
        let start = scanner.place();
        scanner.skip_value().ok()?;
        elements.push(Source::of(array).fragment(start, scanner.place()));
    }
    Some(elements)
}

fn text<'a>(
    setting: &'static str,
    pointer: &Pointer,
    value: &Fragment<'a>,
) -> Result<Cow<'a, str>, UnknownEvent> {
    value.text().ok_or_else(|| UnknownEvent::Type {
        setting,
        expected: "a string, a number or a boolean",
        pointer: pointer.to_string(),
        found: value.kind(),
        at: value.at(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_of_a_selector_that_exclude_each_other_are_refused() {
        let stands_alone = "`first` stands alone";
        let beside = "a test or a `default` beside `last` or `previous`";
        let incomplete = "`where` without `last` or `previous`";
        for (selector, expected) in [
            (json!({"first": ["/a"], "at": "/b"}), stands_alone),
            (json!({"first": ["/a"], "last": "/b"}), stands_alone),
            (json!({"first": ["/a"], "previous": "/b"}), stands_alone),
            (json!({"first": ["/a"], "where": []}), stands_alone),
            (json!({"first": ["/a"], "prefix": "b"}), stands_alone),
            (json!({"first": ["/a"], "default": "b"}), stands_alone),
            (json!({"at": "/a", "last": "/b", "prefix": "c"}), beside),
            (json!({"at": "/a", "last": "/b", "default": "c"}), beside),
            (json!({"at": "/a", "previous": "/b", "default": 1}), beside),
            (json!({"at": "/a", "where": []}), incomplete),
            (json!({"at": "/a", "where": [], "default": 1}), incomplete),
            (
                json!({"at": "/a", "last": "/b", "previous": "/b"}),
                "`last` and `previous` exclude each other",
            ),
            (json!({"last": "/b"}), "`at` is missing"),
            (json!(["/a"]), "expected a JSON Pointer, found an array"),
        ] {
            let error = Selector::from_json(&selector).unwrap_err();
            assert_eq!(error.to_string(), expected, "{selector}");
        }
    }

    #[test]
    fn of_an_array_no_more_elements_are_taken_than_asked_for() {
        let array = Fragment::new(br#"[1 ,"b", {}]"#, 7);
        for (most, expected) in [(2, 2), (3, 3), (4, 3)] {
            assert_eq!(elements(&array, most).unwrap().len(), expected);
        }
        assert_eq!(elements(&Fragment::new(b"{}", 7), 2), None);
    }
}
