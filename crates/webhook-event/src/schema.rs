//! A schema: where the fields of an input's events are.

use crate::condition::Condition;
use crate::error::{InvalidSchema, UnknownEvent};
use crate::fields::EventFields;
use crate::fragment::Fragment;
use crate::omit;
use crate::pointer::Pointer;
use crate::pointer_set::{Found, PointerSet};
use crate::preset;
use crate::selector::{Selector, at_pointer, elements};
use crate::settings::{self, Members};
use crate::time::epoch_ms;
use serde_json::Value;
use std::borrow::Cow;
use webhook_model::EventHeader;

/// What happens to an event that is not understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownEvents {
    /// It is refused.
    #[default]
    Refuse,
    /// It is accepted, counted and kept in the file of rejects, for senders that repeat what is
    /// refused for ever.
    Accept,
}

/// What happens to bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// The event is not understood.
    #[default]
    Strict,
    /// They are replaced by U+FFFD.
    Replace,
}

/// Where the fields of an input's events are, and what happens to the events.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    name: String,
    settings: Value,
    /// `None` for Aurora's events as Aurora writes them, whose header is read by the model.
    fields: Option<Fields>,
    each: Option<Pointer>,
    ignore: Vec<Condition>,
    omit: Vec<Pointer>,
    only_changes: bool,
    unknown: UnknownEvents,
    encoding: Encoding,
}

#[derive(Clone, Debug, PartialEq)]
struct Fields {
    key: Vec<Selector>,
    state: Option<Selector>,
    old_state: Option<Selector>,
    job: Vec<Selector>,
    id: Vec<Selector>,
    time: Option<Selector>,
    /// All pointers of the selectors and of the events to ignore.
    set: PointerSet,
}

impl Default for Schema {
    /// Aurora's events, to the byte.
    fn default() -> Schema {
        Schema {
            name: "aurora".to_owned(),
            settings: preset::settings("aurora").unwrap_or_default(),
            fields: None,
            each: None,
            ignore: Vec::new(),
            omit: Vec::new(),
            only_changes: false,
            unknown: UnknownEvents::Refuse,
            encoding: Encoding::Strict,
        }
    }
}

impl Schema {
    /// The names of the presets.
    pub const PRESETS: &[&str] = preset::NAMES;

    /// The settings of a preset, as text to start from.
    #[must_use]
    pub fn preset(name: &str) -> Option<&'static str> {
        preset::text(name)
    }

    /// Reads the settings of an input. `schema` names a preset; a key that is given replaces the
    /// preset's.
    ///
    /// # Errors
    /// A setting is unknown, missing or has the wrong type.
    pub fn from_json(value: &Value) -> Result<Schema, InvalidSchema> {
        let mut members = Members::of(value, "the settings of an input")?;
        let name = members.optional("schema", settings::text)?;
        let name = name.unwrap_or_else(|| "aurora".to_owned());
        let settings = preset::settings(&name).ok_or_else(|| {
            InvalidSchema::new(format!("unknown schema `{name}`"))
                .choices(preset::NAMES.iter().copied())
                .within("schema")
        })?;
        let merged = merge(settings.clone(), value);
        let mut schema = Schema::read_settings(&merged)?;
        // Aurora's own header is read by the model unless a field is set to something else.
        let fields = ["key", "state", "oldState", "job", "id", "time", "ignore"];
        let same = |field: &&str| merged.get(field) == settings.get(field);
        if name == "aurora" && fields.iter().all(same) {
            schema.fields = None;
            schema.ignore.clear();
        }
        schema.name = name;
        schema.settings = merged;
        Ok(schema)
    }

    fn read_settings(value: &Value) -> Result<Schema, InvalidSchema> {
        let mut members = Members::of(value, "the settings of an input")?;
        let _name = members.optional("schema", settings::text)?;
        let each = members
            .optional("each", nullable(settings::pointer))?
            .flatten();
        let ignore = members.optional("ignore", |value| {
            settings::list(value, Condition::from_json)
        })?;
        let ignore = ignore.unwrap_or_default();
        let key = members.required("key", one_or_more)?;
        let state = members
            .optional("state", nullable(Selector::from_json))?
            .flatten();
        let old_state = members
            .optional("oldState", nullable(Selector::from_json))?
            .flatten();
        let job = members
            .optional("job", nullable(one_or_more))?
            .flatten()
            .unwrap_or_default();
        let id = members
            .optional("id", nullable(one_or_more))?
            .flatten()
            .unwrap_or_default();
        let time = members
            .optional("time", nullable(Selector::from_json))?
            .flatten();
        let only_changes = members.optional("onlyChanges", settings::boolean)?;
        let unknown = members.optional("unknown", |value| {
            let choices = [
                ("refuse", UnknownEvents::Refuse),
                ("accept", UnknownEvents::Accept),
            ];
            settings::choice(value, &choices)
        })?;
        let encoding = members.optional("invalidUtf8", |value| {
            let choices = [("refuse", Encoding::Strict), ("replace", Encoding::Replace)];
            settings::choice(value, &choices)
        })?;
        let omit = members.optional("omit", |value| settings::list(value, settings::pointer))?;
        members.end()?;
        let mut set = PointerSet::default();
        let selectors = key.iter().chain(&state).chain(&old_state);
        let selectors = selectors.chain(&job).chain(&id).chain(&time);
        selectors.for_each(|selector| selector.add_to(&mut set));
        for condition in &ignore {
            set.add(condition.at());
        }
        Ok(Schema {
            name: String::new(),
            settings: Value::Null,
            fields: Some(Fields {
                key,
                state,
                old_state,
                job,
                id,
                time,
                set,
            }),
            each,
            ignore,
            omit: omit.unwrap_or_default(),
            only_changes: only_changes.unwrap_or_default(),
            unknown: unknown.unwrap_or_default(),
            encoding: encoding.unwrap_or_default(),
        })
    }

    /// The name of the preset.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All settings: those of the preset, and those given in their place.
    #[must_use]
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// Whether the events are Aurora's.
    #[must_use]
    pub fn is_aurora(&self) -> bool {
        self.name == "aurora"
    }

    /// Whether the fields are those that [`EventHeader`] reads of Aurora's events: the schema is
    /// `aurora`, and no setting says otherwise.
    #[must_use]
    pub fn has_aurora_fields(&self) -> bool {
        self.fields.is_none()
    }

    /// Whether events are dropped whose state is their key's last one.
    #[must_use]
    pub fn only_changes(&self) -> bool {
        self.only_changes
    }

    /// What happens to an event that is not understood.
    #[must_use]
    pub fn unknown(&self) -> UnknownEvents {
        self.unknown
    }

    /// What happens to bytes that are not UTF-8.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Whether one document has several events.
    #[must_use]
    pub fn splits(&self) -> bool {
        self.each.is_some()
    }

    /// The events of a document, each as it stands there.
    ///
    /// # Errors
    /// It is not one JSON document in UTF-8, or it has no events where they should be and is not to
    /// be ignored.
    pub fn split<'a>(&self, document: &'a [u8]) -> Result<Vec<Fragment<'a>>, UnknownEvent> {
        let Some(each) = &self.each else {
            return Ok(vec![Fragment::new(document, 0)]);
        };
        let mut set = PointerSet::default();
        set.add(each);
        for condition in &self.ignore {
            set.add(condition.at());
        }
        let found = set.read(document)?;
        let events = at_pointer(&set, &found, each).filter(|events| !events.is_null());
        let Some(events) = events else {
            if self.ignores(&set, &found) {
                return Ok(Vec::new());
            }
            return Err(UnknownEvent::Missing {
                setting: "each",
                pointer: format!("\"{each}\""),
            });
        };
        match (elements(&events), events.kind()) {
            (Some(elements), _) => Ok(elements),
            (None, "an object") => Ok(vec![events]),
            (None, found) => Err(UnknownEvent::Type {
                setting: "each",
                expected: "an array",
                pointer: format!("\"{each}\""),
                found,
                at: events.at(),
            }),
        }
    }

    /// The fields of an event; `None` if it is to be ignored.
    ///
    /// # Errors
    /// The event is not understood.
    pub fn read<'a>(&self, event: &'a [u8]) -> Result<Option<EventFields<'a>>, UnknownEvent> {
        let Some(fields) = &self.fields else {
            return aurora(event).map(Some);
        };
        let found = fields.set.read(event)?;
        if self.ignores(&fields.set, &found) {
            return Ok(None);
        }
        fields.read(&found).map(Some)
    }

    /// The event without what is to be left out.
    ///
    /// # Errors
    /// It is not one JSON document in UTF-8.
    pub fn omit<'a>(&self, event: &'a [u8]) -> Result<Cow<'a, [u8]>, UnknownEvent> {
        if self.omit.is_empty() {
            return Ok(Cow::Borrowed(event));
        }
        Ok(omit::cut(event, &self.omit)?)
    }

    fn ignores(&self, set: &PointerSet, found: &Found<'_>) -> bool {
        self.ignore
            .iter()
            .any(|condition| condition.holds(at_pointer(set, found, condition.at()).as_ref()))
    }
}

impl Fields {
    fn read<'a>(&self, found: &Found<'a>) -> Result<EventFields<'a>, UnknownEvent> {
        let optional = |setting, selector: &Option<Selector>| match selector {
            Some(selector) => selector.find(setting, &self.set, found),
            None => Ok(None),
        };
        let mut key = Vec::with_capacity(self.key.len());
        for selector in &self.key {
            let part = selector.find("key", &self.set, found)?;
            key.push(part.ok_or_else(|| UnknownEvent::Missing {
                setting: "key",
                pointer: selector.pointer(),
            })?);
        }
        let time = optional("time", &self.time)?;
        Ok(EventFields {
            key: join(key),
            state: optional("state", &self.state)?,
            old_state: optional("oldState", &self.old_state)?,
            job: self.parts("job", &self.job, found)?,
            id: match &self.id[..] {
                [] => None,
                id => Some(self.parts("id", id, found)?)
                    .filter(|parts| !parts.is_empty())
                    .map(|parts| parts.join("/")),
            },
            time: time.as_deref().and_then(epoch_ms),
        })
    }

    /// The texts of all selectors; empty if one of them finds none.
    fn parts<'a>(
        &self,
        setting: &'static str,
        selectors: &[Selector],
        found: &Found<'a>,
    ) -> Result<Vec<Cow<'a, str>>, UnknownEvent> {
        let mut parts = Vec::with_capacity(selectors.len());
        for selector in selectors {
            match selector.find(setting, &self.set, found)? {
                Some(part) => parts.push(part),
                None => return Ok(Vec::new()),
            }
        }
        Ok(parts)
    }
}

fn join<'a>(mut parts: Vec<Cow<'a, str>>) -> Cow<'a, str> {
    match parts.len() {
        1 => parts.remove(0),
        _ => Cow::Owned(parts.join("/")),
    }
}

/// The fields of an event as Aurora writes it.
fn aurora(event: &[u8]) -> Result<EventFields<'_>, UnknownEvent> {
    let header = EventHeader::read(event)?;
    if !header.has_task {
        return Err(UnknownEvent::NoTask);
    }
    let name = |state: webhook_model::StatusName<'_>| Cow::Owned(state.name().to_owned());
    Ok(EventFields {
        key: header.task_id.unwrap_or_default(),
        state: header.new_state.map(name),
        old_state: header.old_state.map(name),
        job: match (header.role, header.environment, header.job_name) {
            (Some(role), Some(environment), Some(name)) => vec![role, environment, name],
            _ => Vec::new(),
        },
        id: None,
        time: header.last_event_at,
    })
}

fn one_or_more(value: &Value) -> Result<Vec<Selector>, InvalidSchema> {
    match value {
        Value::Array(items) if items.is_empty() => Err(InvalidSchema::new("an empty list")),
        Value::Array(_) => settings::list(value, Selector::from_json),
        one => Selector::from_json(one).map(|one| vec![one]),
    }
}

fn nullable<T>(
    read: impl Fn(&Value) -> Result<T, InvalidSchema>,
) -> impl Fn(&Value) -> Result<Option<T>, InvalidSchema> {
    move |value| match value {
        Value::Null => Ok(None),
        value => read(value).map(Some),
    }
}

/// A preset's settings, with those of `value` in their place.
fn merge(mut preset: Value, value: &Value) -> Value {
    if let (Some(settings), Some(given)) = (preset.as_object_mut(), value.as_object()) {
        for (key, value) in given {
            settings.insert(key.clone(), value.clone());
        }
    }
    preset
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_fields_of_each_part_of_a_document_are_read() {
        let nomad = Schema::from_json(&json!({"schema": "nomad"})).unwrap();
        let frame = br#"{"Index":54,"Events":[{"Topic":"Node","Key":"n"},{"Topic":"Allocation",
            "Key":"a","Namespace":"default","Index":54,"Payload":{"Allocation":{"ClientStatus":
            "running","JobID":"web","TaskGroup":"app","ModifyTime":1796000054000000000}}}]}"#;
        let events = nomad.split(frame).unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(nomad.read(events[0].bytes()).unwrap(), None);
        let fields = nomad.read(events[1].bytes()).unwrap().unwrap();
        let expected = EventFields {
            key: "a".into(),
            state: Some("running".into()),
            old_state: None,
            job: vec!["default".into(), "web".into(), "app".into()],
            id: Some("54/Allocation/a".to_owned()),
            time: Some(1_796_000_054_000),
        };
        assert_eq!(fields, expected);
        assert!(nomad.split(b"{}").unwrap().is_empty(), "a heartbeat");
        let error = nomad.split(b"{\"Index\":1}").unwrap_err();
        assert_eq!(error.to_string(), "each: no value at \"/Events\"");
    }

    #[test]
    fn an_error_names_the_setting() {
        let error = Schema::from_json(&json!({"schema": "pointers", "key": ["/a", "b"]}));
        let error = error.unwrap_err();
        assert_eq!(error.place().collect::<Vec<_>>(), ["key", "1"]);
        assert_eq!(error.to_string(), "`b` is not a JSON Pointer");
    }

    #[test]
    fn an_error_of_an_unknown_word_names_the_allowed_ones() {
        for (settings, place, allowed) in [
            (json!({"schema": "slrum"}), "schema", "slurm"),
            (json!({"stat": "/a"}), "stat", "state"),
            (json!({"unknown": "drop"}), "unknown", "accept"),
            (json!({"invalidUtf8": "keep"}), "invalidUtf8", "replace"),
        ] {
            let error = Schema::from_json(&settings).unwrap_err();
            assert_eq!(error.place().collect::<Vec<_>>(), [place]);
            assert!(error.allowed().contains(&allowed.to_owned()), "{error}");
        }
    }

    #[test]
    fn the_settings_of_a_schema_make_the_same_schema() {
        for settings in [
            json!({"omit": ["/a"]}),
            json!({"schema": "slurm", "unknown": "refuse"}),
            json!({"schema": "nomad", "time": null}),
        ] {
            let schema = Schema::from_json(&settings).unwrap();
            let again = Schema::from_json(schema.settings()).unwrap();
            assert_eq!(again, schema);
        }
        let aurora = Schema::default();
        let same = Schema::from_json(aurora.settings()).unwrap();
        assert!(same == aurora && same.has_aurora_fields());
    }
}
