//! The statuses that a filter of dead letters asks for.

use std::fmt;

/// The status of the receiver's last response, or the task's new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// All responses whose status begins with this digit: `5xx`.
    Class(u16),
    /// A response with this status.
    Response(u16),
    /// A task with this new state, in any case of letters.
    State(String),
}

impl Status {
    /// Parses one status.
    ///
    /// # Errors
    /// Says how to write it.
    pub(crate) fn parse(text: &str) -> Result<Status, String> {
        let lower = text.to_ascii_lowercase();
        if let Some(class) = lower.strip_suffix("xx").and_then(|it| it.parse().ok())
            && (1..=5).contains(&class)
        {
            return Ok(Status::Class(class));
        }
        match text.parse() {
            Ok(status) if (100..=999).contains(&status) => Ok(Status::Response(status)),
            _ if text.starts_with(char::is_alphabetic) => Ok(Status::State(text.to_owned())),
            _ => Err(
                "write a response's status as 503 or 5xx, or a task's state, such as FAILED"
                    .to_owned(),
            ),
        }
    }

    /// Whether this is about the receiver's response.
    pub(super) fn is_of_response(&self) -> bool {
        !matches!(self, Status::State(_))
    }

    pub(super) fn matches_response(&self, status: u16) -> bool {
        match self {
            Status::Class(class) => status / 100 == *class,
            Status::Response(wanted) => status == *wanted,
            Status::State(_) => false,
        }
    }

    pub(super) fn matches_state(&self, state: &str) -> bool {
        matches!(self, Status::State(wanted) if wanted.eq_ignore_ascii_case(state))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Class(class) => write!(f, "{class}xx"),
            Status::Response(status) => write!(f, "{status}"),
            Status::State(state) => f.write_str(state),
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
            ("FAILED", Status::State("FAILED".to_owned())),
            (
                "pending-deletion",
                Status::State("pending-deletion".to_owned()),
            ),
        ] {
            assert_eq!(Status::parse(&status.to_string()).as_ref(), Ok(&status));
            assert_eq!(Status::parse(text), Ok(status));
        }
        assert!(Status::Class(5).matches_response(599));
        assert!(!Status::Class(5).matches_response(499));
        let failed = Status::parse("failed").unwrap();
        assert!(failed.matches_state("FAILED") && failed.matches_state("failed"));
        assert!(!failed.matches_state("FAILING") && !failed.matches_response(503));
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
