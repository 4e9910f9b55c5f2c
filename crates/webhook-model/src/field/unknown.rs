//! JSON from a newer scheduler that this crate does not know: kept unchanged.

use crate::json::error::{ReadError, ReadErrorKind};
use crate::json::scan::Scanner;
use crate::json::write::RAW_JSON;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::hash::{Hash, Hasher};

/// A JSON text, unchanged except that the blanks between its tokens are removed.
#[derive(Clone, Debug)]
pub(crate) struct RawJson(Box<RawValue>);

impl RawJson {
    /// Reads any value.
    pub(crate) fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        scanner.peek();
        let start = scanner.place();
        scanner.skip_value()?;
        let text = without_blanks(scanner.text_since(start));
        RawValue::from_string(text)
            .map(RawJson)
            .map_err(|error| scanner.error_at(start, ReadErrorKind::Syntax, error.to_string()))
    }

    pub(crate) fn text(&self) -> &str {
        self.0.get()
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(RAW_JSON, &self.0)
    }
}

/// Removes the blanks between the tokens of well-formed JSON, so that a value of a pretty-printed
/// payload has no line break where payloads are lines.
fn without_blanks(json: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    let keep = |c: &char| {
        if in_string {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            in_string = !closes;
            return true;
        }
        in_string = *c == '"';
        !matches!(c, ' ' | '\t' | '\n' | '\r')
    };
    json.chars().filter(keep).collect()
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for RawJson {}

impl Hash for RawJson {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

/// The unknown fields of an object, each with its position among the known ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct UnknownFields(Vec<UnknownField>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct UnknownField {
    /// The number of known fields, present or not, before it.
    after: usize,
    name: String,
    value: RawJson,
}

impl UnknownFields {
    /// Keeps the field `name`, whose value is next, after the first `after` known fields.
    #[cold]
    pub(crate) fn keep(
        &mut self,
        after: usize,
        name: &str,
        scanner: &mut Scanner<'_>,
    ) -> Result<(), ReadError> {
        let value = RawJson::read(scanner).map_err(|error| error.in_member(name))?;
        // Known fields are written in the order of declaration. If they were read in another order,
        // the unknown fields keep their order among each other.
        let after = self.0.last().map_or(after, |last| after.max(last.after));
        self.0.push(UnknownField {
            after,
            name: name.to_owned(),
            value,
        });
        Ok(())
    }

    /// Writes the fields that come after the first `after` known fields.
    #[inline]
    pub(crate) fn write<M: SerializeMap>(&self, after: usize, map: &mut M) -> Result<(), M::Error> {
        for field in self.0.iter().filter(|field| field.after == after) {
            map.serialize_entry(&field.name, &field.value)?;
        }
        Ok(())
    }

    /// The name of the first field, if there is one.
    pub(crate) fn first(&self) -> Option<&str> {
        self.0.first().map(|field| field.name.as_str())
    }

    /// The names and JSON texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|field| (field.name.as_str(), field.value.text()))
    }
}
