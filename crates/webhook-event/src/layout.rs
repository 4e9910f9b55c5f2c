//! Where the fields of an event are.

use crate::condition::Condition;
use crate::error::{InvalidSchema, UnknownEvent};
use crate::fields::EventFields;
use crate::fragment::Fragment;
use crate::missing::missing;
use crate::pointer_set::PointerSet;
use crate::selector::Selector;
use crate::settings::{self, Members};
use crate::time::epoch_ms;
use serde_json::Value;
use std::borrow::Cow;

type Text<'a> = Cow<'a, str>;

/// Where the fields of an event are, and which events are ignored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    ignore: Vec<Condition>,
    key: Parts,
    state: Option<Selector>,
    old_state: Option<Selector>,
    job: Parts,
    id: Parts,
    time: Option<Selector>,
    /// All pointers of the selectors and of the events to ignore.
    set: PointerSet,
    /// The index in the set of the pointer of each event to ignore.
    ignore_slots: Vec<usize>,
}

/// The selectors of the parts of a text, or several such lists, of which the first counts whose parts
/// are all found.
#[derive(Clone, Debug, Default, PartialEq)]
struct Parts(Vec<Vec<Selector>>);

impl Layout {
    /// Reads the members of the settings that say where the fields are.
    pub(crate) fn from_members(members: &mut Members<'_>) -> Result<Layout, InvalidSchema> {
        let ignore = members.optional("ignore", |value| {
            settings::list(value, Condition::from_json)
        })?;
        let mut layout = Layout {
            ignore: ignore.unwrap_or_default(),
            key: members.required("key", Parts::from_json)?,
            state: members.nullable("state", Selector::from_json)?,
            old_state: members.nullable("oldState", Selector::from_json)?,
            job: (members.nullable("job", Parts::from_json)?).unwrap_or_default(),
            id: (members.nullable("id", Parts::from_json)?).unwrap_or_default(),
            time: members.nullable("time", Selector::from_json)?,
            set: PointerSet::default(),
            ignore_slots: Vec::new(),
        };
        let set = &mut layout.set;
        let fields = [&mut layout.state, &mut layout.old_state, &mut layout.time];
        let lists = [&mut layout.key, &mut layout.job, &mut layout.id];
        let parts = lists
            .into_iter()
            .flat_map(|parts| parts.0.iter_mut().flatten());
        for selector in parts.chain(fields.into_iter().flatten()) {
            selector.add_to(set);
        }
        layout.ignore_slots = layout.ignore.iter().map(|it| set.add(it.at())).collect();
        Ok(layout)
    }

    /// The fields of an event; `None` if it is to be ignored.
    pub(crate) fn read<'a>(
        &self,
        event: &'a [u8],
    ) -> Result<Option<EventFields<'a>>, UnknownEvent> {
        let found = self.set.read(event)?;
        if self.is_ignored(&found) {
            return Ok(None);
        }
        let one = |setting, selector: &Option<Selector>| match selector {
            Some(selector) => selector.find(setting, &found),
            None => Ok(None),
        };
        let key = self.key.find("key", &found)?;
        let key = key.ok_or_else(|| missing("key", &self.key.pointers(&found), event))?;
        // Events whose ids are empty are not repetitions of each other.
        let id = self.id.find("id", &found)?;
        let id = id.filter(|parts| parts.iter().any(|part| !part.is_empty()));
        let time = one("time", &self.time)?;
        Ok(Some(EventFields {
            key: join(key),
            state: one("state", &self.state)?,
            old_state: one("oldState", &self.old_state)?,
            job: self.job.find("job", &found)?.unwrap_or_default(),
            id: id.map(|parts| self.id.unambiguous(parts)),
            time: time.as_deref().and_then(epoch_ms),
        }))
    }

    /// Whether an event is to be ignored.
    pub(crate) fn ignores(&self, event: &[u8]) -> Result<bool, UnknownEvent> {
        Ok(self.is_ignored(&self.set.read(event)?))
    }

    fn is_ignored(&self, found: &[Option<Fragment<'_>>]) -> bool {
        let mut conditions = self.ignore.iter().zip(&self.ignore_slots);
        conditions.any(|(condition, slot)| condition.holds(found[*slot].as_ref()))
    }
}

impl Parts {
    /// Reads one selector, a list of them, or `{"first": [...]}` of several lists.
    fn from_json(value: &Value) -> Result<Parts, InvalidSchema> {
        let lists = value.get("first").and_then(Value::as_array);
        match lists {
            Some(lists) if lists.iter().any(Value::is_array) => {
                let mut members = Members::of(value, "a selector")?;
                let lists =
                    members.required("first", |lists| settings::list(lists, one_or_more))?;
                members.end()?;
                Ok(Parts(lists))
            }
            _ => one_or_more(value).map(|parts| Parts(vec![parts])),
        }
    }

    /// The text of each part; `None` if one is not found.
    fn find<'a>(
        &self,
        setting: &'static str,
        found: &[Option<Fragment<'a>>],
    ) -> Result<Option<Vec<Text<'a>>>, UnknownEvent> {
        'lists: for list in &self.0 {
            let mut texts = Vec::with_capacity(list.len());
            for selector in list {
                match selector.find(setting, found)? {
                    Some(text) => texts.push(text),
                    None => continue 'lists,
                }
            }
            return Ok(Some(texts));
        }
        Ok(None)
    }

    /// The pointers of the parts of the first list that are not found.
    fn pointers(&self, found: &[Option<Fragment<'_>>]) -> Vec<&crate::pointer::Pointer> {
        let mut parts = self.0.iter().flatten();
        let part = parts.find(|part| matches!(part.find("key", found), Ok(None)));
        part.map(Selector::pointers).unwrap_or_default()
    }

    /// The parts as one text that no other parts make: a slash in a part is `~1`, and a tilde `~0`,
    /// unless there is never more than one part.
    fn unambiguous(&self, parts: Vec<Text<'_>>) -> String {
        if self.0.len() == 1 && parts.len() == 1 {
            return join(parts).into_owned();
        }
        let mut text = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                text.push('/');
            }
            if !part.contains(['/', '~']) {
                text.push_str(part);
                continue;
            }
            for character in part.chars() {
                match character {
                    '~' => text.push_str("~0"),
                    '/' => text.push_str("~1"),
                    other => text.push(other),
                }
            }
        }
        text
    }
}

/// One selector or a list of them.
fn one_or_more(value: &Value) -> Result<Vec<Selector>, InvalidSchema> {
    match value {
        Value::Array(items) if items.is_empty() => Err(InvalidSchema::new("an empty list")),
        Value::Array(_) => settings::list(value, Selector::from_json),
        one => Selector::from_json(one).map(|one| vec![one]),
    }
}

fn join<'a>(mut parts: Vec<Text<'a>>) -> Text<'a> {
    match parts.len() {
        1 => parts.swap_remove(0),
        _ => Cow::Owned(parts.join("/")),
    }
}
