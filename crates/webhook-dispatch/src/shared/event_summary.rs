//! The state and the job of an event in a few bytes, for the log of attempts.

use webhook_event::Attributes;
use webhook_model::{EventHeader, StatusName};

/// The longest summary.
const LONGEST: usize = 256;
/// Between state and job. Encoded attributes never begin with it.
const MARK: u8 = 0;

/// The state and the job of an event of Aurora's, without an allocation. Empty if they are too long.
#[derive(Debug)]
pub(crate) struct EventSummary {
    bytes: [u8; LONGEST],
    length: usize,
}

impl EventSummary {
    pub(crate) fn of_header(header: &EventHeader<'_>) -> EventSummary {
        let mut summary = EventSummary {
            bytes: [0; LONGEST],
            length: 0,
        };
        let state = header.new_state.as_ref().map_or("", StatusName::name);
        let mut fits = summary.push(MARK, state);
        if let (Some(role), Some(environment), Some(name)) =
            (&header.role, &header.environment, &header.job_name)
        {
            for (before, part) in [(MARK, role), (b'/', environment), (b'/', name)] {
                fits &= summary.push(before, part);
            }
        }
        if !fits {
            summary.length = 0;
        }
        summary
    }

    /// Reads the body. Empty if it is no event of Aurora's.
    pub(crate) fn of_body(body: &[u8]) -> EventSummary {
        EventSummary::of_header(&EventHeader::read(body).unwrap_or_default())
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Adds a text. False if there is no room.
    fn push(&mut self, before: u8, text: &str) -> bool {
        let end = self.length + 1 + text.len();
        let Some(free) = self.bytes.get_mut(self.length..end) else {
            return false;
        };
        free[0] = before;
        free[1..].copy_from_slice(text.as_bytes());
        self.length = end;
        true
    }
}

/// The state and the job of a summary, or of encoded attributes.
pub(crate) fn decode(summary: &[u8]) -> (Option<String>, Option<String>) {
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    let Some(fields) = summary.strip_prefix(&[MARK]) else {
        let attributes = Attributes::decode(summary).unwrap_or_default();
        return (attributes.state, known(attributes.job.join("/")));
    };
    let mut fields = fields.splitn(2, |byte| *byte == MARK);
    let mut next = || known(String::from_utf8_lossy(fields.next()?).into_owned());
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_and_the_job_of_an_event_come_back() {
        let some = |text: &str| Some(text.to_owned());
        let aurora = |job: &str| {
            let body = format!(
                r#"{{"task":{{"assignedTask":{{"taskId":"t","task":{{"job":{job}}}}},"status":"LOST"}}}}"#
            );
            decode(EventSummary::of_body(body.as_bytes()).as_slice())
        };
        let job = r#"{"role":"www","environment":"prod","name":"hello"}"#;
        assert_eq!(aurora(job), (some("LOST"), some("www/prod/hello")));
        assert_eq!(aurora("{}"), (some("LOST"), None));
        let long = format!(
            r#"{{"role":"www","environment":"prod","name":"{}"}}"#,
            "x".repeat(600)
        );
        assert_eq!(aurora(&long), (None, None));
        assert_eq!(
            decode(EventSummary::of_body(b"no JSON").as_slice()),
            (None, None)
        );
        let mut attributes = Attributes::default();
        attributes.state = some("failed");
        attributes.job = vec!["default".to_owned(), "web".to_owned()];
        let expected = (some("failed"), some("default/web"));
        assert_eq!(decode(&attributes.encode()), expected);
    }
}
