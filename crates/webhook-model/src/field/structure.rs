//! The macro that declares one of Aurora's structs: its fields in Aurora's order, each with its
//! kind, its name in JSON and the releases that have it.
//!
//! The order of declaration is the order in JSON and in the hash.

/// Declares a struct with a `cachedHashCode`.
///
/// A field is `kind name, setter, "nameOnTheWire", span;`, a kind one of `text`,
/// `part(Type)` (which may be null) and `scalar(type)`, `list(element)`, `set(element)`,
/// `map(value)` (which may not).
macro_rules! structure {
    (
        $(#[doc = $doc:literal])*
        $Struct:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $kind:ident $(($Inner:ty))? $field:ident, $setter:ident, $wire:literal, $span:expr;
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $Struct {
            cached_hash_code: $crate::hash::cached::CachedHash,
            unknown: $crate::field::unknown::UnknownFields,
            $($field: Option<$crate::field::accessors::kind!($kind $(($Inner))?)>,)*
        }

        impl $Struct {
            $(
                $crate::field::accessors::accessors! {
                    [$(#[doc = $field_doc])*] $kind $(($Inner))? $field $setter $wire
                }
            )*

            /// Java's `hashCode`, by the [fixed table](crate::IdentityHashes::fixed) and the
            /// layout of the latest release.
            ///
            /// It is [cached](Self::cached_hash_code) in the struct and in everything in it. A hash
            /// that is already cached, perhaps by another JVM, is used unchanged.
            pub fn hash_code(&self) -> i32 {
                match self.hash_code_in($crate::Jvm::fixed()) {
                    Ok(hash) => hash,
                    // The fixed table knows every constant.
                    Err(_) => 0,
                }
            }

            /// Java's `hashCode` as `jvm` computes it; cached.
            ///
            /// # Errors
            /// When the identity table of `jvm` lacks a needed constant, or the struct contains
            /// something that this crate does not know. Hashes computed before the error stay
            /// cached.
            pub fn hash_code_in(&self, jvm: &$crate::Jvm) -> Result<i32, $crate::Unhashable> {
                $crate::hash::JavaHash::java_hash(self, &$crate::hash::Asking::caching(jvm))
            }

            /// `cachedHashCode`: the hash if it was computed, else 0.
            ///
            /// Computing the hash of a struct caches the hashes of everything in it, but not of
            /// what contains it. Building a [`Set`](crate::Set) of two or more elements caches
            /// theirs. A clone keeps the hash, a setter resets it, and `==` ignores it.
            #[must_use]
            pub fn cached_hash_code(&self) -> i32 {
                self.cached_hash_code.get()
            }

            /// The unknown fields of the JSON object, as names and JSON texts in the order read.
            /// They are written in the same places.
            pub fn unknown_fields(&self) -> impl Iterator<Item = (&str, &str)> {
                self.unknown.iter()
            }
        }

        impl PartialEq for $Struct {
            fn eq(&self, other: &Self) -> bool {
                self.unknown == other.unknown
                    $(&& $crate::field::value::same_field(self.$field.as_ref(), other.$field.as_ref()))*
            }
        }

        impl Eq for $Struct {}

        impl std::hash::Hash for $Struct {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                let _ = &state;
                $($crate::field::value::digest_field(self.$field.as_ref(), state);)*
            }
        }

        impl $crate::hash::JavaHash for $Struct {
            fn java_hash(
                &self,
                asking: &$crate::hash::Asking<'_>,
            ) -> Result<i32, $crate::Unhashable> {
                if asking.caching && self.cached_hash_code.get() != 0 {
                    return Ok(self.cached_hash_code.get());
                }
                if let (Some(name), false) = (self.unknown.first(), asking.jvm.identities().is_fixed()) {
                    let name = format!("{}.{name}", stringify!($Struct));
                    return Err($crate::Unhashable::UnknownField(name));
                }
                #[allow(unused_mut, reason = "a struct without fields adds nothing")]
                let mut fold = $crate::hash::Fold::new();
                $(
                    if $span.holds(asking.jvm.release()) {
                        fold.add($crate::field::value::field_hash(self.$field.as_ref(), asking)?);
                    }
                )*
                let hash = fold.finish();
                if asking.caching {
                    self.cached_hash_code.set(hash);
                }
                Ok(hash)
            }
        }

        impl $crate::hash::visit::Hashed for $Struct {
            fn type_name(&self) -> &'static str {
                stringify!($Struct)
            }

            fn cached(&self) -> &$crate::hash::cached::CachedHash {
                &self.cached_hash_code
            }
        }

        impl $crate::field::FieldValue for $Struct {
            fn read(
                scanner: &mut $crate::json::scan::Scanner<'_>,
            ) -> Result<Self, $crate::ReadError> {
                scanner.enter_object("an object")?;
                let mut read = Self::default();
                let mut cached = None;
                // The number of known fields before the present position.
                let mut reached = 0;
                let mut first = true;
                while let Some(key) = scanner.next_key(&mut first)? {
                    #[allow(unused_mut, unused_assignments, reason = "counts the fields")]
                    let mut place = 0;
                    if key == "cachedHashCode" {
                        $crate::field::structure::read_field(scanner, "cachedHashCode", &mut cached)?;
                        continue;
                    }
                    $(
                        place += 1;
                        if key == $wire {
                            $crate::field::structure::read_field(scanner, $wire, &mut read.$field)?;
                            reached = place;
                            continue;
                        }
                    )*
                    read.unknown.keep(reached, &key, scanner)?;
                }
                read.cached_hash_code.set(cached.unwrap_or(0));
                Ok(read)
            }

            fn write<S: serde::Serializer>(
                &self,
                layout: $crate::Layout,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("cachedHashCode", &self.cached_hash_code.get())?;
                #[allow(unused_mut, reason = "counts the fields")]
                let mut place = 0;
                self.unknown.write(place, &mut map)?;
                $(
                    place += 1;
                    if layout.has($span) {
                        $crate::field::structure::write_field(
                            &mut map, $wire, self.$field.as_ref(), layout,
                        )?;
                    }
                    self.unknown.write(place, &mut map)?;
                )*
                map.end()
            }

            fn schema(definitions: &mut $crate::json_schema::Definitions) -> serde_json::Value {
                definitions.reference(stringify!($Struct), |definitions| {
                    let _ = &definitions;
                    #[allow(unused_mut, reason = "a struct without fields adds nothing")]
                    let mut members = $crate::json_schema::Members::new();
                    $(
                        let schema = <$crate::field::accessors::kind!($kind $(($Inner))?) as
                            $crate::field::FieldValue>::schema(definitions);
                        members.add($wire, concat!($($field_doc, "\n",)*), schema);
                    )*
                    members.of_struct(concat!($($doc, "\n",)*))
                })
            }

            $crate::field::value::same_by_eq!();

            fn restrict(&mut self, release: $crate::Release) {
                let _ = release;
                $(
                    if !$span.holds(release) {
                        self.$field = None;
                    } else if let Some(value) = &mut self.$field {
                        $crate::field::FieldValue::restrict(value, release);
                    }
                )*
            }

            fn walk<V: $crate::hash::visit::Visitor>(
                &self,
                site: &$crate::hash::visit::Site<'_>,
                visitor: &mut V,
            ) {
                let site = site.asked_if(visitor.asks(self));
                $(
                    if let Some(value) = &self.$field {
                        let member = site.member($wire);
                        let member = if visitor.hashes($span) { member } else { member.unasked() };
                        $crate::field::FieldValue::walk(value, &member, visitor);
                    }
                )*
                visitor.visit(self, &site);
            }

            fn unwritable(
                &self,
                site: &$crate::hash::visit::Site<'_>,
                layout: $crate::Layout,
            ) -> Option<String> {
                let _ = (site, layout);
                $(
                    if let (Some(value), true) = (&self.$field, layout.has($span)) {
                        let found = $crate::field::FieldValue::unwritable(
                            value, &site.member($wire), layout,
                        );
                        if found.is_some() {
                            return found;
                        }
                    }
                )*
                None
            }
        }
    };
}

pub(crate) use structure;

use super::value::{FieldValue, InLayout};
use crate::json::error::{ReadError, ReadErrorKind};
use crate::json::scan::Scanner;
use crate::release::Layout;
use serde::ser::SerializeMap;

/// Reads the value of the field `name`; null means absent.
pub(crate) fn read_field<T: FieldValue>(
    scanner: &mut Scanner<'_>,
    name: &str,
    field: &mut Option<T>,
) -> Result<(), ReadError> {
    read_into(scanner, name, field, |scanner| T::read(scanner))
}

/// Reads the value of the member `name` with `read`; null means absent, and a second occurrence is
/// an error.
#[inline]
pub(crate) fn read_into<'a, T>(
    scanner: &mut Scanner<'a>,
    name: &str,
    place: &mut Option<T>,
    read: impl FnOnce(&mut Scanner<'a>) -> Result<T, ReadError>,
) -> Result<(), ReadError> {
    if place.is_some() {
        let message = "a second member of this name".to_owned();
        return Err(scanner
            .error(ReadErrorKind::Contradiction, message)
            .in_member(name));
    }
    if !scanner.null().map_err(|error| error.in_member(name))? {
        *place = Some(read(scanner).map_err(|error| error.in_member(name))?);
    }
    Ok(())
}

/// Writes the field `name`, if it has a value or the layout requires a default.
#[inline]
pub(crate) fn write_field<T: FieldValue, M: SerializeMap>(
    map: &mut M,
    name: &str,
    field: Option<&T>,
    layout: Layout,
) -> Result<(), M::Error> {
    match (field, layout) {
        (Some(value), _) => map.serialize_entry(name, &InLayout(value, layout)),
        (None, Layout::AsRead) => Ok(()),
        (None, Layout::Of(_)) => match T::fallback() {
            Some(fallback) => map.serialize_entry(name, &InLayout(&fallback, layout)),
            None => Ok(()),
        },
    }
}
