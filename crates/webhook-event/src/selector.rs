//! Selectors: where the text of a field is.

use crate::condition::{self, Condition, Test, hold};
use crate::error::{InvalidSchema, UnknownEvent};
use crate::fragment::Fragment;
use crate::pointer::Pointer;
use crate::pointer_set::{Found, PointerSet};
use crate::settings::{self, Members, kind};
use serde_json::Value;
use std::borrow::Cow;
use webhook_model::JsonScanner;

/// Where the text of a field is: a pointer, or an object that says more (see [`Selector::from_json`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Selector(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// The value at a pointer, if it meets the tests.
    Value {
        at: Pointer,
        tests: Vec<Test>,
        default: Option<String>,
    },
    /// A value in an element of the array at a pointer: of those that meet the conditions, the
    /// last one or the one before it.
    Element {
        at: Pointer,
        conditions: Vec<Condition>,
        from_end: usize,
        value: Pointer,
    },
    /// The first that is found.
    First(Vec<Selector>),
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
            return Ok(Selector(Kind::Value {
                at: settings::pointer(value)?,
                tests: Vec::new(),
                default: None,
            }));
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
        let default = members.optional("default", settings::text)?;
        members.end()?;
        let is_element = last.is_some() || previous.is_some() || conditions.is_some();
        let is_value = !tests.is_empty() || default.is_some();
        if let Some(first) = first {
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
            (None, None) => Kind::Value { at, tests, default },
            _ if is_value => {
                return Err(InvalidSchema::new(
                    "a test or a `default` beside `last` or `previous`",
                )
                .help("put a test into `where`, and a default into the last of `first`"));
            }
            (last, previous) => Kind::Element {
                at,
                conditions: conditions.unwrap_or_default(),
                from_end: usize::from(previous.is_some()),
                value: last.or(previous).unwrap_or_default(),
            },
        };
        Ok(Selector(kind))
    }

    /// The pointer that is looked up first, for messages.
    pub(crate) fn pointer(&self) -> String {
        match &self.0 {
            Kind::Value { at, .. } => at.to_string(),
            Kind::Element { at, .. } => at.to_string(),
            Kind::First(first) => {
                let pointers: Vec<_> = first.iter().map(Selector::pointer).collect();
                pointers.join(" or ")
            }
        }
    }

    /// Adds all pointers to a set.
    pub(crate) fn add_to(&self, set: &mut PointerSet) {
        match &self.0 {
            Kind::Value { at, .. } | Kind::Element { at, .. } => {
                set.add(at);
            }
            Kind::First(first) => first.iter().for_each(|selector| selector.add_to(set)),
        }
    }

    /// The text in what a set found, `None` if there is none.
    ///
    /// # Errors
    /// The value is an object or an array.
    pub(crate) fn find<'a>(
        &self,
        setting: &'static str,
        set: &PointerSet,
        found: &Found<'a>,
    ) -> Result<Option<Cow<'a, str>>, UnknownEvent> {
        match &self.0 {
            Kind::First(first) => {
                for selector in first {
                    if let Some(text) = selector.find(setting, set, found)? {
                        return Ok(Some(text));
                    }
                }
                Ok(None)
            }
            Kind::Value { at, tests, default } => {
                let value = at_pointer(set, found, at).filter(|value| !value.is_null());
                let value = value.filter(|value| hold(tests, Some(value)));
                match value {
                    Some(value) => text(setting, at, &value).map(Some),
                    None => Ok(default.clone().map(Cow::Owned)),
                }
            }
            Kind::Element {
                at,
                conditions,
                from_end,
                value,
            } => {
                let Some(array) = at_pointer(set, found, at).filter(|value| !value.is_null())
                else {
                    return Ok(None);
                };
                let mut inner = PointerSet::default();
                let wanted = inner.add(value);
                for condition in conditions {
                    inner.add(condition.at());
                }
                let mut texts = Vec::new();
                for element in elements(&array).ok_or_else(|| UnknownEvent::Type {
                    setting,
                    expected: "an array",
                    pointer: at.to_string(),
                    found: array.kind(),
                    at: array.at(),
                })? {
                    let found = inner.read(element.bytes())?;
                    let meets = conditions.iter().all(|condition| {
                        condition.holds(at_pointer(&inner, &found, condition.at()).as_ref())
                    });
                    if meets && let Some(value) = found[wanted].filter(|value| !value.is_null()) {
                        texts.push(value);
                    }
                }
                let chosen = texts
                    .len()
                    .checked_sub(from_end + 1)
                    .map(|index| texts[index]);
                chosen
                    .map(|chosen| text(setting, value, &chosen))
                    .transpose()
            }
        }
    }
}

/// What a set found at one of its pointers.
pub(crate) fn at_pointer<'a>(
    set: &PointerSet,
    found: &Found<'a>,
    pointer: &Pointer,
) -> Option<Fragment<'a>> {
    let index = set.pointers().iter().position(|known| known == pointer)?;
    found.get(index).copied().flatten()
}

/// The elements of an array; `None` if it is none.
pub(crate) fn elements<'a>(array: &Fragment<'a>) -> Option<Vec<Fragment<'a>>> {
    if array.bytes().first() != Some(&b'[') {
        return None;
    }
    let mut scanner = JsonScanner::new(array.bytes()).ok()?;
    let mut elements = Vec::new();
    scanner.enter_array().ok()?;
    let mut first = true;
    while scanner.next_element(&mut first).ok()? {
        scanner.peek();
        let start = scanner.place();
        scanner.skip_value().ok()?;
        let bytes = array.bytes().get(start..scanner.place())?;
        elements.push(Fragment::new(bytes, array.at() + start));
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
