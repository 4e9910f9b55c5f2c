//! Events of one real size, told apart by a task's number and a number within the task.

use crate::workspace;
use anyhow::{Context, Result};
use serde_json::Value;

/// Bytes that an event has, about: what a task of a real cluster comes to.
const SIZE: usize = 3_500;
const TASK: &str = "task-00000000";
const NUMBER: &str = "host-00000000";
/// Where the digits start in both.
const DIGITS_AT: usize = 5;
const DIGITS: usize = 8;

/// An event of the fixture stream, with places for two numbers.
#[derive(Debug)]
pub(crate) struct Load {
    template: Vec<u8>,
    task_at: usize,
    number_at: usize,
}

/// What tells an event from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// Which task it is of.
    pub(crate) task: u32,
    /// How many events of the task came before.
    pub(crate) number: u32,
}

impl Load {
    /// Takes the fixture whose length is nearest to what a real one has.
    pub(crate) fn new() -> Result<Load> {
        let path = workspace::root().join("tests/fixtures/events.ndjson");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut candidates: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("\"slaveHost\":\""))
            .collect();
        candidates.sort_by_key(|line| line.len().abs_diff(SIZE));
        let event = candidates.first().context("no fixture has a host")?;
        Load::from_event(event)
    }

    fn from_event(event: &str) -> Result<Load> {
        let value: Value = serde_json::from_str(event).context("a fixture is not JSON")?;
        let named = |name: &str| {
            value["task"]["assignedTask"][name]
                .as_str()
                .map(|text| format!("\"{name}\":\"{text}\""))
                .with_context(|| format!("a fixture has no {name}"))
        };
        let text = event
            .replacen(&named("taskId")?, &format!("\"taskId\":\"{TASK}\""), 1)
            .replacen(
                &named("slaveHost")?,
                &format!("\"slaveHost\":\"{NUMBER}\""),
                1,
            );
        let digits_of = |name: &str| {
            text.find(name)
                .map(|at| at + DIGITS_AT)
                .with_context(|| format!("{name} is not in the event"))
        };
        Ok(Load {
            task_at: digits_of(TASK)?,
            number_at: digits_of(NUMBER)?,
            template: text.into_bytes(),
        })
    }

    /// An event of about so many bytes, at least 350: the fields of a real one that are read, and
    /// an executor's configuration that makes up for the rest.
    pub(crate) fn of_size(bytes: usize) -> Result<Load> {
        let event = |padding: usize| {
            format!(
                r#"{{"task":{{"assignedTask":{{"taskId":"task","slaveHost":"host","task":{{"job":{{"role":"www-data","environment":"prod","name":"hello"}},"executorConfig":{{"name":"AuroraExecutor","data":"{}"}}}},"instanceId":0}},"status":"RUNNING","failureCount":0,"taskEvents":[]}},"oldState":{{"state":"STARTING"}}}}"#,
                "x".repeat(padding)
            )
        };
        let least = Load::from_event(&event(0))?.size();
        Load::from_event(&event(bytes.saturating_sub(least)))
    }

    /// Where the digits of the task's number, and of the number within the task, start.
    pub(crate) fn places(&self) -> (usize, usize) {
        (self.task_at, self.number_at)
    }

    /// Bytes of an event.
    pub(crate) fn size(&self) -> usize {
        self.template.len()
    }

    /// Appends an event to `out`, and a line feed.
    pub(crate) fn write(&self, label: Label, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.template);
        for (at, number) in [(self.task_at, label.task), (self.number_at, label.number)] {
            let digits = format!("{number:0DIGITS$}");
            out[start + at..start + at + DIGITS].copy_from_slice(digits.as_bytes());
        }
        out.push(b'\n');
    }

    /// Reads an event; `None` if it is not, byte for byte, one that [`write`](Self::write) wrote.
    pub(crate) fn read(&self, body: &[u8]) -> Option<Label> {
        if body.len() != self.template.len() {
            return None;
        }
        let number = |at: usize| {
            let digits = std::str::from_utf8(&body[at..at + DIGITS]).ok()?;
            digits.parse::<u32>().ok()
        };
        let label = Label {
            task: number(self.task_at)?,
            number: number(self.number_at)?,
        };
        // All but the digits, in the three parts that they leave.
        let (first, second) = (
            self.task_at.min(self.number_at),
            self.task_at.max(self.number_at),
        );
        let same = [
            0..first,
            first + DIGITS..second,
            second + DIGITS..body.len(),
        ]
        .into_iter()
        .all(|part| body[part.clone()] == self.template[part]);
        same.then_some(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_size_that_was_asked_for() {
        for size in [350, 1_000, 1_000_000] {
            let load = Load::of_size(size).expect("it is an event");
            assert_eq!(load.size(), size);
            let mut line = Vec::new();
            load.write(Label { task: 1, number: 2 }, &mut line);
            let body = line.strip_suffix(b"\n").expect("it is a line");
            assert!(webhook_model::EventHeader::read(body).is_ok());
        }
    }

    #[test]
    fn an_event_reads_back_and_an_altered_one_does_not() {
        let load = Load::new().expect("the fixtures are committed");
        let label = Label {
            task: 12_345_678,
            number: 90,
        };
        let mut line = Vec::new();
        load.write(label, &mut line);
        let body = line.strip_suffix(b"\n").expect("it is a line");
        assert_eq!(load.read(body), Some(label));
        assert!(serde_json::from_slice::<Value>(body).is_ok());
        for at in [0, load.task_at, load.number_at, body.len() - 1] {
            let mut altered = body.to_vec();
            altered[at] = b'x';
            assert_eq!(load.read(&altered), None, "{at}");
        }
        assert_eq!(load.read(&body[1..]), None);
    }
}
