//! The description of a key, and the JSON Schema that follows from it.

use schemars::Schema;
use serde_json::{Map, Value, json};

/// A key of one of the file's objects.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    /// Its description: the lines of its doc comment.
    pub(crate) doc: &'static [&'static str],
    pub(crate) presence: Presence,
}

/// What an absent or null key means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Presence {
    Required,
    /// An absent key means something that no value can express.
    Optional,
    Default(Value),
}

impl Field {
    /// The description in one line.
    pub(crate) fn description(&self) -> String {
        self.doc
            .iter()
            .map(|line| line.trim())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The schema of an object of the file, from its fields and their types in the same order.
pub(crate) fn object_schema(doc: &[&str], fields: Vec<Field>, types: Vec<Schema>) -> Schema {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (field, schema) in fields.into_iter().zip(types) {
        if field.presence == Presence::Required {
            required.push(field.key);
        }
        properties.insert(field.key.to_owned(), property(&field, schema));
    }
    let description: Vec<_> = doc.iter().map(|line| line.trim()).collect();
    let mut schema = schemars::json_schema!({
        "description": description.join(" "),
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(field: &Field, schema: Schema) -> Value {
    let mut property = if field.presence == Presence::Required {
        schema.to_value()
    } else {
        nullable(schema.to_value())
    };
    if let Some(object) = property.as_object_mut() {
        object.insert("description".to_owned(), json!(field.description()));
        if let Presence::Default(default) = &field.presence {
            object.insert("default".to_owned(), default.clone());
        }
    }
    property
}

/// The same schema, but null is allowed: it means the default.
fn nullable(mut schema: Value) -> Value {
    let kind = schema.get("type").filter(|kind| kind.is_string()).cloned();
    match kind {
        Some(kind) => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        None => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}
