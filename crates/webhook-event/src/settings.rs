//! Reads settings from JSON, with errors that name the setting.

use crate::error::InvalidSchema;
use crate::pointer::Pointer;
use serde_json::{Map, Number, Value};

type Result<T> = std::result::Result<T, InvalidSchema>;

/// The members of an object that have not been read yet.
pub(crate) struct Members<'a> {
    object: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Members<'a> {
    /// The members of `value`, which is `what`.
    pub(crate) fn of(value: &'a Value, what: &str) -> Result<Members<'a>> {
        let object = value.as_object().ok_or_else(|| {
            InvalidSchema::new(format!(
                "expected {what}, which is an object, found {}",
                kind(value)
            ))
        })?;
        let known = Vec::new();
        Ok(Members { object, known })
    }

    /// Reads a member, if it is given.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a Value) -> Result<T>,
    ) -> Result<Option<T>> {
        self.known.push(name);
        let value = self.object.get(name);
        let read = value.map(|value| read(value).map_err(|error| error.within(name)));
        read.transpose()
    }

    /// Reads a member, unless it is null.
    pub(crate) fn nullable<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a Value) -> Result<T>,
    ) -> Result<Option<T>> {
        let value = self.optional(name, |value| match value {
            Value::Null => Ok(None),
            value => read(value).map(Some),
        })?;
        Ok(value.flatten())
    }

    /// Reads a member.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a Value) -> Result<T>,
    ) -> Result<T> {
        self.optional(name, read)?.ok_or_else(|| missing(name))
    }

    /// Checks that every member was read.
    pub(crate) fn end(self) -> Result<()> {
        let unknown = self
            .object
            .keys()
            .find(|name| !self.known.contains(&name.as_str()));
        match unknown {
            None => Ok(()),
            Some(name) => Err(InvalidSchema::new(format!("unknown key `{name}`"))
                .choices(self.known)
                .unknown_key()
                .within(name)),
        }
    }
}

/// A member is missing.
pub(crate) fn missing(name: &str) -> InvalidSchema {
    InvalidSchema::new(format!("`{name}` is missing"))
        .help(format!("add it, such as \"{name}\": \"/id\""))
}

/// What a value is, for messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wrong_type(expected: &str, value: &Value) -> InvalidSchema {
    InvalidSchema::new(format!("expected {expected}, found {}", kind(value)))
}

pub(crate) fn text(value: &Value) -> Result<String> {
    let text = value
        .as_str()
        .ok_or_else(|| wrong_type("a string", value))?;
    Ok(text.to_owned())
}

pub(crate) fn boolean(value: &Value) -> Result<bool> {
    value
        .as_bool()
        .ok_or_else(|| wrong_type("true or false", value))
}

pub(crate) fn number(value: &Value) -> Result<Number> {
    let number = value.as_number();
    number.cloned().ok_or_else(|| wrong_type("a number", value))
}

/// A scalar as the text that stands for it.
pub(crate) fn scalar(value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(wrong_type("a text", value)),
    }
}

pub(crate) fn pointer(value: &Value) -> Result<Pointer> {
    let text = value
        .as_str()
        .ok_or_else(|| wrong_type("a JSON Pointer", value))?;
    text.parse().map_err(|error| {
        InvalidSchema::new(format!("`{text}` is not a JSON Pointer")).help(format!("{error}"))
    })
}

/// Reads one of several words.
pub(crate) fn choice<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Result<T> {
    let text = text(value)?;
    let found = choices.iter().find(|(name, _)| *name == text);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        InvalidSchema::new(format!("unknown value `{text}`"))
            .choices(choices.iter().map(|(name, _)| *name))
    })
}

/// Reads each element of an array.
pub(crate) fn list<T>(value: &Value, read: impl Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
    let items = value
        .as_array()
        .ok_or_else(|| wrong_type("an array", value))?;
    let read = items
        .iter()
        .enumerate()
        .map(|(index, item)| read(item).map_err(|error| error.within(&index.to_string())));
    read.collect()
}
