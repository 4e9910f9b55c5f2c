//! Reads an object with a fixed set of keys, and reports unknown and repeated ones.

use super::field::Field;
use super::read::{FromValue, Reader};
use super::suggest::nearest;
use crate::diagnostic::Code;
use crate::json::{Key, Kind, Member, Span, Value};
use crate::secret::{MASK, looks_random};

/// An object with a fixed set of keys.
pub(crate) trait FileObject: Default {
    /// Its keys.
    const KEYS: &'static [&'static str];

    /// The descriptions of its keys, in the same order.
    fn fields() -> Vec<Field>;

    /// Sets the field of a key; false if there is no such key.
    fn set(&mut self, key: &str, value: &Value, reader: &mut Reader) -> bool;

    /// Sets the place of the object in the file.
    fn set_span(&mut self, span: Span);

    /// Reads the members in order: of a repeated key, the last one counts.
    fn read_members(&mut self, members: &[Member], reader: &mut Reader) {
        let mut seen = std::collections::HashSet::new();
        for Member { key, value } in members {
            if !self.set(&key.text, value, reader) {
                unknown_key(key, Self::KEYS, reader);
            } else if !seen.insert(key.text.as_str()) {
                let message = format!(
                    "`{}` is given more than once; the last one counts",
                    key.text
                );
                reader.warning(Code::DuplicateKey, &key.span, message, "remove the others");
            }
        }
    }
}

/// Reports an unknown key.
pub(crate) fn unknown_key(key: &Key, known: &[&str], reader: &mut Reader) {
    if looks_random(&key.text) {
        reader.hidden.push(key.span.clone());
    }
    let help = if reader.problems.is_full() {
        // The problem will not be listed, and the search takes time.
        String::new()
    } else if let Some(near) = nearest(&key.text, known.iter().copied()) {
        format!("did you mean `{near}`?")
    } else {
        let keys: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
        format!("the keys here are {}", keys.join(", "))
    };
    let message = format!("unknown key `{}`", shorten(&key.text));
    reader.error(Code::UnknownKey, &key.span, message, help);
}

/// At most 60 characters of a text, with control characters escaped. A text that looks like a
/// misplaced credential is masked.
pub(crate) fn shorten(text: &str) -> String {
    if looks_random(text) {
        return MASK.to_owned();
    }
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        short.push('\u{2026}');
    }
    short
}

impl<O: FileObject> FromValue for O {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        let Kind::Object(members) = &value.kind else {
            reader.wrong_type(value, "an object");
            return None;
        };
        let mut object = O::default();
        object.set_span(value.span.clone());
        object.read_members(members, reader);
        Some(object)
    }
}

/// Declares an object of the file: its struct, its reader, its keys and its JSON Schema.
///
/// Each field is `name: Type = "key", presence;` where the presence is `required`, `optional` or
/// `default(value)`.
macro_rules! file_object {
    (
        $(#[doc = $object_doc:literal])+
        struct $Name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $Type:ty = $key:literal, $presence:ident $(($default:tt))?;
            )*
        }
    ) => {
        $(#[doc = $object_doc])+
        #[derive(Debug, Default)]
        pub(crate) struct $Name {
            pub(crate) span: $crate::json::Span,
            $($(#[doc = $doc])+ pub(crate) $field: $crate::file::read::Slot<$Type>,)*
        }

        impl $crate::file::object::FileObject for $Name {
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn fields() -> Vec<$crate::file::field::Field> {
                vec![$($crate::file::field::Field {
                    key: $key,
                    doc: &[$($doc),+],
                    presence: $crate::file::object::presence!($presence $(($default))?),
                },)*]
            }

            fn set(
                &mut self,
                key: &str,
                value: &$crate::json::Value,
                reader: &mut $crate::file::read::Reader,
            ) -> bool {
                match key {
                    $($key => self.$field = $crate::file::read::Slot::read(value, reader),)*
                    _ => return false,
                }
                true
            }

            fn set_span(&mut self, span: $crate::json::Span) {
                self.span = span;
            }
        }

        impl schemars::JsonSchema for $Name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($Name).trim_end_matches("File").into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let types = [$(generator.subschema_for::<$Type>(),)*];
                $crate::file::field::object_schema(
                    &[$($object_doc),+],
                    <$Name as $crate::file::object::FileObject>::fields(),
                    types.to_vec(),
                )
            }
        }
    };
}

macro_rules! presence {
    (required) => {
        $crate::file::field::Presence::Required
    };
    (optional) => {
        $crate::file::field::Presence::Optional
    };
    (default($default:tt)) => {
        $crate::file::field::Presence::Default(serde_json::json!($default))
    };
}

pub(crate) use {file_object, presence};
