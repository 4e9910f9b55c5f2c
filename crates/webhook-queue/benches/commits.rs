//! What a commit costs by the number of entries in it: processor time, pages and write calls of the
//! thread that commits, then divan's times.
//!
//! `cargo bench -p webhook-queue --bench commits -- [DIVAN'S ARGUMENTS]`; the environment variable
//! `DIR` says where the queues are made. In memory (`DIR=/dev/shm`) a sync takes no time, so that
//! divan's times are those of the processor.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, or fails"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use webhook_queue::{
    Accepted, DiskQueue, EntryId, Event, EventId, Options, Queue, Settled, Settlement, SlotGuard,
};

/// Entries in a commit.
const GROUPS: [usize; 4] = [1, 10, 50, 500];

/// Bytes of a body: an event of Aurora.
const BODY: usize = 3500;

/// Entries that are owed meanwhile: a window of events that a receiver has not answered.
const OWED: usize = 1000;

fn main() {
    println!("a commit of            entries  processor us  an entry   pages  write calls");
    for kind in [Kind::Appends, Kind::Settlements, Kind::Mixed] {
        for group in GROUPS {
            let mut load = Load::new(kind, group);
            let commits = (4000 / group).clamp(20, 400);
            for _ in 0..commits / 4 {
                load.commit();
            }
            let mut spent = Spent::default();
            for _ in 0..commits {
                load.prepare();
                let before = Spent::now();
                load.commit();
                spent = spent.plus(before, Spent::now());
            }
            let each = |sum: u64| sum as f64 / commits as f64;
            println!(
                "{:<22} {group:>7} {:>13.1} {:>9.2} {:>7.1} {:>12.1}",
                format!("{kind:?}").to_lowercase(),
                each(spent.nanoseconds) / 1e3,
                each(spent.nanoseconds) / 1e3 / group as f64,
                each(spent.bytes) / 4096.0,
                each(spent.calls)
            );
        }
    }
    divan::main();
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Appends,
    Settlements,
    /// As many settlements as appends: those of the events appended [`OWED`] before.
    Mixed,
}

/// Commits of one kind to a queue.
struct Load {
    kind: Kind,
    group: usize,
    queue: DiskQueue,
    targets: Arc<[Arc<str>]>,
    body: Arc<[u8]>,
    number: u64,
    /// Entries that are owed, in order.
    owed: std::collections::VecDeque<EntryId>,
    appends: Vec<Event>,
    settlements: Vec<Settlement>,
    _dir: TempDir,
}

impl Load {
    fn new(kind: Kind, group: usize) -> Load {
        let at = std::env::var_os("DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::tempdir_in(at).unwrap();
        let queue = DiskQueue::open(dir.path(), &Options::with_max_bytes(8 << 30)).unwrap();
        let mut load = Load {
            kind: Kind::Appends,
            group: 250,
            queue,
            targets: ["target".into()].into(),
            body: vec![b'x'; BODY].into(),
            number: 0,
            owed: [].into(),
            appends: Vec::new(),
            settlements: Vec::new(),
            _dir: dir,
        };
        // Pages of all tables are freed and used again, as in a queue that has run for a while.
        for kind in [Kind::Appends, Kind::Mixed] {
            load.kind = kind;
            while load.owed.len() < OWED || (load.number as usize) < 4 * OWED {
                load.prepare();
                load.commit();
                if matches!(kind, Kind::Appends) && load.owed.len() >= OWED {
                    break;
                }
            }
        }
        load.kind = kind;
        load.group = group;
        load
    }

    fn events(&mut self) -> Vec<Event> {
        let first = self.number;
        self.number += self.group as u64;
        (first..self.number)
            .map(|number| Event {
                id: EventId(u128::from(number).to_le_bytes()),
                key: format!("task-{}", number.wrapping_mul(0x9e37_79b9) % 10_000)
                    .into_bytes()
                    .into(),
                body: Arc::clone(&self.body),
                accepted_at: number,
                targets: Arc::clone(&self.targets),
                attributes: Arc::default(),
                idempotency_key: None,
                last_state: None,
            })
            .collect()
    }

    /// Makes the next commit's entries.
    fn prepare(&mut self) {
        if let Kind::Settlements = self.kind {
            // What is to be settled was appended before.
            while self.owed.len() < OWED + self.group {
                let events = self.events();
                self.add(&events, &[]);
            }
        } else {
            self.appends = self.events();
        }
        if !matches!(self.kind, Kind::Appends) {
            let settled = self.owed.drain(..self.group);
            self.settlements = settled
                .map(|entry| Settlement {
                    target: Arc::clone(&self.targets[0]),
                    entry,
                    outcome: Settled::Delivered,
                    guard: SlotGuard::SOLE,
                })
                .collect();
        }
    }

    fn commit(&mut self) {
        let appends = std::mem::take(&mut self.appends);
        let settlements = std::mem::take(&mut self.settlements);
        self.add(&appends, &settlements);
    }

    fn add(&mut self, appends: &[Event], settlements: &[Settlement]) {
        let done = self.queue.commit(appends, settlements).unwrap();
        self.owed
            .extend(done.accepted.iter().filter_map(Accepted::entry));
    }
}

/// What this thread has used.
#[derive(Clone, Copy, Default)]
struct Spent {
    nanoseconds: u64,
    bytes: u64,
    calls: u64,
}

impl Spent {
    fn now() -> Spent {
        let run = clock_gettime(ClockId::ThreadCPUTime);
        let io = fs::read_to_string("/proc/thread-self/io").unwrap();
        let field = |name: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        Spent {
            nanoseconds: run.tv_sec as u64 * 1_000_000_000 + run.tv_nsec as u64,
            bytes: field("wchar:"),
            calls: field("syscw:"),
        }
    }

    fn plus(self, from: Spent, to: Spent) -> Spent {
        Spent {
            nanoseconds: self.nanoseconds + to.nanoseconds - from.nanoseconds,
            bytes: self.bytes + to.bytes - from.bytes,
            calls: self.calls + to.calls - from.calls,
        }
    }
}

#[divan::bench(args = GROUPS)]
fn appends(bencher: Bencher<'_, '_>, group: usize) {
    measure(bencher, Kind::Appends, group);
}

#[divan::bench(args = GROUPS)]
fn settlements(bencher: Bencher<'_, '_>, group: usize) {
    measure(bencher, Kind::Settlements, group);
}

#[divan::bench(args = GROUPS)]
fn mixed(bencher: Bencher<'_, '_>, group: usize) {
    measure(bencher, Kind::Mixed, group);
}

fn measure(bencher: Bencher<'_, '_>, kind: Kind, group: usize) {
    let load = std::cell::RefCell::new(Load::new(kind, group));
    bencher
        .counter(ItemsCount::new(group))
        .with_inputs(|| load.borrow_mut().prepare())
        .bench_local_refs(|()| load.borrow_mut().commit());
}
