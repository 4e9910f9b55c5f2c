//! A schema: where the fields of an input's events are.

use crate::attributes::Attributes;
use crate::error::{InvalidSchema, MOST_EVENTS, UnknownEvent};
use crate::fields::EventFields;
use crate::fragment::Fragment;
use crate::layout::Layout;
use crate::missing::missing;
use crate::omit;
use crate::pointer::Pointer;
use crate::pointer_set::PointerSet;
use crate::preset;
use crate::selector::elements;
use crate::settings::{self, Members};
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
    layout: Option<Layout>,
    /// A set of the one pointer.
    each: Option<PointerSet>,
    omit: PointerSet,
    only_changes: bool,
    unknown: UnknownEvents,
    encoding: Encoding,
}

impl Default for Schema {
    /// Aurora's events, to the byte.
    fn default() -> Schema {
        Schema {
            name: "aurora".to_owned(),
            settings: preset::settings("aurora").unwrap_or_default(),
            layout: None,
            each: None,
            omit: PointerSet::default(),
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
            schema.layout = None;
        }
        schema.name = name;
        schema.settings = merged;
        Ok(schema)
    }

    fn read_settings(value: &Value) -> Result<Schema, InvalidSchema> {
        let mut members = Members::of(value, "the settings of an input")?;
        let _name = members.optional("schema", settings::text)?;
        let each = members.nullable("each", settings::pointer)?;
        let layout = Layout::from_members(&mut members)?;
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
        let omit = members.optional("omit", |value| settings::list(value, omitted))?;
        members.end()?;
        let set = |pointers: Vec<Pointer>| {
            let mut set = PointerSet::default();
            pointers.iter().for_each(|pointer| {
                set.add(pointer);
            });
            set
        };
        Ok(Schema {
            name: String::new(),
            settings: Value::Null,
            layout: Some(layout),
            each: each.map(|each| set(vec![each])),
            omit: set(omit.unwrap_or_default()),
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
        self.layout.is_none()
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

    /// Whether members are left out of what is delivered.
    #[must_use]
    pub fn omits(&self) -> bool {
        !self.omit.pointers().is_empty()
    }

    /// The events of a document, each as it stands there.
    ///
    /// # Errors
    /// It is not one JSON document in UTF-8, or it has no events where they should be and is not to
    /// be ignored, or it has more than 100,000.
    pub fn split<'a>(&self, document: &'a [u8]) -> Result<Vec<Fragment<'a>>, UnknownEvent> {
        let Some(each) = &self.each else {
            return Ok(vec![Fragment::new(document, 0)]);
        };
        let events = each.read(document)?.pop().flatten();
        let Some(events) = events.filter(|events| !events.is_null()) else {
            if let Some(layout) = &self.layout
                && layout.ignores(document)?
            {
                return Ok(Vec::new());
            }
            let pointers: Vec<_> = each.pointers().iter().collect();
            return Err(missing("each", &pointers, document));
        };
        // One more tells that there are too many.
        match (elements(&events, MOST_EVENTS + 1), events.kind()) {
            (Some(elements), _) if elements.len() > MOST_EVENTS => Err(UnknownEvent::TooMany),
            (Some(elements), _) => Ok(elements),
            (None, "an object") => Ok(vec![events]),
            (None, found) => Err(UnknownEvent::Type {
                setting: "each",
                expected: "an array",
                pointer: each.pointers().iter().map(Pointer::to_string).collect(),
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
        let fields = match &self.layout {
            Some(layout) => layout.read(event)?,
            None => Some(aurora(event)?),
        };
        self.check_state(fields.as_ref().and_then(|it| it.state.as_deref()))?;
        Ok(fields)
    }

    /// Checks the state of an event, if it is to be kept as the last one of its key.
    ///
    /// # Errors
    /// [`UnknownEvent::LongState`].
    pub fn check_state(&self, state: Option<&str>) -> Result<(), UnknownEvent> {
        let kept = state.filter(|_| self.only_changes);
        match kept.map(|state| Attributes::encode_old_state(state).len()) {
            Some(length) if length > Attributes::LONGEST_STATE => {
                Err(UnknownEvent::LongState { length })
            }
            _ => Ok(()),
        }
    }

    /// The event without what is to be left out.
    ///
    /// # Errors
    /// It is not one JSON document in UTF-8.
    pub fn omit<'a>(&self, event: &'a [u8]) -> Result<Cow<'a, [u8]>, UnknownEvent> {
        if self.omit.pointers().is_empty() {
            return Ok(Cow::Borrowed(event));
        }
        Ok(omit::cut(event, &self.omit)?)
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

/// A pointer to leave out, which is not that of the whole document.
fn omitted(value: &Value) -> Result<Pointer, InvalidSchema> {
    let pointer = settings::pointer(value)?;
    match pointer.tokens().is_empty() {
        true => Err(InvalidSchema::new("the whole event cannot be left out")
            .help("to drop events, use `ignore`")),
        false => Ok(pointer),
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
    fn a_document_of_too_many_events_is_not_understood() {
        let ray = Schema::from_json(&json!({"schema": "ray"})).unwrap();
        let array = |events: usize| format!("[{}1]", "1,".repeat(events - 1));
        let most = array(MOST_EVENTS);
        assert_eq!(ray.split(most.as_bytes()).unwrap().len(), MOST_EVENTS);
        let more = array(MOST_EVENTS + 1);
        assert_eq!(ray.split(more.as_bytes()), Err(UnknownEvent::TooMany));
    }

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
        assert_eq!(
            error.to_string(),
            "each: no value at \"/Events\": the document is an object without \"Events\" (byte 0)"
        );
    }

    #[test]
    fn a_schema_says_what_happens_to_its_events() {
        let schema = |settings: Value| Schema::from_json(&settings).unwrap();
        let plain = schema(json!({}));
        assert!(plain.is_aurora() && plain.has_aurora_fields());
        assert!(!plain.only_changes() && !plain.splits() && !plain.omits());
        assert_eq!(plain.unknown(), UnknownEvents::Refuse);
        assert_eq!(plain.encoding(), Encoding::Strict);
        let other = schema(json!({
            "key": "/k", "each": "/events", "omit": ["/a"], "onlyChanges": true,
            "unknown": "accept", "invalidUtf8": "replace",
        }));
        assert!(other.is_aurora() && !other.has_aurora_fields());
        assert!(other.only_changes() && other.splits() && other.omits());
        assert_eq!(other.unknown(), UnknownEvents::Accept);
        assert_eq!(other.encoding(), Encoding::Replace);
        assert!(!schema(json!({"schema": "slurm"})).is_aurora());
    }

    #[test]
    fn a_state_that_is_kept_has_at_most_256_bytes_in_json() {
        let schema = |only_changes: bool| {
            let settings = json!({
                "schema": "pointers", "key": "/k", "state": "/s", "onlyChanges": only_changes,
            });
            Schema::from_json(&settings).unwrap()
        };
        for (state, length) in [
            ("s".repeat(254), 256),
            ("s".repeat(255), 257),
            ("\u{1}".repeat(42), 254),
            ("\u{1}".repeat(43), 260),
        ] {
            let expected = match length > 256 {
                true => Err(UnknownEvent::LongState { length }),
                false => Ok(()),
            };
            assert_eq!(schema(true).check_state(Some(&state)), expected);
            assert_eq!(schema(false).check_state(Some(&state)), Ok(()));
            let event = json!({"k": 1, "s": state}).to_string();
            assert_eq!(schema(true).read(event.as_bytes()).map(drop), expected);
            assert_eq!(schema(false).read(event.as_bytes()).map(drop), Ok(()));
        }
        assert_eq!(schema(true).check_state(None), Ok(()));
    }

    #[test]
    fn a_field_is_copied_only_if_it_has_escapes() {
        let schema = json!({"schema": "pointers", "key": "/k", "state": "/s"});
        let schema = Schema::from_json(&schema).unwrap();
        let fields = schema.read(br#"{"k":"a b","s":"a\tb"}"#).unwrap().unwrap();
        assert!(matches!(fields.key, Cow::Borrowed("a b")));
        assert!(matches!(fields.state, Some(Cow::Owned(state)) if state == "a\tb"));
    }

    #[test]
    fn an_id_of_empty_parts_is_none() {
        let schema = json!({"schema": "pointers", "key": "/k", "id": ["/a", "/b"]});
        let schema = Schema::from_json(&schema).unwrap();
        for (event, id) in [
            (r#"{"k":1,"a":"","b":""}"#, None),
            (r#"{"k":1,"a":""}"#, None),
            (r#"{"k":1,"a":"","b":0}"#, Some("/0")),
        ] {
            let fields = schema.read(event.as_bytes()).unwrap().unwrap();
            assert_eq!(fields.id.as_deref(), id, "{event}");
        }
    }

    #[test]
    fn an_error_names_the_setting() {
        let error = Schema::from_json(&json!({"schema": "pointers", "key": ["/a", "b"]}));
        let error = error.unwrap_err();
        assert_eq!(error.place().collect::<Vec<_>>(), ["key", "1"]);
        assert_eq!(error.to_string(), "`b` is not a JSON Pointer");
        for (key, place) in [
            (json!([]), &["key"][..]),
            (json!({"first": []}), &["key", "first"]),
            (json!({"first": [["/a"], []]}), &["key", "first", "1"]),
        ] {
            let error = Schema::from_json(&json!({"schema": "pointers", "key": key}));
            let error = error.unwrap_err();
            assert_eq!(error.place().collect::<Vec<_>>(), place);
            assert_eq!(error.to_string(), "an empty list");
        }
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
            assert_eq!(error.is_unknown_key(), place == "stat", "{error}");
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
