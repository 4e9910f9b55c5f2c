//! The objects of `events` and `inputs` as types: their keys, types, defaults and descriptions.

use super::object::{file_object, shorten};
use super::read::{FromValue, Reader, Slot};
use crate::diagnostic::Code;
use crate::json::{Key, Kind, Member, Span, Value};
use crate::secret::{looks_like_token, looks_random};
use std::collections::HashSet;

file_object! {
    /// An input: where the fields of a scheduler's events are. A key that is given replaces the one
    /// of the preset that `schema` names.
    struct InputFile {
        /// The preset to start from. `webhookd schema events NAME` prints its keys. `pointers` has
        /// none, and needs `key`.
        schema: PresetName = "schema", default("aurora");
        /// The pointer to a list in a document whose elements are the events, each delivered as its
        /// own bytes (`""`: the document is the list); an object there is one event. A document
        /// without a value there is not understood, unless `ignore` matches it. Null: a document is
        /// an event.
        each: PointerJson = "each", optional;
        /// Conditions: an event that meets one of them is accepted and delivered to no target.
        ignore: ConditionsJson = "ignore", optional;
        /// The key, that of the task: events of one key are delivered in the order accepted.
        /// Several selectors are joined by `/`. An event without one of them is not understood.
        key: SelectorsJson = "key", optional;
        /// The new state. Null: events have none.
        state: SelectorJson = "state", optional;
        /// The state before it. Null: events have none.
        old_state: SelectorJson = "oldState", optional;
        /// The parts of the job, joined by `/` for `jobs` of targets. An event without one of them
        /// has no job. Null: events have none.
        job: SelectorsJson = "job", optional;
        /// The parts of the idempotency key, joined by `/`, of an event whose sender gives none. An
        /// event without one of them has none. Null: events have none.
        id: SelectorsJson = "id", optional;
        /// When the state changed: RFC 3339, the same with a blank for `T` or without a zone (UTC),
        /// or a number of seconds, milliseconds, microseconds or nanoseconds since 1970. Null:
        /// events have none.
        time: SelectorJson = "time", optional;
        /// Whether to drop an event whose state is the last one of its key; the other events get it
        /// as their old state if they have none.
        only_changes: SwitchJson = "onlyChanges", optional;
        /// What happens to an event that is not understood: it is refused (`refuse`), or answered
        /// as accepted, counted and kept in a file of rejects (`accept`), for senders that repeat a
        /// refused event without end.
        unknown: UnknownJson = "unknown", optional;
        /// What happens to bytes that are not UTF-8: the event is not understood (`refuse`), or they
        /// are replaced by U+FFFD (`replace`).
        invalid_utf8: Utf8Json = "invalidUtf8", optional;
        /// Pointers to what is left out of the event that is delivered; the rest of its bytes stays.
        omit: PointersJson = "omit", optional;
    }
}

impl InputFile {
    /// The settings that are given, as an object of the file. Null stands for none where events may
    /// lack something, and for the preset's setting elsewhere.
    pub(crate) fn tree(&self) -> Value {
        let mut members = Vec::new();
        let all = &mut members;
        put("schema", &self.schema, false, all);
        put("each", &self.each, true, all);
        put("ignore", &self.ignore, false, all);
        put("key", &self.key, false, all);
        put("state", &self.state, true, all);
        put("oldState", &self.old_state, true, all);
        put("job", &self.job, true, all);
        put("id", &self.id, true, all);
        put("time", &self.time, true, all);
        put("onlyChanges", &self.only_changes, false, all);
        put("unknown", &self.unknown, false, all);
        put("invalidUtf8", &self.invalid_utf8, false, all);
        put("omit", &self.omit, false, all);
        Value {
            span: self.span.clone(),
            kind: Kind::Object(members),
        }
    }
}

/// Adds a setting that is given.
fn put(key: &str, slot: &Slot<impl AsRef<Value>>, is_nullable: bool, members: &mut Vec<Member>) {
    let value = match slot {
        Slot::Given(setting) => setting.as_ref().clone(),
        Slot::Null(span) if is_nullable => Value {
            span: span.clone(),
            kind: Kind::Null,
        },
        _ => return,
    };
    let span = value.span.clone();
    let text = key.to_owned();
    let key = Key { span, text };
    members.push(Member { key, value });
}

/// The named inputs in the order of the file. Of a repeated name, the last one counts.
#[derive(Debug)]
pub(crate) struct InputsFile {
    pub(crate) span: Span,
    pub(crate) inputs: Vec<(Key, InputFile)>,
}

impl FromValue for InputsFile {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        let Kind::Object(members) = &value.kind else {
            let message = format!(
                "expected an object of names and inputs, found {}",
                value.kind_name()
            );
            let help = "in an object of `targets`, a list names the inputs that a target takes";
            reader.error(Code::WrongType, &value.span, message, help);
            return None;
        };
        let mut inputs: Vec<(Key, InputFile)> = Vec::new();
        let mut is_whole = true;
        for Member { key, value } in members {
            let Some(input) = InputFile::from_value(value, reader) else {
                is_whole = false;
                continue;
            };
            match inputs.iter_mut().find(|(known, _)| known.text == key.text) {
                None => inputs.push((key.clone(), input)),
                Some(known) => {
                    duplicate(key, reader);
                    *known = (key.clone(), input);
                }
            }
        }
        let span = value.span.clone();
        is_whole.then_some(InputsFile { span, inputs })
    }
}

/// Declares types of settings that webhook-event checks.
macro_rules! settings {
    ($($Name:ident)*) => {
        $(
            /// A setting that webhook-event checks.
            #[derive(Clone, Debug)]
            pub(crate) struct $Name(Value);

            impl FromValue for $Name {
                fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
                    show(value, reader);
                    Some($Name(value.clone()))
                }
            }

            impl AsRef<Value> for $Name {
                fn as_ref(&self) -> &Value {
                    &self.0
                }
            }
        )*
    };
}

settings! {
    PresetName PointerJson PointersJson SelectorJson SelectorsJson ConditionsJson SwitchJson
    UnknownJson Utf8Json
}

/// A condition, which webhook-event checks.
#[derive(Clone, Debug)]
pub(crate) struct ConditionJson(pub(crate) Value);

impl FromValue for ConditionJson {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        let Kind::Object(_) = value.kind else {
            reader.wrong_type(
                value,
                "a condition such as {\"at\": \"/Type\", \"in\": [\"A\"]}",
            );
            return None;
        };
        show(value, reader);
        Some(ConditionJson(value.clone()))
    }
}

/// Allows the values of a setting to be shown, and reports repeated keys in it.
fn show(value: &Value, reader: &mut Reader) {
    match &value.kind {
        Kind::String(text) if may_be_secret(text) => {}
        Kind::Array(items) => items.iter().for_each(|item| show(item, reader)),
        Kind::Object(members) => {
            let mut seen = HashSet::new();
            for Member { key, value } in members {
                if !seen.insert(key.text.as_str()) {
                    duplicate(key, reader);
                }
                show(value, reader);
            }
        }
        _ => reader.show(value),
    }
}

/// Whether a text is not only a pointer or a word.
fn may_be_secret(text: &str) -> bool {
    match text.strip_prefix('/') {
        Some(pointer) => pointer.split('/').any(looks_like_token),
        None => looks_random(text),
    }
}

fn duplicate(key: &Key, reader: &mut Reader) {
    let name = shorten(&key.text);
    let message = format!("`{name}` is given more than once; the last one counts");
    reader.warning(Code::DuplicateKey, &key.span, message, "remove the others");
}
