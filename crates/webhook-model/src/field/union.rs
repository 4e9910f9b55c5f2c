//! Thrift's unions: a value with the tag `setField`.

use super::structure::read_field;
use super::unknown::{RawJson, UnknownFields};
use super::value::FieldValue;
use super::variant::{UnknownVariant, Variant};
use crate::hash::cached::CachedHash;
use crate::hash::visit::{Hashed, Site, Visitor};
use crate::hash::{Asking, Fold, JavaHash, Jvm, Unhashable};
use crate::json::error::{ReadError, ReadErrorKind};
use crate::json::scan::Scanner;
use crate::json_schema::Definitions;
use crate::release::{Layout, Release};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// One of Aurora's unions, with its cached hash and its unknown fields.
///
/// In JSON it is `{"cachedHashCode":…,"setField":"RAM_MB","value":16}`. It dereferences to the enum
/// of its variants, which `into()` converts to a union.
///
/// ```
/// use webhook_model::{Resource, Union};
/// let resource: Union<Resource> = Resource::RamMb(16).into();
/// assert!(matches!(*resource, Resource::RamMb(16)));
/// ```
#[derive(Clone, Debug)]
pub struct Union<T> {
    cached_hash_code: CachedHash,
    variant: T,
    unknown: UnknownFields,
}

#[expect(private_bounds, reason = "the set of unions is Aurora's")]
impl<T: Variant> Union<T> {
    /// The union of a value, without a cached hash.
    #[must_use]
    pub fn new(variant: T) -> Self {
        Union {
            cached_hash_code: CachedHash::default(),
            variant,
            unknown: UnknownFields::default(),
        }
    }

    /// The value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.variant
    }

    /// Java's `hashCode`, by the [fixed table](crate::IdentityHashes::fixed) and the layout of the
    /// latest release; cached like the hash of [a struct](crate::TaskConfig::hash_code).
    pub fn hash_code(&self) -> i32 {
        // The fixed table knows every constant.
        self.hash_code_in(Jvm::fixed()).unwrap_or(0)
    }

    /// Java's `hashCode` as `jvm` computes it; cached.
    ///
    /// # Errors
    /// When the identity table of `jvm` lacks a needed constant, or the union contains something
    /// that this crate does not know. Hashes computed before the error stay cached.
    pub fn hash_code_in(&self, jvm: &Jvm) -> Result<i32, Unhashable> {
        self.java_hash(&Asking::caching(jvm))
    }

    /// `cachedHashCode`: the hash if it was computed, else 0.
    #[must_use]
    pub fn cached_hash_code(&self) -> i32 {
        self.cached_hash_code.get()
    }

    /// The unknown fields of the JSON object, as names and JSON texts.
    pub fn unknown_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.unknown.iter()
    }
}

impl<T> Deref for Union<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.variant
    }
}

impl<T: Variant> From<T> for Union<T> {
    fn from(variant: T) -> Self {
        Union::new(variant)
    }
}

impl<T: Variant> PartialEq for Union<T> {
    fn eq(&self, other: &Self) -> bool {
        self.variant == other.variant && self.unknown == other.unknown
    }
}

impl<T: Variant> Eq for Union<T> {}

impl<T: Variant> Hash for Union<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.variant.hash(state);
    }
}

impl<T: Variant> JavaHash for Union<T> {
    fn java_hash(&self, asking: &Asking<'_>) -> Result<i32, Unhashable> {
        if asking.caching && self.cached_hash_code.get() != 0 {
            return Ok(self.cached_hash_code.get());
        }
        if let (Some(name), false) = (self.unknown.first(), asking.jvm.identities().is_fixed()) {
            return Err(Unhashable::UnknownField(format!("{}.{name}", T::NAME)));
        }
        let mut fold = Fold::new();
        // Hash the value first, so that a missing constant in it is reported before that of the
        // tag, which can then be solved for.
        let value = self.variant.value_hash(asking)?;
        fold.add(asking.identity(self.variant.constant())?);
        fold.add(value);
        let hash = fold.finish();
        if asking.caching {
            self.cached_hash_code.set(hash);
        }
        Ok(hash)
    }
}

impl<T: Variant> Hashed for Union<T> {
    fn type_name(&self) -> &'static str {
        T::NAME
    }

    fn cached(&self) -> &CachedHash {
        &self.cached_hash_code
    }
}

/// Writes a union's value.
struct ValueInLayout<'a, T>(&'a T, Layout);

impl<T: Variant> Serialize for ValueInLayout<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write_value(self.1, serializer)
    }
}

fn read_tagged<T: Variant>(tag: &str, scanner: &mut Scanner<'_>) -> Result<T, ReadError> {
    let start = scanner.place();
    match T::read_value(tag, scanner) {
        Some(Err(error)) if error.kind() == ReadErrorKind::Type && error.path().is_empty() => {
            // The value has another type than its tag: the two contradict each other.
            let message = format!("{} by its setField, but {}", tag, error.message());
            Err(scanner
                .error_at(start, ReadErrorKind::Contradiction, message)
                .in_member("value"))
        }
        Some(read) => read.map_err(|error| error.in_member("value")),
        None => {
            let value = RawJson::read(scanner).map_err(|error| error.in_member("value"))?;
            Ok(T::unknown(UnknownVariant {
                tag: tag.to_owned(),
                value,
            }))
        }
    }
}

impl<T: Variant> FieldValue for Union<T> {
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        scanner.enter_object("an object")?;
        let opened = scanner.place();
        let mut cached: Option<i32> = None;
        let mut tag: Option<String> = None;
        let mut variant: Option<T> = None;
        // The place of a value that came before its tag.
        let mut early: Option<usize> = None;
        let mut unknown = UnknownFields::default();
        let mut reached = 0;
        let mut first = true;
        while let Some(key) = scanner.next_key(&mut first)? {
            match &*key {
                "cachedHashCode" => read_field(scanner, "cachedHashCode", &mut cached)?,
                "setField" => {
                    read_field(scanner, "setField", &mut tag)?;
                    reached = 1;
                }
                "value" if variant.is_some() || early.is_some() => {
                    let message = "a second member of this name".to_owned();
                    let error = scanner.error(ReadErrorKind::Contradiction, message);
                    return Err(error.in_member("value"));
                }
                "value" => {
                    reached = 2;
                    match &tag {
                        Some(tag) => variant = Some(read_tagged(tag, scanner)?),
                        None => {
                            early = Some(scanner.place());
                            scanner
                                .skip_value()
                                .map_err(|error| error.in_member("value"))?;
                        }
                    }
                }
                _ => unknown.keep(reached, &key, scanner)?,
            }
        }
        let contradiction = |message: String, member: &str| {
            let error = scanner.error_at(opened, ReadErrorKind::Contradiction, message);
            error.in_member(member)
        };
        let Some(tag) = tag else {
            let message = format!("missing, so the type of this {} is unknown", T::NAME);
            return Err(contradiction(message, "setField"));
        };
        let variant = match (variant, early) {
            (Some(variant), _) => variant,
            (None, Some(early)) => {
                let after = scanner.place();
                scanner.return_to(early);
                let variant = read_tagged(&tag, scanner)?;
                scanner.return_to(after);
                variant
            }
            (None, None) => {
                return Err(contradiction(
                    format!("missing, though setField is {tag}"),
                    "value",
                ));
            }
        };
        Ok(Union {
            cached_hash_code: CachedHash::new(cached.unwrap_or(0)),
            variant,
            unknown,
        })
    }

    fn write<S: Serializer>(&self, layout: Layout, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("cachedHashCode", &self.cached_hash_code.get())?;
        self.unknown.write(0, &mut map)?;
        map.serialize_entry("setField", self.variant.tag())?;
        self.unknown.write(1, &mut map)?;
        map.serialize_entry("value", &ValueInLayout(&self.variant, layout))?;
        self.unknown.write(2, &mut map)?;
        map.end()
    }

    fn schema(definitions: &mut Definitions) -> Value {
        T::schema(definitions)
    }

    crate::field::value::same_by_eq!();

    fn restrict(&mut self, release: Release) {
        self.variant.restrict_value(release);
    }

    fn walk<V: Visitor>(&self, site: &Site<'_>, visitor: &mut V) {
        let site = site.asked_if(visitor.asks(self));
        self.variant.walk_value(&site.member("value"), visitor);
        visitor.visit(self, &site);
    }

    fn unwritable(&self, site: &Site<'_>, layout: Layout) -> Option<String> {
        self.variant.unwritable_value(&site.member("value"), layout)
    }
}
