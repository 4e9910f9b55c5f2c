//! The JSON Schema of the file.

use crate::file::{ConfigFile, FileObject as _, TargetFile, aurora_statuses};
use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The JSON Schema (draft 2020-12) of the file. Every file that
/// [`Config::load`](crate::Config::load) accepts is valid under the schema, but not the reverse.
///
/// ```
/// let schema = webhook_config::json_schema();
/// assert!(schema["properties"]["targets"].is_object());
/// ```
#[must_use]
pub fn json_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let target = generator.subschema_for::<TargetFile>();
    let mut schema = generator.into_root_schema_for::<ConfigFile>().to_value();
    let of_target = definition(&schema, &target);
    let required = of_target.get("required").cloned().unwrap_or_default();
    // Without `targets`, the keys of one target are at the top level.
    if let (Some(properties), Some(keys)) = (
        schema.get_mut("properties").and_then(Value::as_object_mut),
        of_target.get("properties").and_then(Value::as_object),
    ) {
        // `inputs` is a key of both: at the top level it is the file's.
        let keys: Map<_, _> = keys
            .iter()
            .filter(|(key, _)| !ConfigFile::KEYS.contains(&key.as_str()))
            .map(|(key, property)| (key.clone(), property.clone()))
            .collect();
        properties.extend(keys.clone());
        schema["if"] = json!({
            "properties": { "targets": { "type": "array" } },
            "required": ["targets"],
        });
        let forbidden: Map<_, _> = keys
            .keys()
            .map(|key| (key.clone(), Value::Bool(false)))
            .collect();
        schema["then"] = json!({ "properties": forbidden });
        schema["else"] = json!({ "required": required });
    }
    // Without other inputs than Aurora's default one, the statuses are Aurora's.
    let statuses = aurora_statuses();
    schema["allOf"] = json!([{
        "if": { "not": { "anyOf": [{ "required": ["events"] }, { "required": ["inputs"] }] } },
        "then": { "properties": {
            "statuses": statuses,
            "targets": { "items": { "properties": { "statuses": statuses } } },
        } },
    }]);
    schema["title"] = json!("webhook.json");
    schema
}

/// The definition that a `$ref` names.
fn definition(root: &Value, reference: &Schema) -> Value {
    let path = reference
        .get("$ref")
        .and_then(Value::as_str)
        .unwrap_or_default();
    root.pointer(path.trim_start_matches('#'))
        .cloned()
        .unwrap_or_default()
}
