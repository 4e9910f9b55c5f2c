//! The variants of a union.

use super::unknown::RawJson;
use crate::hash::identity::Constant;
use crate::hash::visit::{Site, Visitor};
use crate::hash::{Asking, JavaHash, Unhashable};
use crate::json::error::ReadError;
use crate::json::scan::Scanner;
use crate::json_schema::Definitions;
use crate::release::{Layout, Release};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::hash::Hash;

/// A value with an unknown tag, from a newer scheduler. It is kept unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownVariant {
    pub(super) tag: String,
    pub(super) value: RawJson,
}

impl UnknownVariant {
    /// The tag: the value of `setField`.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The value's JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        self.value.text()
    }
}

/// The variants of one of Aurora's unions.
pub(crate) trait Variant: Clone + fmt::Debug + Eq + Hash + Sized {
    /// The union's name in Aurora.
    const NAME: &'static str;

    /// The tag: the value of `setField`.
    fn tag(&self) -> &str;

    fn constant(&self) -> Constant<'_>;

    /// Reads the value of `tag`; `None` if the tag is unknown.
    fn read_value(tag: &str, scanner: &mut Scanner<'_>) -> Option<Result<Self, ReadError>>;

    fn unknown(variant: UnknownVariant) -> Self;

    fn write_value<S: Serializer>(&self, layout: Layout, serializer: S) -> Result<S::Ok, S::Error>;

    /// The schema of the union.
    fn schema(definitions: &mut Definitions) -> Value;

    fn value_hash(&self, asking: &Asking<'_>) -> Result<i32, Unhashable>;

    fn restrict_value(&mut self, release: Release);

    fn walk_value<V: Visitor>(&self, site: &Site<'_>, visitor: &mut V);

    fn unwritable_value(&self, site: &Site<'_>, layout: Layout) -> Option<String>;
}

pub(crate) fn write_unknown<S: Serializer>(
    variant: &UnknownVariant,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    variant.value.serialize(serializer)
}

/// The hash of an unknown value: with the fixed table, that of its text; with another table, an
/// error.
pub(crate) fn unknown_hash(
    union: &str,
    variant: &UnknownVariant,
    asking: &Asking<'_>,
) -> Result<i32, Unhashable> {
    if asking.jvm.identities().is_fixed() {
        return variant.json().java_hash(asking);
    }
    Err(Unhashable::UnknownValue(format!("{union}.{}", variant.tag)))
}

/// Declares the variants of a union: `Variant(type) "TAG";`.
macro_rules! union {
    (
        $(#[doc = $doc:literal])*
        $Union:ident {
            $($(#[doc = $arm_doc:literal])* $Arm:ident($Value:ty) $tag:literal;)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub enum $Union {
            $($(#[doc = $arm_doc])* $Arm($Value),)*
            /// A value with an unknown tag.
            Unknown($crate::UnknownVariant),
        }

        impl $Union {
            /// The tag: the value of `setField`.
            #[must_use]
            pub fn tag(&self) -> &str {
                match self {
                    $($Union::$Arm(_) => $tag,)*
                    $Union::Unknown(variant) => variant.tag(),
                }
            }
        }

        impl PartialEq for $Union {
            fn eq(&self, other: &Self) -> bool {
                match (self, other) {
                    $(
                        ($Union::$Arm(left), $Union::$Arm(right)) => {
                            $crate::field::FieldValue::same(left, right)
                        }
                    )*
                    ($Union::Unknown(left), $Union::Unknown(right)) => left == right,
                    _ => false,
                }
            }
        }

        impl Eq for $Union {}

        impl std::hash::Hash for $Union {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                std::mem::discriminant(self).hash(state);
                match self {
                    $($Union::$Arm(value) => $crate::field::FieldValue::digest(value, state),)*
                    $Union::Unknown(variant) => variant.hash(state),
                }
            }
        }

        impl $crate::field::variant::Variant for $Union {
            const NAME: &'static str = stringify!($Union);

            fn tag(&self) -> &str {
                $Union::tag(self)
            }

            fn constant(&self) -> $crate::hash::identity::Constant<'_> {
                use $crate::hash::identity::Constant;
                match self {
                    $($Union::$Arm(_) => {
                        const { Constant::known(concat!(stringify!($Union), ".", $tag)) }
                    })*
                    $Union::Unknown(variant) => {
                        Constant::Other { family: stringify!($Union), name: variant.tag() }
                    }
                }
            }

            fn read_value(
                tag: &str,
                scanner: &mut $crate::json::scan::Scanner<'_>,
            ) -> Option<Result<Self, $crate::ReadError>> {
                match tag {
                    $($tag => Some(
                        <$Value as $crate::field::FieldValue>::read(scanner).map($Union::$Arm),
                    ),)*
                    _ => None,
                }
            }

            fn unknown(variant: $crate::UnknownVariant) -> Self {
                $Union::Unknown(variant)
            }

            fn write_value<S: serde::Serializer>(
                &self,
                layout: $crate::Layout,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                match self {
                    $($Union::$Arm(value) => {
                        $crate::field::FieldValue::write(value, layout, serializer)
                    })*
                    $Union::Unknown(variant) => {
                        $crate::field::variant::write_unknown(variant, serializer)
                    }
                }
            }

            fn schema(definitions: &mut $crate::json_schema::Definitions) -> serde_json::Value {
                definitions.reference(stringify!($Union), |definitions| {
                    let variants = vec![$((
                        $tag,
                        concat!($($arm_doc, "\n",)*),
                        <$Value as $crate::field::FieldValue>::schema(definitions),
                    )),*];
                    $crate::json_schema::union(concat!($($doc, "\n",)*), variants)
                })
            }

            fn value_hash(
                &self,
                asking: &$crate::hash::Asking<'_>,
            ) -> Result<i32, $crate::Unhashable> {
                match self {
                    $($Union::$Arm(value) => $crate::hash::JavaHash::java_hash(value, asking),)*
                    $Union::Unknown(variant) => {
                        $crate::field::variant::unknown_hash(stringify!($Union), variant, asking)
                    }
                }
            }

            fn restrict_value(&mut self, release: $crate::Release) {
                match self {
                    $($Union::$Arm(value) => {
                        $crate::field::FieldValue::restrict(value, release);
                    })*
                    $Union::Unknown(_) => {}
                }
            }

            fn walk_value<V: $crate::hash::visit::Visitor>(
                &self,
                site: &$crate::hash::visit::Site<'_>,
                visitor: &mut V,
            ) {
                match self {
                    $($Union::$Arm(value) => {
                        $crate::field::FieldValue::walk(value, site, visitor);
                    })*
                    $Union::Unknown(_) => {}
                }
            }

            fn unwritable_value(
                &self,
                site: &$crate::hash::visit::Site<'_>,
                layout: $crate::Layout,
            ) -> Option<String> {
                match self {
                    $($Union::$Arm(value) => {
                        $crate::field::FieldValue::unwritable(value, site, layout)
                    })*
                    $Union::Unknown(_) => None,
                }
            }
        }
    };
}

pub(crate) use union;
