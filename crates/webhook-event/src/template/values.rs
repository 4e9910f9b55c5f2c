//! The values that a template fills in: those at pointers, and the event's fields.

use crate::attributes::Attributes;
use crate::error::InvalidSchema;
use crate::fragment::Fragment;
use crate::pointer::Pointer;
use crate::pointer_set::PointerSet;
use crate::time;
use std::borrow::Cow;

/// The fields of an event for its template.
#[derive(Clone, Copy, Debug)]
pub struct TemplateFields<'a> {
    /// The event's key.
    pub key: &'a str,
    /// The delivery's `webhook-id`, the same over retries.
    pub id: &'a str,
    /// The other fields.
    pub attributes: &'a Attributes,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The pointer of this index.
    Pointer(usize),
    Field(Field),
}

/// A field of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Key,
    State,
    OldState,
    Job,
    Id,
    Time,
    Input,
}

const FIELDS: [(&str, Field); 7] = [
    ("key", Field::Key),
    ("state", Field::State),
    ("oldState", Field::OldState),
    ("job", Field::Job),
    ("id", Field::Id),
    ("time", Field::Time),
    ("input", Field::Input),
];

impl Source {
    /// Reads a pointer or the name of a field.
    pub(super) fn parse(text: &str, pointers: &mut PointerSet) -> Result<Source, InvalidSchema> {
        if !text.is_empty() && !text.starts_with('/') {
            let field = FIELDS.iter().find(|(name, _)| *name == text);
            return field
                .map(|(_, field)| Source::Field(*field))
                .ok_or_else(|| {
                    let names = FIELDS.map(|(name, _)| name).join(", ");
                    InvalidSchema::new(format!("there is no field `{text}`")).help(format!(
                        "a JSON Pointer such as `/{text}`, or one of {names}"
                    ))
                });
        }
        let pointer: Pointer = text.parse().map_err(|error| {
            InvalidSchema::new(format!("`{text}` is not a JSON Pointer: {error}"))
        })?;
        Ok(Source::Pointer(pointers.add(&pointer)))
    }
}

/// The values of one event.
pub(super) struct Values<'a> {
    pub(super) found: Vec<Option<Fragment<'a>>>,
    pub(super) fields: &'a TemplateFields<'a>,
}

/// A value that is neither absent nor null.
pub(super) enum Found<'a> {
    Fragment(Fragment<'a>),
    /// The text of a field.
    Text(Cow<'a, str>),
}

impl<'a> Values<'a> {
    pub(super) fn get(&self, source: Source) -> Option<Found<'a>> {
        match source {
            Source::Pointer(index) => {
                let fragment = self.found.get(index).copied().flatten()?;
                (!fragment.is_null()).then_some(Found::Fragment(fragment))
            }
            Source::Field(field) => {
                let text = self.field(field)?;
                (!text.is_empty()).then_some(Found::Text(text))
            }
        }
    }

    fn field(&self, field: Field) -> Option<Cow<'a, str>> {
        let TemplateFields {
            key,
            id,
            attributes,
        } = *self.fields;
        match field {
            Field::Key => Some(key.into()),
            Field::Id => Some(id.into()),
            Field::State => attributes.state.as_deref().map(Cow::from),
            Field::OldState => attributes.old_state.as_deref().map(Cow::from),
            Field::Job => Some(attributes.job.join("/").into()),
            Field::Input => Some(attributes.input.as_str().into()),
            Field::Time => time::rfc3339(attributes.time?).map(Cow::from),
        }
    }
}

impl<'a> Found<'a> {
    /// The value as text: of an array or object, its JSON.
    pub(super) fn text(&self) -> Cow<'a, str> {
        match self {
            Found::Text(text) => text.clone(),
            Found::Fragment(fragment) => fragment
                .text()
                .unwrap_or_else(|| String::from_utf8_lossy(fragment.bytes())),
        }
    }
}
