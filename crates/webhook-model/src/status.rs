//! The state of a task.

use crate::field::FieldValue;
use crate::hash::identity::Constant;
use crate::hash::{Asking, JavaHash, Unhashable};
use crate::json::error::ReadError;
use crate::json::scan::Scanner;
use crate::release::Layout;
use serde::Serializer;
use std::borrow::Cow;
use std::hash::{Hash, Hasher};

macro_rules! statuses {
    ($($variant:ident $name:literal $doc:literal)*) => {
        /// A state that Aurora's scheduler knows, named as on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ScheduleStatus { $(#[doc = $doc] $variant,)* }

        impl ScheduleStatus {
            /// Every state, in Aurora's order.
            pub const ALL: &'static [ScheduleStatus] = &[$(ScheduleStatus::$variant),*];

            /// The name on the wire, `"PENDING"` say.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(ScheduleStatus::$variant => $name,)* }
            }

            /// The state of this exact name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<ScheduleStatus> {
                match name { $($name => Some(ScheduleStatus::$variant),)* _ => None }
            }
        }
    };
}

statuses! {
    Init "INIT" "Before the scheduler has stored the task."
    Throttled "THROTTLED" "Held back, since it has been failing too often."
    Pending "PENDING" "Waits for a host."
    Assigned "ASSIGNED" "Has a host; the launch is under way."
    Starting "STARTING" "The executor is preparing it."
    Running "RUNNING" "Runs."
    Finished "FINISHED" "Ended with success."
    Preempting "PREEMPTING" "Is stopped for a more important task."
    Restarting "RESTARTING" "Is stopped, to be started again."
    Draining "DRAINING" "Is stopped, since its host goes into maintenance."
    Failed "FAILED" "Ended without success."
    Killed "KILLED" "Was stopped on request."
    Killing "KILLING" "Is being stopped on request."
    Lost "LOST" "Its host or executor is gone."
    Partitioned "PARTITIONED" "Its agent cannot be reached (from 0.20)."
}

/// A state as met on the wire: known, or the name of one from a newer scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusName<'a> {
    /// A state that this crate knows.
    Known(ScheduleStatus),
    /// The name of a state that it does not know.
    Other(Cow<'a, str>),
}

impl StatusName<'_> {
    /// The name on the wire.
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
    /// The same, owning its name.
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

impl std::fmt::Display for ScheduleStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
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
            // The table of constants starts with the states, in this order.
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

    fn same(&self, other: &Self) -> bool {
        self == other
    }

    fn digest<H: Hasher>(&self, state: &mut H) {
        self.hash(state);
    }
}
