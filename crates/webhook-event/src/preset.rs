//! The presets: settings for known schedulers, as JSON.

use serde_json::{Value, json};

macro_rules! presets {
    ($($name:literal),*) => {
        pub(crate) const NAMES: &[&str] = &[$($name),*];

        /// The settings of a preset, as text.
        pub(crate) fn text(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some(include_str!(concat!("presets/", $name, ".json"))),)*
                _ => None,
            }
        }
    };
}

presets! {
    "aurora", "slurm", "nomad", "kubernetes", "airflow", "ray", "cloudevents", "json", "pointers"
}

/// The settings of a preset, with the defaults of the others.
pub(crate) fn settings(name: &str) -> Option<Value> {
    let settings = serde_json::from_str(text(name)?);
    let mut settings: Value = settings.expect("a preset is JSON, which a test checks");
    if let Some(settings) = settings.as_object_mut() {
        for (key, value) in [
            ("onlyChanges", json!(false)),
            ("unknown", json!("refuse")),
            ("invalidUtf8", json!("refuse")),
            ("omit", json!([])),
        ] {
            settings.entry(key).or_insert(value);
        }
    }
    Some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn each_preset_is_a_schema() {
        for name in NAMES {
            let settings = settings(name).unwrap();
            assert_eq!(settings["schema"], **name);
            if *name != "pointers" {
                assert_eq!(Schema::from_json(&settings).unwrap().name(), *name);
            }
        }
    }
}
