//! The JSON Schemas of the mirror's values. Each allows everything that the reader accepts, even
//! with a warning, so that an accepted file is valid under the schema.

use super::mirror::{
    DeliveryText, FormatText, HeadersFile, ProxyText, ReferenceFile, SecretFile, UrlText,
    WhenFullText,
};
use super::read::{Milliseconds, Spanned, Text};
use super::statuses::StatusList;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;
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
inline_schema!(StatusList, _generator => json_schema!({
    "anyOf": [
        { "type": "array", "items": { "enum": names(ScheduleStatus::ALL.iter().map(|it| it.name()), &["*"]) } },
        { "type": "array", "contains": { "anyOf": [{ "const": "*" }, { "type": ["array", "object"] }] }, "deprecated": true },
    ],
}));
inline_schema!(FormatText, _generator => json_schema!({ "enum": names(crate::Format::ALL.iter().map(|it| it.name()), &[]) }));
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
