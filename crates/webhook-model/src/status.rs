//! The state of a task.

use std::borrow::Cow;

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
