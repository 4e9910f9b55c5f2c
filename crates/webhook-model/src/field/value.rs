//! The types of values: scalars, texts, lists, sets, maps.

use crate::collection::map::Map;
use crate::collection::set::Set;
use crate::hash::jvm::java_bits;
use crate::hash::visit::{Site, Visitor};
use crate::hash::{Asking, JavaHash, Unhashable};
use crate::json::error::{ReadError, ReadErrorKind};
use crate::json::scan::Scanner;
use crate::json_schema::{self, Definitions};
use crate::release::{Layout, Release};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Value, json};
use std::hash::{Hash, Hasher};

/// The value of a field.
pub(crate) trait FieldValue: JavaHash + Sized {
    /// The default that Java has for an absent field, unless the field can be null: 0, false, an
    /// empty collection.
    fn fallback() -> Option<Self> {
        None
    }

    /// Reads the next value, which is not null.
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError>;

    fn write<S: Serializer>(&self, layout: Layout, serializer: S) -> Result<S::Ok, S::Error>;

    /// The JSON Schema of what [`read`](Self::read) reads.
    fn schema(definitions: &mut Definitions) -> Value;

    /// Equality as in Java's `equals`.
    fn same(&self, other: &Self) -> bool;

    /// Hashes the value, such that [`same`](Self::same) values have the same hash.
    fn digest<H: Hasher>(&self, state: &mut H);

    /// Drops the fields that `release` does not have.
    fn restrict(&mut self, _release: Release) {}

    /// Walks through all hashed structs in the value.
    fn walk<V: Visitor>(&self, _site: &Site<'_>, _visitor: &mut V) {}

    /// The path of the first double in the value that JSON cannot express.
    fn unwritable(&self, _site: &Site<'_>, _layout: Layout) -> Option<String> {
        None
    }
}

/// The methods of a [`FieldValue`] whose `Eq` and `Hash` agree with Java's.
macro_rules! same_by_eq {
    () => {
        fn same(&self, other: &Self) -> bool {
            self == other
        }

        fn digest<H: std::hash::Hasher>(&self, state: &mut H) {
            std::hash::Hash::hash(self, state);
        }
    };
}

pub(crate) use same_by_eq;

/// A value with the layout to write it in.
pub(crate) struct InLayout<'a, T>(pub(crate) &'a T, pub(crate) Layout);

impl<T: FieldValue> Serialize for InLayout<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(self.1, serializer)
    }
}

fn range_error(scanner: &Scanner<'_>, at: usize, number: &str, what: &str) -> ReadError {
    // A hostile number may be megabytes long.
    let shown: String = number.chars().take(40).collect();
    let more = if shown.len() < number.len() {
        "…"
    } else {
        ""
    };
    scanner.error_at(
        at,
        ReadErrorKind::Type,
        format!("expected {what}, found {shown}{more}"),
    )
}

fn read_integer<T: std::str::FromStr + TryFrom<i64>>(
    scanner: &mut Scanner<'_>,
    what: &str,
) -> Result<T, ReadError> {
    if let Some(integer) = scanner.integer() {
        return Ok(integer);
    }
    let number = scanner.number(what)?;
    let start = scanner.place() - number.len();
    number
        .parse()
        .map_err(|_| range_error(scanner, start, number, what))
}

macro_rules! integer_field {
    ($Integer:ty, $serialize:ident, $what:literal) => {
        impl FieldValue for $Integer {
            fn fallback() -> Option<Self> {
                Some(0)
            }

            fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
                read_integer(scanner, $what)
            }

            fn write<S: Serializer>(&self, _: Layout, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.$serialize(*self)
            }

            fn schema(_: &mut Definitions) -> Value {
                json_schema::integer::<$Integer>()
            }

            same_by_eq!();
        }
    };
}

integer_field!(i32, serialize_i32, "a whole number of 32 bits");
integer_field!(i64, serialize_i64, "a whole number of 64 bits");

impl FieldValue for bool {
    fn fallback() -> Option<Self> {
        Some(false)
    }

    fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        scanner.boolean()
    }

    fn write<S: Serializer>(&self, _: Layout, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self)
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "boolean" })
    }

    same_by_eq!();
}

impl FieldValue for f64 {
    fn fallback() -> Option<Self> {
        Some(0.0)
    }

    fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        let what = "a number that fits a double";
        let number = scanner.number(what)?;
        match number.parse::<f64>() {
            Ok(double) if double.is_finite() => Ok(double),
            _ => Err(range_error(
                scanner,
                scanner.place() - number.len(),
                number,
                what,
            )),
        }
    }

    fn write<S: Serializer>(&self, _: Layout, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.is_finite() {
            return Err(serde::ser::Error::custom(
                "NaN and infinite numbers are not JSON",
            ));
        }
        serializer.serialize_f64(*self)
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "number" })
    }

    fn same(&self, other: &Self) -> bool {
        java_bits(*self) == java_bits(*other)
    }

    fn digest<H: Hasher>(&self, state: &mut H) {
        java_bits(*self).hash(state);
    }

    fn unwritable(&self, site: &Site<'_>, _: Layout) -> Option<String> {
        (!self.is_finite()).then(|| site.to_string())
    }
}

impl FieldValue for String {
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        scanner.string().map(Into::into)
    }

    fn write<S: Serializer>(&self, _: Layout, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "string" })
    }

    same_by_eq!();
}

/// Reads the elements of an array.
fn read_elements<T: FieldValue>(scanner: &mut Scanner<'_>) -> Result<Vec<T>, ReadError> {
    scanner.enter_array("an array")?;
    let mut elements = Vec::new();
    let mut first = true;
    while scanner.next_element(&mut first)? {
        let element = T::read(scanner).map_err(|error| error.in_element(elements.len()))?;
        elements.push(element);
    }
    Ok(elements)
}

fn write_elements<T: FieldValue, S: Serializer>(
    elements: &[T],
    layout: Layout,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(elements.len()))?;
    for element in elements {
        sequence.serialize_element(&InLayout(element, layout))?;
    }
    sequence.end()
}

fn unwritable_element<T: FieldValue>(
    elements: &[T],
    site: &Site<'_>,
    layout: Layout,
) -> Option<String> {
    let mut elements = elements.iter().enumerate();
    elements.find_map(|(index, element)| element.unwritable(&site.element(index), layout))
}

impl<T: FieldValue + Eq + Hash> FieldValue for Vec<T> {
    fn fallback() -> Option<Self> {
        Some(Vec::new())
    }

    fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        read_elements(scanner)
    }

    fn write<S: Serializer>(&self, layout: Layout, serializer: S) -> Result<S::Ok, S::Error> {
        write_elements(self, layout, serializer)
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({ "type": "array", "items": T::schema(definitions) })
    }

    same_by_eq!();

    fn restrict(&mut self, release: Release) {
        for element in self {
            element.restrict(release);
        }
    }

    fn walk<V: Visitor>(&self, site: &Site<'_>, visitor: &mut V) {
        for (index, element) in self.iter().enumerate() {
            element.walk(&site.element(index), visitor);
        }
    }

    fn unwritable(&self, site: &Site<'_>, layout: Layout) -> Option<String> {
        unwritable_element(self, site, layout)
    }
}

impl<T: FieldValue + Eq + Hash> FieldValue for Set<T> {
    fn fallback() -> Option<Self> {
        Some(Set::new())
    }

    fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        let elements = read_elements(scanner)?;
        Set::read(elements).map_err(|(first, second)| {
            let message = format!("equal to element {first}; a set holds no element twice");
            scanner
                .error(ReadErrorKind::Contradiction, message)
                .in_element(second)
        })
    }

    fn write<S: Serializer>(&self, layout: Layout, serializer: S) -> Result<S::Ok, S::Error> {
        write_elements(self, layout, serializer)
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({ "type": "array", "items": T::schema(definitions), "uniqueItems": true })
    }

    same_by_eq!();

    fn restrict(&mut self, release: Release) {
        // Elements may differ only in fields that the release does not have.
        self.change_each(|element| element.restrict(release));
    }

    fn walk<V: Visitor>(&self, site: &Site<'_>, visitor: &mut V) {
        for (index, element) in self.iter().enumerate() {
            element.walk(&site.element(index).asked_if(self.len() > 1), visitor);
        }
    }

    fn unwritable(&self, site: &Site<'_>, layout: Layout) -> Option<String> {
        unwritable_element(self, site, layout)
    }
}

impl<T: FieldValue + Eq + Hash> FieldValue for Map<T> {
    fn fallback() -> Option<Self> {
        Some(Map::new())
    }

    fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        scanner.enter_object("an object")?;
        let mut entries = Vec::new();
        let mut first = true;
        while let Some(key) = scanner.next_key(&mut first)? {
            let value = T::read(scanner).map_err(|error| error.in_member(&key))?;
            entries.push((key.into_owned(), value));
        }
        Map::read(entries).map_err(|index| {
            let message = format!("entry {index} has the key of an earlier one");
            scanner.error(ReadErrorKind::Contradiction, message)
        })
    }

    fn write<S: Serializer>(&self, layout: Layout, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, &InLayout(value, layout))?;
        }
        map.end()
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({ "type": "object", "additionalProperties": T::schema(definitions) })
    }

    same_by_eq!();
}

/// The hash of an optional field: an absent one has the hash of Java's default, or 0 for null.
pub(crate) fn field_hash<T: FieldValue>(
    field: Option<&T>,
    asking: &Asking<'_>,
) -> Result<i32, Unhashable> {
    match field {
        Some(value) => value.java_hash(asking),
        None => T::fallback().map_or(Ok(0), |fallback| fallback.java_hash(asking)),
    }
}

/// Whether two optional fields are equal: an absent one is equal to Java's default.
pub(crate) fn same_field<T: FieldValue>(left: Option<&T>, right: Option<&T>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => left.same(right),
        (None, None) => true,
        (Some(value), None) | (None, Some(value)) => {
            T::fallback().is_some_and(|fallback| fallback.same(value))
        }
    }
}

/// Hashes an optional field, such that equal fields have the same hash.
pub(crate) fn digest_field<T: FieldValue, H: Hasher>(field: Option<&T>, state: &mut H) {
    match field {
        Some(value) => value.digest(state),
        None => match T::fallback() {
            Some(fallback) => fallback.digest(state),
            None => state.write_u8(0xA5),
        },
    }
}
