//! The states of a task, and the transitions between them.
//!
//! The transitions are those of Aurora's `TaskStateMachine` from 0.20 on; before, they were the
//! same without `PARTITIONED`. The groups are the constants `ACTIVE_STATES`, `LIVE_STATES` and
//! `TERMINAL_STATES` of its `api.thrift`.

use self::ScheduleStatus::{
    Assigned, Draining, Failed, Finished, Init, Killed, Killing, Lost, Partitioned, Pending,
    Preempting, Restarting, Running, Starting, Throttled,
};
use std::fmt;

macro_rules! statuses {
    ($($variant:ident $name:literal $doc:literal)*) => {
        /// A state of a task in Aurora.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ScheduleStatus { $(#[doc = $doc] $variant,)* }

        impl ScheduleStatus {
            /// Every state, in Aurora's order.
            pub const ALL: &'static [ScheduleStatus] = &[$(ScheduleStatus::$variant),*];

            /// The name in the payload, for example `"PENDING"`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(ScheduleStatus::$variant => $name,)* }
            }

            /// The state with exactly this name.
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

impl ScheduleStatus {
    /// The states that a task may enter from this one; none from a terminal state.
    ///
    /// A `PENDING` or `THROTTLED` task that is killed is deleted at once. Aurora treats that as a
    /// transition to `KILLING`, but neither stores it nor posts an event.
    ///
    /// ```
    /// use webhook_model::ScheduleStatus::{Assigned, Killing, Pending};
    /// assert_eq!(Pending.transitions(), [Assigned, Killing]);
    /// ```
    #[must_use]
    pub fn transitions(self) -> &'static [ScheduleStatus] {
        match self {
            Init => &[Pending, Throttled],
            Throttled => &[Pending, Killing],
            Pending => &[Assigned, Killing],
            Assigned => &[
                Starting, Running, Finished, Failed, Restarting, Draining, Killed, Killing, Lost,
                Preempting,
            ],
            Starting => &[
                Running,
                Finished,
                Failed,
                Restarting,
                Draining,
                Killing,
                Killed,
                Lost,
                Preempting,
                Partitioned,
            ],
            Running => &[
                Finished,
                Restarting,
                Draining,
                Failed,
                Killing,
                Killed,
                Lost,
                Preempting,
                Partitioned,
            ],
            Partitioned => &[
                Lost, Failed, Finished, Running, Assigned, Starting, Restarting, Draining,
                Preempting, Killing,
            ],
            Preempting | Restarting | Draining => {
                &[Finished, Failed, Killing, Killed, Lost, Partitioned]
            }
            Killing => &[Finished, Failed, Killed, Lost, Partitioned],
            Finished | Failed | Killed | Lost => &[],
        }
    }

    /// Whether a task may go from this state to `next`.
    #[must_use]
    pub fn may_become(self, next: ScheduleStatus) -> bool {
        self.transitions().contains(&next)
    }

    /// Whether the task is active: not terminal, and stored by the scheduler.
    #[must_use]
    pub fn is_active(self) -> bool {
        !self.is_terminal() && self != Init
    }

    /// Whether the task is live: it may have a sandbox in use.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Killing | Partitioned | Preempting | Restarting | Draining | Running
        )
    }

    /// Whether the task has ended. No state follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Failed | Finished | Killed | Lost)
    }
}

/// The name in the payload.
impl AsRef<str> for ScheduleStatus {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

impl fmt::Display for ScheduleStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_terminal_states_have_no_transitions() {
        for &status in ScheduleStatus::ALL {
            assert_eq!(
                status.transitions().is_empty(),
                status.is_terminal(),
                "{status}"
            );
        }
    }

    #[test]
    fn every_state_but_the_first_can_be_reached_from_it() {
        let mut reached = vec![Init];
        let mut next = 0;
        while let Some(&status) = reached.get(next) {
            for &to in status.transitions() {
                if !reached.contains(&to) {
                    reached.push(to);
                }
            }
            next += 1;
        }
        assert_eq!(reached.len(), ScheduleStatus::ALL.len());
    }

    #[test]
    fn a_live_task_is_active_and_an_ended_one_is_neither() {
        for &status in ScheduleStatus::ALL {
            assert!(!status.is_live() || status.is_active(), "{status}");
            assert!(!(status.is_terminal() && status.is_active()), "{status}");
        }
        assert!(!Init.is_active());
    }

    #[test]
    fn an_assigned_task_is_not_partitioned_before_it_has_started() {
        assert!(!Assigned.may_become(Partitioned));
        assert!(Starting.may_become(Partitioned));
    }

    #[test]
    fn no_transition_leads_back_to_the_beginning_or_to_itself() {
        for &status in ScheduleStatus::ALL {
            assert!(!status.may_become(Init), "{status}");
            assert!(!status.may_become(status), "{status}");
        }
    }
}
