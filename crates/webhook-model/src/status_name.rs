//! The name of a state in a payload.

use crate::ScheduleStatus;
use crate::field::FieldValue;
use crate::hash::identity::Constant;
use crate::hash::{Asking, JavaHash, Unhashable};
use crate::json::error::ReadError;
use crate::json::scan::Scanner;
use crate::json_schema::{self, Definitions};
use crate::release::Layout;
use serde::Serializer;
use serde_json::Value;
use std::borrow::Cow;

/// The state in a payload: a known state, or the name of one from a newer scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusName<'a> {
    /// A state that this crate knows.
    Known(ScheduleStatus),
    /// The name of an unknown state.
    Other(Cow<'a, str>),
}

impl StatusName<'_> {
    /// The name in the payload.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            StatusName::Known(status) => status.name(),
            StatusName::Other(name) => name,
        }
    }
}

impl<'a> From<Cow<'a, str>> for StatusName<'a> {
    fn from(name: Cow<'a, str>) -> Self {
        match ScheduleStatus::from_name(&name) {
            Some(status) => StatusName::Known(status),
            None => StatusName::Other(name),
        }
    }
}

impl StatusName<'_> {
    /// The same state, owning its name.
    #[must_use]
    pub fn into_owned(self) -> StatusName<'static> {
        match self {
            StatusName::Known(status) => StatusName::Known(status),
            StatusName::Other(name) => StatusName::Other(Cow::Owned(name.into_owned())),
        }
    }
}

impl From<ScheduleStatus> for StatusName<'_> {
    fn from(status: ScheduleStatus) -> Self {
        StatusName::Known(status)
    }
}

impl std::fmt::Display for StatusName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl JavaHash for StatusName<'static> {
    fn java_hash(&self, asking: &Asking<'_>) -> Result<i32, Unhashable> {
        asking.identity(match self {
            // The table of constants starts with the states in this order.
            StatusName::Known(status) => Constant::Known(*status as usize),
            StatusName::Other(name) => Constant::Other {
                family: "ScheduleStatus",
                name,
            },
        })
    }
}

impl FieldValue for StatusName<'static> {
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        Ok(StatusName::from(scanner.string()?).into_owned())
    }

    fn write<S: Serializer>(&self, _: Layout, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }

    fn schema(_: &mut Definitions) -> Value {
        json_schema::name(ScheduleStatus::ALL.iter().map(|status| status.name()))
    }

    crate::field::value::same_by_eq!();
}
