//! The JSON Schemas of the mirror's values. Each allows everything that the reader accepts, even
//! with a warning, so that an accepted file is valid under the schema.

use super::input::{
    ConditionJson, ConditionsJson, InputFile, InputsFile, PointerJson, PointersJson, PresetName,
    SelectorJson, SelectorsJson, SwitchJson, UnknownJson, Utf8Json,
};
use super::mirror::{
    CloudEventsFile, DeliveryText, FormatText, HeadersFile, MethodText, ProxyText, ReferenceFile,
    SecretFile, TemplateFile, UrlText, WhenFullText,
};
use super::read::{Milliseconds, Spanned, Text};
use super::statuses::StatusList;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::borrow::Cow;
use webhook_model::ScheduleStatus;

/// Gives a type a schema that is inlined where it is used.
macro_rules! inline_schema {
    ($Type:ty, $generator:ident => $schema:expr) => {
        impl JsonSchema for $Type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($Type).into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

inline_schema!(Text, _generator => json_schema!({ "type": "string" }));
inline_schema!(Spanned<u64>, _generator => json_schema!({ "type": "integer", "minimum": 1 }));
inline_schema!(Spanned<f64>, _generator => json_schema!({ "type": "number", "minimum": 1, "maximum": 1000 }));
inline_schema!(TemplateFile, _generator => json_schema!({
    "anyOf": [{ "type": "object" }, { "type": "array" }],
    "examples": [{ "text": "{key} is {state}" }],
}));
inline_schema!(CloudEventsFile, _generator => json_schema!({
    "type": "object",
    "properties": {
        "source": { "type": "string", "minLength": 1 },
        "type": { "type": "string", "minLength": 1 },
    },
    "additionalProperties": false,
}));
inline_schema!(ProxyText, _generator => json_schema!({ "type": "string", "format": "uri" }));
inline_schema!(UrlText, generator => {
    let reference = generator.subschema_for::<ReferenceFile>();
    json_schema!({
        "anyOf": [
            {
                "type": "string",
                "pattern": "^([uU][rR][lL]:)?[hH][tT][tT][pP][sS]?://",
                "examples": ["http://localhost:5000/"],
            },
            reference,
        ],
    })
});
// Aurora accepted strings and fractions too.
inline_schema!(Milliseconds, _generator => json_schema!({
    "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": i32::MAX },
        { "type": ["number", "string"], "deprecated": true },
    ],
}));
// An editor suggests Aurora's statuses; other schedulers have others.
inline_schema!(StatusList, _generator => json_schema!({
    "anyOf": [
        {
            "type": "array",
            "items": {
                "anyOf": [
                    { "enum": names(ScheduleStatus::ALL.iter().map(|it| it.name()), &["*"]) },
                    { "type": ["string", "number", "boolean"] },
                ],
            },
        },
        sloppy_statuses(),
    ],
}));
inline_schema!(PresetName, _generator => json_schema!({ "enum": webhook_event::Schema::PRESETS }));
inline_schema!(PointerJson, _generator => json_schema!({ "type": "string", "pattern": POINTER }));
inline_schema!(PointersJson, _generator => json_schema!({ "type": "array", "items": { "type": "string", "pattern": POINTER } }));
inline_schema!(ConditionsJson, generator => {
    let condition = generator.subschema_for::<ConditionJson>();
    json_schema!({ "type": "array", "items": condition })
});
inline_schema!(SelectorsJson, generator => {
    let selector = generator.subschema_for::<SelectorJson>();
    json_schema!({ "anyOf": [selector, { "type": "array", "items": selector, "minItems": 1 }] })
});
inline_schema!(SwitchJson, _generator => json_schema!({ "type": "boolean" }));
inline_schema!(UnknownJson, _generator => json_schema!({ "enum": ["refuse", "accept"] }));
inline_schema!(Utf8Json, _generator => json_schema!({ "enum": ["refuse", "replace"] }));
inline_schema!(InputsFile, generator => {
    let input = generator.subschema_for::<InputFile>();
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$", "not": { "const": "default" } },
        "additionalProperties": input,
        "maxProperties": crate::limits::INPUTS.most,
    })
});

/// The statuses of a target that gets only Aurora's events, as in the file.
pub(crate) fn aurora_statuses() -> Value {
    let known = names(ScheduleStatus::ALL.iter().map(|it| it.name()), &["*"]);
    json!({
        "anyOf": [
            { "type": "array", "items": { "enum": known } },
            sloppy_statuses(),
            { "type": "null" },
        ],
    })
}

/// Lists that are read as Aurora read them.
fn sloppy_statuses() -> Value {
    let sloppy = json!({ "anyOf": [{ "const": "*" }, { "type": ["array", "object"] }] });
    json!({ "type": "array", "contains": sloppy, "deprecated": true })
}

/// A JSON Pointer.
const POINTER: &str = "^(/([^~]|~[01])*)?$";

/// What the tests of a condition may be, and `not` with tests of its own.
fn tests() -> Value {
    json!({
        "in": { "type": "array" },
        "equals": {},
        "prefix": { "type": "string" },
        "exists": { "type": "boolean" },
        "atLeast": { "type": "number" },
        "atMost": { "type": "number" },
        "not": { "type": "object" },
    })
}

impl JsonSchema for ConditionJson {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let mut properties = tests();
        properties["at"] = json!({ "type": "string", "pattern": POINTER });
        json_schema!({
            "description": "A condition on the value at a pointer.",
            "type": "object",
            "properties": properties,
            "required": ["at"],
            "minProperties": 2,
            "additionalProperties": false,
        })
    }
}

impl JsonSchema for SelectorJson {
    fn schema_name() -> Cow<'static, str> {
        "Selector".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let selector = generator.subschema_for::<SelectorJson>();
        let condition = generator.subschema_for::<ConditionJson>();
        let pointer = json!({ "type": "string", "pattern": POINTER });
        let mut value = tests();
        value["at"] = pointer.clone();
        value["default"] = json!({ "type": ["string", "number", "boolean"] });
        let element = json!({
            "at": pointer,
            "where": { "type": "array", "items": condition },
            "last": pointer,
            "previous": pointer,
        });
        // Several parts, in `key`, `job` and `id`.
        let alternative = json!({ "anyOf": [selector, { "type": "array", "items": selector }] });
        json_schema!({
            "description": "Where a text of an event is: a pointer, or an object that says more.",
            "anyOf": [
                pointer,
                { "type": "object", "properties": value, "required": ["at"], "additionalProperties": false },
                { "type": "object", "properties": element, "required": ["at"], "additionalProperties": false },
                {
                    "type": "object",
                    "properties": { "first": { "type": "array", "items": alternative } },
                    "required": ["first"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
inline_schema!(FormatText, _generator => json_schema!({ "enum": names(crate::Format::ALL.iter().map(|it| it.name()), &[]) }));
inline_schema!(MethodText, _generator => json_schema!({ "enum": names(crate::Method::ALL.iter().map(|it| it.name()), &[]) }));
inline_schema!(DeliveryText, _generator => json_schema!({ "enum": names(crate::Delivery::ALL.iter().map(|it| it.name()), &[]) }));
inline_schema!(WhenFullText, _generator => json_schema!({ "enum": names(crate::WhenFull::ALL.iter().map(|it| it.name()), &[]) }));

fn names(names: impl Iterator<Item = &'static str>, more: &[&'static str]) -> Vec<Value> {
    names.chain(more.iter().copied()).map(Value::from).collect()
}

impl JsonSchema for SecretFile {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let reference = generator.subschema_for::<ReferenceFile>();
        json_schema!({
            "description": "A secret, or a reference to it: {\"env\": NAME} or {\"file\": PATH}.",
            "anyOf": [{ "type": "string" }, reference],
        })
    }
}

impl JsonSchema for HeadersFile {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = generator.subschema_for::<SecretFile>();
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
            "additionalProperties": {
                "anyOf": [secret, { "type": ["number", "boolean"], "deprecated": true }],
            },
            "examples": [{ "Content-Type": "application/json" }],
        })
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<Vec<T>> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": item })
    }
}
