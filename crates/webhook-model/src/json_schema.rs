//! The parts of a JSON Schema that the declarations of Aurora's structs are made of.

use serde_json::{Map, Value, json};

/// The schemas of the structs and unions so far, by their names.
#[derive(Debug, Default)]
pub(crate) struct Definitions(pub(crate) Map<String, Value>);

impl Definitions {
    /// A reference to the schema of this name, which `make` makes on its first use.
    pub(crate) fn reference(
        &mut self,
        name: &str,
        make: impl FnOnce(&mut Definitions) -> Value,
    ) -> Value {
        if !self.0.contains_key(name) {
            let schema = make(self);
            self.0.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }
}

/// The members of a struct.
pub(crate) struct Members(Map<String, Value>);

impl Members {
    pub(crate) fn new() -> Members {
        let hash = "Java's hashCode if it was computed, else 0.";
        let cached = described(hash, nullable(integer::<i32>()));
        Members(
            [("cachedHashCode".to_owned(), cached)]
                .into_iter()
                .collect(),
        )
    }

    pub(crate) fn add(&mut self, name: &str, docs: &str, schema: Value) {
        let member = described(docs, nullable(schema));
        self.0.insert(name.to_owned(), member);
    }

    pub(crate) fn of_struct(self, docs: &str) -> Value {
        described(docs, json!({ "type": "object", "properties": self.0 }))
    }
}

/// A union of these values by their tags.
pub(crate) fn union(docs: &str, variants: Vec<(&str, &str, Value)>) -> Value {
    let tags: Vec<&str> = variants.iter().map(|(tag, ..)| *tag).collect();
    let rules = variants.iter().map(|(tag, docs, value)| {
        let value = described(docs, value.clone());
        json!({
            "if": { "properties": { "setField": { "const": tag } } },
            "then": { "properties": { "value": value } },
        })
    });
    let rules: Vec<Value> = rules.collect();
    let schema = json!({
        "type": "object",
        "properties": {
            "cachedHashCode": nullable(integer::<i32>()),
            "setField": { "type": "string", "examples": tags },
        },
        "required": ["setField", "value"],
        "allOf": rules,
    });
    described(docs, schema)
}

/// A text of which these are known.
pub(crate) fn name<'a>(known: impl Iterator<Item = &'a str>) -> Value {
    let known: Vec<&str> = known.collect();
    json!({ "type": "string", "examples": known })
}

pub(crate) fn integer<T: Bounds>() -> Value {
    json!({ "type": "integer", "minimum": T::LEAST, "maximum": T::MOST })
}

/// The bounds of an integer.
pub(crate) trait Bounds {
    const LEAST: i64;
    const MOST: i64;
}

impl Bounds for i32 {
    const LEAST: i64 = i32::MIN as i64;
    const MOST: i64 = i32::MAX as i64;
}

impl Bounds for i64 {
    const LEAST: i64 = i64::MIN;
    const MOST: i64 = i64::MAX;
}

/// Documentation of Rust is a line for each of its lines.
pub(crate) fn described(docs: &str, mut schema: Value) -> Value {
    let lines: Vec<&str> = docs.lines().map(str::trim).collect();
    schema["description"] = lines.join(" ").trim().into();
    schema
}

pub(crate) fn nullable(mut schema: Value) -> Value {
    match schema.get_mut("type") {
        Some(kind) => {
            *kind = json!([kind, "null"]);
            schema
        }
        None => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}
