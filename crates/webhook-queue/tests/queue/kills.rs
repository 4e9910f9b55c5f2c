//! A child process that appends and settles until it is killed, and what must be true after that.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use webhook_queue::{
    Committed, EntryId, Event, GroupWriter, LastState, Limits, Queue, Settled, Settlement,
    SettlementResult, kept_name,
};

use crate::support::{self, event, number};

/// The variable that names the queue of a test's child process. The child runs code of the same
/// test.
pub(crate) const CHILD: &str = "WEBHOOK_QUEUE_TEST_CHILD";

const TARGETS: [&str; 2] = ["a", "b"];

/// Starts this test binary as a child process that runs one test on a queue.
pub(crate) fn child(test: &str, queue: impl AsRef<OsStr>, prefix: &[&str]) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut words = prefix.to_vec();
    words.push(this.to_str().unwrap());
    words.extend([test, "--exact", "--nocapture", "--test-threads=1"]);
    Command::new(words[0])
        .args(&words[1..])
        .env(CHILD, queue)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Writes lines to the parent immediately, bypassing the capture of the test harness.
pub(crate) fn report(lines: &str) {
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())
        .and_then(|()| out.flush())
        .unwrap();
}

/// Reads a child's output up to a line; the returned reader keeps the output open.
pub(crate) fn until(child: &mut Child, wanted: &str) -> impl Sized + use<> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = lines.by_ref().any(|line| line.unwrap() == wanted);
    assert!(found, "the child ended before it printed {wanted:?}");
    lines
}

fn key(number: u64) -> [u8; 1] {
    [(number % 7) as u8]
}

/// Some are so long that their records are stored in pieces.
fn size(number: u64) -> usize {
    let size = match number % 13 {
        7 => 20_000,
        _ => number % 5 * 1000,
    };
    size as usize
}

/// Each brings its key to a new state. They are of the year 2096: a shared queue forgets keys by its
/// own clock, too.
pub(crate) fn nth(number: u64) -> Event {
    Event {
        accepted_at: 4_000_000_000_000 + number,
        idempotency_key: Some(Arc::from(number.to_le_bytes())),
        last_state: Some(Box::new(LastState {
            key: Arc::from(key(number)),
            state: Arc::from(number.to_le_bytes()),
            append_previous: true,
            changes_only: [].into(),
        })),
        ..event(number, &key(number), size(number), TARGETS)
    }
}

/// Appends events without end, settles most of those that are owed, and prints what was
/// acknowledged.
pub(crate) fn feed(queue: &Arc<impl Queue>) {
    // An event without targets returns the next handle, from which the numbers follow.
    let next = support::stored(&**queue, &[event(0, b"", 0, [])], &[]).unwrap()[0];
    let limits = Limits {
        waiting_events: 40,
        ..Limits::default()
    };
    let writer = GroupWriter::start(queue.clone(), limits, acknowledge).unwrap();
    let mut settled_up_to = [None; TARGETS.len()];
    for number in next.0.. {
        // It waits in the queue's outages, too.
        let deadline = Instant::now() + Duration::from_secs(60);
        writer.append(nth(number), number, Some(deadline)).unwrap();
        // Nothing is owed to a worker of a shared queue before its first claims.
        while queue.is_shared() && number == next.0 && !is_owed(&**queue) {
            queue.wait_for_news(Duration::from_millis(100));
        }
        if number % 8 != 0 {
            continue;
        }
        if queue.is_shared() && queue.wait_for_news(Duration::ZERO).reread {
            settled_up_to = [None; TARGETS.len()];
        }
        for (target, after) in TARGETS.into_iter().zip(&mut settled_up_to) {
            settle(&**queue, &writer, target, after);
        }
    }
}

fn is_owed(queue: &dyn Queue) -> bool {
    !support::owed(queue, TARGETS[0], None).is_empty()
}

/// Prints what a commit did.
fn acknowledge(committed: Committed<u64>) {
    let mut lines = String::new();
    for appended in committed.appended {
        let entry = appended.result.unwrap().entry().unwrap();
        lines += &format!("\nappended {} {}", appended.ticket, entry.0);
    }
    for (settlement, result) in committed.settled.iter().zip(&committed.results) {
        if *result != SettlementResult::Fenced {
            lines += &format!("\nsettled {} {}", settlement.target, settlement.entry.0);
        }
    }
    report(&(lines + "\n"));
}

/// Settles what a target is owed after an entry: a few stay owed, some become dead letters.
fn settle(
    queue: &impl Queue,
    writer: &GroupWriter<u64>,
    target: &str,
    after: &mut Option<EntryId>,
) {
    let mut found = Vec::new();
    let mut visit = |owed: webhook_queue::Owed<'_>| {
        found.push((owed.entry, owed.claim, number(owed.id)));
        ControlFlow::Continue(())
    };
    // What cannot be read now is read later.
    drop(queue.owed(target, *after, &mut visit));
    for (entry, claim, number) in found {
        *after = Some(entry);
        let outcome = match (number + u64::from(target == TARGETS[1])) % 20 {
            0 => continue,
            1 => Settled::Dead {
                attempts: 3,
                died_at: 9,
                note: b"x".repeat(100),
            },
            _ if is_kept(number) => Settled::Kept {
                attempts: 2,
                delivered_at: 9,
            },
            _ => Settled::Delivered,
        };
        let Some(guard) = queue.guard(claim) else {
            continue;
        };
        report(&format!("\nasked {target} {} {number}\n", entry.0));
        writer.settle(Settlement {
            target: target.into(),
            entry,
            outcome,
            guard,
        });
    }
}

/// Whether the deliveries of an event are kept.
fn is_kept(number: u64) -> bool {
    number.is_multiple_of(3)
}

/// What child processes have acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    /// The handle of each number.
    appended: BTreeMap<u64, u64>,
    /// The numbers that were read, whether or not they were acknowledged before.
    read: BTreeSet<u64>,
    /// Targets and handles that were to be settled, and that were.
    asked: BTreeSet<(String, u64)>,
    settled: BTreeSet<(String, u64)>,
}

impl Acknowledged {
    /// Notes what a child acknowledges until its end, and calls `after` with the number of lines
    /// after each of them; how many there were.
    pub(crate) fn read(
        &mut self,
        child: &mut Child,
        mut after: impl FnMut(usize, &mut Child),
    ) -> usize {
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut seen = 0;
        let mut line = String::new();
        // The text after the last line end is incomplete.
        while output.read_line(&mut line).is_ok() && line.ends_with('\n') {
            let whole = std::mem::take(&mut line);
            let words: Vec<&str> = whole.trim_end().split(' ').collect();
            match words[..] {
                ["appended", number, entry] => {
                    let (number, entry) = (number.parse().unwrap(), entry.parse().unwrap());
                    self.appended.insert(number, entry);
                }
                ["asked", target, entry, number] => {
                    self.read.insert(number.parse().unwrap());
                    self.asked
                        .insert((target.to_owned(), entry.parse().unwrap()));
                }
                ["settled", target, entry] => {
                    self.settled
                        .insert((target.to_owned(), entry.parse().unwrap()));
                }
                _ => {}
            }
            seen += 1;
            after(seen, child);
        }
        child.wait().unwrap();
        seen
    }

    /// Fails unless enough was acknowledged for the checks to mean anything.
    pub(crate) fn expect(&self, appended: usize, settled: usize) {
        let found = (self.appended.len(), self.settled.len());
        assert!(found.0 > appended && found.1 > settled, "{found:?}");
    }

    /// Fails if a queue that was opened again has lost or owes again what was acknowledged.
    pub(crate) fn check(&self, queue: &dyn Queue) {
        let Acknowledged {
            appended,
            read,
            asked,
            settled,
        } = self;
        let again: Vec<Event> = appended.keys().map(|&number| nth(number)).collect();
        let accepted = queue.commit(&again, &[]).unwrap().accepted;
        for (accepted, event) in accepted.iter().zip(&again) {
            assert_eq!(accepted.duplicate_of(), Some(event.id), "its key is lost");
        }
        // The last events may have been stored without being acknowledged; and settled, too, in a
        // commit that repeated one whose outcome was unknown.
        let owed = support::owed(queue, TARGETS[0], None);
        let mut stored: BTreeSet<u64> = owed.iter().map(|owed| number(owed.id)).collect();
        stored.extend(appended.keys().chain(read));
        let of_key = |number| {
            let same = move |other: &u64| key(*other) == key(number);
            stored.iter().copied().filter(same)
        };
        for number in 0..7 {
            let last = queue.last_state(&key(number)).unwrap();
            assert_eq!(
                last.as_deref(),
                of_key(number)
                    .max()
                    .map(u64::to_le_bytes)
                    .as_ref()
                    .map(|it| &it[..])
            );
        }
        for target in TARGETS {
            let owed = support::owed(queue, target, None);
            let handles = support::handles(queue, target);
            let owed_entries: BTreeSet<u64> = handles.iter().map(|entry| entry.0).collect();
            let mut dead = BTreeSet::new();
            queue
                .dead_letters(Some(target), None, &mut |letter| {
                    assert_eq!(letter.note, b"x".repeat(100));
                    dead.insert(letter.owed.entry.0);
                    std::ops::ControlFlow::Continue(())
                })
                .unwrap();
            let mut kept = BTreeSet::new();
            let mut visit = |letter: webhook_queue::DeadLetter<'_>| {
                assert!(is_kept(number(letter.owed.id)) && letter.owed.attempts == 2);
                kept.insert(letter.owed.entry.0);
                std::ops::ControlFlow::Continue(())
            };
            let name = kept_name(target);
            queue.dead_letters(Some(&name), None, &mut visit).unwrap();
            assert!(kept.is_disjoint(&owed_entries) && kept.is_disjoint(&dead));
            for (number, entry) in appended {
                let name = (target.to_owned(), *entry);
                if settled.contains(&name) {
                    assert!(!owed_entries.contains(entry), "{number} is owed again");
                    let is_kept = is_kept(*number) && !dead.contains(entry);
                    assert_eq!(kept.contains(entry), is_kept, "{number} is kept, or not");
                } else if !asked.contains(&name) {
                    assert!(owed_entries.contains(entry), "{number} is lost");
                }
            }
            for owed in &owed {
                let number = number(owed.id);
                let as_appended = nth(number);
                assert!(*owed.body == *as_appended.body && *owed.key == *as_appended.key);
                let previous = of_key(number).filter(|before| *before < number).max();
                let previous = previous.map(u64::to_le_bytes);
                assert_eq!(owed.attributes, previous.as_slice().concat());
            }
            for key in 0..7 {
                let of_key = support::owed_of_key(queue, target, &[key], None);
                assert!(of_key.iter().map(|owed| number(owed.id)).is_sorted());
                let expected = owed.iter().filter(|owed| owed.key == [key]);
                assert!(of_key.iter().eq(expected));
            }
        }
    }
}
