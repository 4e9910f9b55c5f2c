//! What was sent against what arrived, task by task.

use std::collections::BTreeMap;
use std::fmt;
use webhook_model::EventHeader;

/// At most this many differences are shown.
const SHOWN: usize = 10;

/// Events of one task, in their order.
#[derive(Default)]
struct Task<'a> {
    sent: Vec<&'a [u8]>,
    arrived: Vec<&'a [u8]>,
}

/// What was sent against what arrived.
pub(super) struct Comparison<'a> {
    tasks: BTreeMap<String, Task<'a>>,
    differences: Vec<String>,
    sent: usize,
    same: usize,
}

impl<'a> Comparison<'a> {
    /// Compares the lines of an event file with the bodies that arrived. Each task's
    /// bodies must be the same, in the same order; different tasks may overtake each other.
    pub(super) fn new(events: &'a [u8], arrived: &'a [Vec<u8>]) -> Comparison<'a> {
        let mut tasks: BTreeMap<String, Task<'a>> = BTreeMap::new();
        for line in events_of(events) {
            tasks.entry(task_of(line)).or_default().sent.push(line);
        }
        for line in arrived {
            tasks.entry(task_of(line)).or_default().arrived.push(line);
        }
        let mut differences = Vec::new();
        let (mut sent, mut same) = (0, 0);
        for (name, task) in &tasks {
            sent += task.sent.len();
            for at in 0..task.sent.len().max(task.arrived.len()) {
                let what = match (task.sent.get(at), task.arrived.get(at)) {
                    (Some(sent), Some(arrived)) if sent == arrived => {
                        same += 1;
                        continue;
                    }
                    (Some(sent), Some(arrived)) => {
                        let (sent, arrived) = (excerpt(sent, arrived), excerpt(arrived, sent));
                        format!("sent {sent}, but {arrived} arrived")
                    }
                    (Some(_), None) => "lost".to_owned(),
                    (None, _) => "not sent".to_owned(),
                };
                differences.push(format!("{name}, event {}: {what}", at + 1));
            }
        }
        Comparison {
            tasks,
            differences,
            sent,
            same,
        }
    }

    /// Whether all that was sent arrived, and nothing else. Nothing sent proves nothing.
    pub(super) fn is_equal(&self) -> bool {
        self.differences.is_empty() && self.sent > 0
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, task) in &self.tasks {
            let states: Vec<String> = task.arrived.iter().map(|body| state_of(body)).collect();
            writeln!(f, "{name}: {}", states.join(" "))?;
        }
        let (same, sent) = (self.same, self.sent);
        writeln!(f, "\n{same} of {sent} bodies arrived byte for byte")?;
        for difference in self.differences.iter().take(SHOWN) {
            writeln!(f, "  {difference}")?;
        }
        if self.differences.len() > SHOWN {
            let more = self.differences.len() - SHOWN;
            writeln!(f, "  and {more} more differences")?;
        }
        Ok(())
    }
}

/// The events of a file: its lines without their line ends, but for the blank ones.
fn events_of(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = file.split(|byte| *byte == b'\n');
    lines
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.trim_ascii().is_empty())
}

fn task_of(body: &[u8]) -> String {
    let id = EventHeader::read(body)
        .ok()
        .and_then(|header| header.task_id);
    id.map_or_else(|| "(no task)".to_owned(), |id| id.into_owned())
}

fn state_of(body: &[u8]) -> String {
    let state = EventHeader::read(body)
        .ok()
        .and_then(|header| header.new_state);
    state.map_or_else(|| "?".to_owned(), |state| state.name().to_owned())
}

/// The bytes of `body` around the first place where it differs from `other`.
fn excerpt(body: &[u8], other: &[u8]) -> String {
    let same = body.iter().zip(other).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(20);
    let end = body.len().min(same + 40);
    let text = String::from_utf8_lossy(body.get(from..end).unwrap_or_default());
    format!("`{text}` at byte {from} of {}", body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(task: &str, state: &str) -> String {
        format!(r#"{{"task":{{"assignedTask":{{"taskId":"{task}"}},"status":"{state}"}}}}"#)
    }

    /// The bodies of `task STATE, task STATE`.
    fn bodies(events: &str) -> Vec<Vec<u8>> {
        let events = events.split(", ").filter_map(|event| event.split_once(' '));
        let bodies = events.map(|(task, state)| event(task, state).into_bytes());
        bodies.collect()
    }

    #[test]
    fn tasks_may_overtake_each_other_and_nothing_else() {
        let sent = bodies("a INIT, a PENDING, b INIT").join(&b'\n');
        let arrived = bodies("b INIT, a INIT, a PENDING");
        let comparison = Comparison::new(&sent, &arrived);
        assert!(comparison.is_equal());
        let report = comparison.to_string();
        assert!(report.contains("a: INIT PENDING\n"), "{report}");
        let text = "3 of 3 bodies arrived byte for byte\n";
        assert!(report.contains(text), "{report}");
        for arrived in [
            bodies("a PENDING, a INIT, b INIT"),
            bodies("a INIT, a PENDING"),
            bodies("a INIT, a PENDING, b INIT, b INIT"),
            bodies("a INIT, a PENDING, b INIT "),
            Vec::new(),
            [arrived, vec![Vec::new()]].concat(),
        ] {
            assert!(!Comparison::new(&sent, &arrived).is_equal(), "{arrived:?}");
        }
    }

    #[test]
    fn nothing_sent_proves_nothing() {
        assert!(!Comparison::new(b"\n", &[]).is_equal());
    }

    #[test]
    fn line_ends_and_blank_lines_are_no_part_of_an_event() {
        let sent = event("a", "INIT") + "\r\n\n  \n" + &event("a", "LOST");
        let arrived = bodies("a INIT, a LOST");
        assert!(Comparison::new(sent.as_bytes(), &arrived).is_equal());
    }
}
