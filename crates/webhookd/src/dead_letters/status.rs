//! The statuses that a filter of dead letters asks for.

use std::fmt;
use webhook_model::{ScheduleStatus, StatusName};

/// The status of the receiver's last response, or the task's new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// All responses whose status begins with this digit: `5xx`.
    Class(u16),
    /// A response with this status.
    Response(u16),
    /// A task with this new state.
    State(ScheduleStatus),
}

impl Status {
    /// Parses one status.
    ///
    /// # Errors
    /// Says how to write it.
    pub(crate) fn parse(text: &str) -> Result<Status, String> {
        let upper = text.to_ascii_uppercase();
        if let Some(state) = ScheduleStatus::from_name(&upper) {
            return Ok(Status::State(state));
        }
        if let Some(class) = upper.strip_suffix("XX").and_then(|it| it.parse().ok())
            && (1..=5).contains(&class)
        {
            return Ok(Status::Class(class));
        }
        match upper.parse() {
            Ok(status) if (100..=999).contains(&status) => Ok(Status::Response(status)),
            _ => {
                let states = ScheduleStatus::ALL.iter().map(|state| state.name());
                Err(format!(
                    "write a response's status as 503 or 5xx, or a task's state: {}",
                    states.collect::<Vec<_>>().join(", ")
                ))
            }
        }
    }

    /// Whether this is about the receiver's response.
    pub(super) fn is_of_response(self) -> bool {
        !matches!(self, Status::State(_))
    }

    pub(super) fn matches_response(self, status: u16) -> bool {
        match self {
            Status::Class(class) => status / 100 == class,
            Status::Response(wanted) => status == wanted,
            Status::State(_) => false,
        }
    }

    pub(super) fn matches_state(self, state: &StatusName<'_>) -> bool {
        matches!((self, state), (Status::State(wanted), StatusName::Known(state)) if wanted == *state)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Class(class) => write!(f, "{class}xx"),
            Status::Response(status) => write!(f, "{status}"),
            Status::State(state) => f.write_str(state.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_numbers_classes_and_states() {
        for (text, status) in [
            ("503", Status::Response(503)),
            ("999", Status::Response(999)),
            ("5xx", Status::Class(5)),
            ("4XX", Status::Class(4)),
            ("failed", Status::State(ScheduleStatus::Failed)),
        ] {
            assert_eq!(Status::parse(text), Ok(status));
            assert_eq!(Status::parse(&status.to_string()), Ok(status));
        }
        assert!(Status::Class(5).matches_response(599));
        assert!(!Status::Class(5).matches_response(499));
        for bad in [
            "", "5", "50", "5x", "5xxx", "6xx", "0xx", "1000", "-503", "5xy", "5xx ",
        ] {
            let why = Status::parse(bad).unwrap_err();
            assert!(
                why.contains("5xx") && why.contains("FAILED"),
                "{bad}: {why}"
            );
        }
    }
}
