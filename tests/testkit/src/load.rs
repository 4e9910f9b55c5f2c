//! The load generator: events of one real size, told apart by a task's number and a number within
//! the task, and a thread that writes lines to a process.

use serde_json::Value;
use std::io::{Result, Write};
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes that an event has, about: the size of a real cluster's.
const SIZE: usize = 3_500;
const TASK: &str = "task-00000000";
const NUMBER: &str = "host-00000000";
/// Where the digits start in both.
const DIGITS_AT: usize = 5;
/// Digits of either number.
pub const DIGITS: usize = 8;

/// An event of the fixture stream, with places for two numbers.
#[derive(Debug)]
pub struct Load {
    template: Vec<u8>,
    task_at: usize,
    number_at: usize,
}

/// What tells an event from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by its users")]
pub struct Label {
    /// Which task it is of.
    pub task: u32,
    /// How many events of the task came before.
    pub number: u32,
}

impl Load {
    /// Takes the fixture whose length is nearest to a real event's.
    pub fn real() -> Load {
        Load::near(SIZE)
    }

    /// Takes the fixture whose length is nearest to this many bytes.
    pub fn near(bytes: usize) -> Load {
        Load::from_event(&nearest(bytes))
    }

    /// The same event with a change to its JSON.
    pub fn changed(change: impl FnOnce(&mut Value)) -> Load {
        let event = nearest(SIZE);
        let mut value: Value = serde_json::from_str(&event).expect("a fixture is JSON");
        let before = value.clone();
        change(&mut value);
        match value == before {
            true => Load::from_event(&event),
            false => Load::from_event(&value.to_string()),
        }
    }

    /// An event of about this many bytes, at least 350: the fields of a real one that are read, and
    /// an executor's configuration that makes up for the rest.
    pub fn of_size(bytes: usize) -> Load {
        let event = |padding: usize| {
            Load::from_event(&format!(
                r#"{{"task":{{"assignedTask":{{"taskId":"task","slaveHost":"host","task":{{"job":{{"role":"www-data","environment":"prod","name":"hello"}},"executorConfig":{{"name":"AuroraExecutor","data":"{}"}}}},"instanceId":0}},"status":"RUNNING","failureCount":0,"taskEvents":[]}},"oldState":{{"state":"STARTING"}}}}"#,
                "x".repeat(padding)
            ))
        };
        event(bytes.saturating_sub(event(0).size()))
    }

    fn from_event(event: &str) -> Load {
        let value: Value = serde_json::from_str(event).expect("an event is JSON");
        let mut text = event.to_owned();
        for (name, place) in [("taskId", TASK), ("slaveHost", NUMBER)] {
            let old = value["task"]["assignedTask"][name]
                .as_str()
                .unwrap_or_default();
            let [old, new] = [old, place].map(|value| format!("\"{name}\":\"{value}\""));
            text = text.replacen(&old, &new, 1);
        }
        let place = |name| text.find(name).expect("both names are there") + DIGITS_AT;
        Load {
            task_at: place(TASK),
            number_at: place(NUMBER),
            template: text.into_bytes(),
        }
    }

    /// Where the digits of the task's number, and of the number within the task, start.
    pub fn places(&self) -> (usize, usize) {
        (self.task_at, self.number_at)
    }

    /// Bytes of an event.
    pub fn size(&self) -> usize {
        self.template.len()
    }

    /// An event.
    pub fn event(&self, label: Label) -> Vec<u8> {
        let mut line = Vec::new();
        self.write(label, &mut line);
        line.pop();
        line
    }

    /// Appends an event to `out`, and a line feed.
    pub fn write(&self, label: Label, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.template);
        for (at, number) in [(self.task_at, label.task), (self.number_at, label.number)] {
            write_digits(&mut out[start + at..], number.into());
        }
        out.push(b'\n');
    }

    /// Reads an event; `None` if it is not, byte for byte, one that [`write`](Self::write) wrote.
    pub fn read(&self, body: &[u8]) -> Option<Label> {
        let [task, number] =
            [self.task_at, self.number_at].map(|at| u32::try_from(read_digits(body, at)?).ok());
        let label = Label {
            task: task?,
            number: number?,
        };
        // All but the digits, in the three parts that they leave.
        let (mut same, mut from) = (body.len() == self.size(), 0);
        let (first, second) = (
            self.task_at.min(self.number_at),
            self.task_at.max(self.number_at),
        );
        for to in [first, second, self.size()] {
            same &= body.get(from..to) == self.template.get(from..to);
            from = to + DIGITS;
        }
        same.then_some(label)
    }
}

/// The fixture with a host whose length is nearest to this many bytes.
fn nearest(bytes: usize) -> String {
    let events = crate::events();
    let texts = events.iter().map(|event| String::from_utf8_lossy(event));
    let nearest = texts
        .filter(|text| text.contains("\"slaveHost\":\""))
        .min_by_key(|text| text.len().abs_diff(bytes));
    nearest.expect("a fixture has a host").into_owned()
}

/// Writes the last eight decimal digits of a number over the beginning of `out`.
pub fn write_digits(out: &mut [u8], mut number: u64) {
    for digit in out[..DIGITS].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Reads eight decimal digits at a place.
pub fn read_digits(body: &[u8], at: usize) -> Option<u64> {
    let digits = body.get(at..at + DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The events of so many tasks from `first_task` on, in turns.
pub fn in_turns(first_task: u32, tasks: u32, events: u32) -> impl Iterator<Item = Label> + Send {
    (0..events).map(move |index| Label {
        task: first_task + index % tasks,
        number: index / tasks,
    })
}

/// A thread that writes lines to the standard input of a process.
#[derive(Debug)]
pub struct Feeder {
    thread: JoinHandle<Result<Option<ChildStdin>>>,
    written: Arc<AtomicUsize>,
}

impl Feeder {
    /// Writes events of a load, as fast as they are read, and leaves the input open unless it
    /// `closes`.
    pub fn start(
        stdin: ChildStdin,
        load: &Arc<Load>,
        mut labels: impl Iterator<Item = Label> + Send + 'static,
        closes: bool,
    ) -> Feeder {
        let load = Arc::clone(load);
        Feeder::lines(stdin, None, closes, move |out| {
            labels.next().map(|label| load.write(label, out)).is_some()
        })
    }

    /// Writes lines that `next` appends, until it returns false; so many a second if there is a
    /// rate.
    pub fn lines(
        mut stdin: ChildStdin,
        rate: Option<u32>,
        closes: bool,
        mut next: impl FnMut(&mut Vec<u8>) -> bool + Send + 'static,
    ) -> Feeder {
        const AT_ONCE: usize = 25;
        let written = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&written);
        let thread = std::thread::spawn(move || {
            let began = Instant::now();
            let mut text = Vec::new();
            loop {
                text.clear();
                let lines = (0..AT_ONCE).take_while(|_| next(&mut text)).count();
                if let Some(rate) = rate {
                    let due = counter.load(Ordering::SeqCst) as f64 / f64::from(rate);
                    let due = began + Duration::from_secs_f64(due);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                // Of these any number may arrive, whatever the write returns.
                counter.fetch_add(lines, Ordering::SeqCst);
                stdin.write_all(&text)?;
                if lines < AT_ONCE {
                    return Ok((!closes).then_some(stdin));
                }
            }
        });
        Feeder { thread, written }
    }

    /// Whether all is written, or the process has stopped reading.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Lines that were written, all or in part.
    pub fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    /// Waits until all is written, and returns the input unless it is closed.
    ///
    /// # Errors
    ///
    /// The process stopped reading.
    pub fn join(self) -> Result<Option<ChildStdin>> {
        self.thread.join().expect("a line can be made")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_size_that_was_asked_for() {
        for size in [350, 1_000, 1_000_000] {
            let load = Load::of_size(size);
            assert_eq!(load.size(), size);
            let event = load.event(Label { task: 1, number: 2 });
            assert!(webhook_model::EventHeader::read(&event).is_ok());
        }
    }

    #[test]
    fn an_event_reads_back_and_an_altered_one_does_not() {
        let load = Load::real();
        let label = Label {
            task: 12_345_678,
            number: 90,
        };
        let body = load.event(label);
        assert_eq!(load.read(&body), Some(label));
        assert!(serde_json::from_slice::<Value>(&body).is_ok());
        for at in [0, load.task_at, load.number_at, body.len() - 1] {
            let mut altered = body.clone();
            altered[at] = b'x';
            assert_eq!(load.read(&altered), None, "{at}");
        }
        assert_eq!(load.read(&body[1..]), None);
        assert_eq!(load.read(&body[..body.len() - 1]), None);
    }
}
