//! The old state of a task.

use crate::field::FieldValue;
use crate::field::structure::read_field;
use crate::field::unknown::UnknownFields;
use crate::json::error::ReadError;
use crate::json::scan::Scanner;
use crate::{Layout, ScheduleStatus, StatusName};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// `oldState`, in each form that payloads have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum OldState {
    /// The member is absent or null.
    #[default]
    Absent,
    /// `{}`, or `{"value":"PENDING"}` from 0.20 on: the fields of Guava's `Optional`.
    Optional {
        value: Option<StatusName<'static>>,
        unknown: UnknownFields,
    },
    /// `"PENDING"`.
    Plain(StatusName<'static>),
}

impl OldState {
    /// As Aurora writes it: for a transition from `value`, or for an initial event.
    pub(crate) fn optional(value: Option<ScheduleStatus>) -> Self {
        OldState::Optional {
            value: value.map(StatusName::from),
            unknown: UnknownFields::default(),
        }
    }

    pub(crate) fn status(&self) -> Option<&StatusName<'static>> {
        match self {
            OldState::Absent => None,
            OldState::Optional { value, .. } => value.as_ref(),
            OldState::Plain(status) => Some(status),
        }
    }

    pub(crate) fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        match scanner.peek() {
            Some(b'"') => StatusName::read(scanner).map(OldState::Plain),
            _ => {
                scanner.enter_object("an object or a state")?;
                let mut value = None;
                let mut unknown = UnknownFields::default();
                let mut reached = 0;
                let mut first = true;
                while let Some(key) = scanner.next_key(&mut first)? {
                    if key == "value" {
                        read_field(scanner, "value", &mut value)?;
                        reached = 1;
                    } else {
                        unknown.keep(reached, &key, scanner)?;
                    }
                }
                Ok(OldState::Optional { value, unknown })
            }
        }
    }
}

/// `oldState` with the layout to write it in.
pub(crate) struct OldStateInLayout<'a>(pub(crate) &'a OldState, pub(crate) Layout);

impl Serialize for OldStateInLayout<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = UnknownFields::default();
        let (value, unknown) = match (self.0, self.1) {
            (OldState::Plain(status), Layout::AsRead) => {
                return serializer.serialize_str(status.name());
            }
            (OldState::Optional { value, unknown }, _) => (value.as_ref(), unknown),
            (other, _) => (other.status(), &none),
        };
        let value = value.filter(|_| match self.1 {
            Layout::AsRead => true,
            Layout::Of(release) => release.writes_old_state(),
        });
        let mut map = serializer.serialize_map(None)?;
        unknown.write(0, &mut map)?;
        if let Some(value) = value {
            map.serialize_entry("value", value.name())?;
        }
        unknown.write(1, &mut map)?;
        map.end()
    }
}
