//! Benchmarks the queue next to an append-only file on the same disk in the same run.
//!
//! `cargo bench -p webhook-queue --bench queue -- [--dir DIR] [--events N] [--backlog N] [--body
//! BYTES]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, or fails"
)]

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use webhook_queue::{
    Accepted, DeadLetterLimits, DiskQueue, EntryId, Event, EventId, Options, Queue, Quotas,
    Settled, Settlement, SlotGuard, compact,
};

const GROUP: usize = 256;

struct Setting {
    dir: PathBuf,
    events: usize,
    backlog: usize,
    body: usize,
}

fn main() {
    let mut setting = Setting {
        dir: std::env::temp_dir(),
        events: 100 * GROUP,
        backlog: 0,
        body: 3500,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap();
        match &*arg {
            "--dir" => setting.dir = value().into(),
            "--events" => setting.events = value().parse().unwrap(),
            "--backlog" => setting.backlog = value().parse().unwrap(),
            "--body" => setting.body = value().parse().unwrap(),
            _ => {}
        }
    }
    let dir = tempfile::tempdir_in(&setting.dir).unwrap();
    println!(
        "{} events of {} bytes in groups of {GROUP}, appended and settled, synced",
        setting.events, setting.body
    );
    let bare = bare(dir.path(), &setting);
    report("bare append-only file", &setting, bare, bare);
    for targets in [1, 3, 10] {
        let queue = DiskQueue::open(dir.path().join(targets.to_string()), &options()).unwrap();
        let took = steady(&queue, &setting, targets, 0, &Settled::Delivered);
        report(&format!("queue, {targets} targets"), &setting, took, bare);
    }
    keeping(dir.path(), &setting);
    if setting.backlog > 0 {
        backlog(&dir.path().join("backlog"), &setting, bare);
    }
}

fn options() -> Options {
    Options::with_max_bytes(64 << 30)
}

fn report(what: &str, setting: &Setting, took: Duration, bare: Duration) {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let written = written();
    let of_this = written - WRITTEN.swap(written, Ordering::Relaxed);
    println!(
        "{what:<28} {:>8.0}/s  {:>5.2} of the bare file  {:>6} bytes written each",
        setting.events as f64 / took.as_secs_f64(),
        bare.as_secs_f64() / took.as_secs_f64(),
        of_this / setting.events as u64
    );
}

/// The bytes that this process has written to the disk.
fn written() -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = counters
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// The upper bound for any queue: each group is appended to a file and synced.
fn bare(dir: &Path, setting: &Setting) -> Duration {
    let mut file = File::create(dir.join("bare")).unwrap();
    let group = vec![b'x'; GROUP * setting.body];
    let begun = Instant::now();
    for _ in 0..setting.events / GROUP {
        file.write_all(&group).unwrap();
        file.sync_data().unwrap();
    }
    begun.elapsed()
}

/// Each commit appends a group and settles the previous one; each key is used ten times.
fn steady(
    queue: &DiskQueue,
    setting: &Setting,
    targets: usize,
    first: u64,
    outcome: &Settled,
) -> Duration {
    let names: Arc<[Arc<str>]> = (0..targets)
        .map(|at| format!("target-{at}").into())
        .collect();
    let mut before: VecDeque<EntryId> = VecDeque::new();
    let begun = Instant::now();
    for group in 0..setting.events / GROUP {
        let events = group_of(setting, first + (group * GROUP) as u64, &names);
        let settlements: Vec<Settlement> = before
            .drain(..)
            .flat_map(|entry| {
                names
                    .iter()
                    .map(move |it| settled(it, entry, outcome.clone()))
            })
            .collect();
        let accepted = queue.commit(&events, &settlements).unwrap().accepted;
        before.extend(accepted.iter().filter_map(Accepted::entry));
    }
    begun.elapsed()
}

fn group_of(setting: &Setting, first: u64, names: &Arc<[Arc<str>]>) -> Vec<Event> {
    let body: Arc<[u8]> = vec![b'x'; setting.body].into();
    (first..first + GROUP as u64)
        .map(|number| Event {
            id: EventId(u128::from(number).to_le_bytes()),
            key: format!(
                "task-{}-{}",
                number.wrapping_mul(0x9e37_79b9) % 1_000_000,
                number / 10
            )
            .into_bytes()
            .into(),
            body: body.clone(),
            accepted_at: number,
            targets: names.clone(),
            attributes: Arc::default(),
            idempotency_key: None,
            last_state: None,
        })
        .collect()
}

fn settled(target: &Arc<str>, entry: EntryId, outcome: Settled) -> Settlement {
    Settlement {
        target: target.clone(),
        entry,
        outcome,
        guard: SlotGuard::SOLE,
    }
}

/// The processor time of an event whose delivery is kept, beside one whose delivery is not, in turns.
/// The kept deliveries are at their bound, so that each removes another.
fn keeping(dir: &Path, setting: &Setting) {
    const ROUNDS: u64 = 5;
    let kept = Settled::Kept {
        attempts: 1,
        delivered_at: 1,
    };
    let [without, with] = ["delivered", "kept"].map(|name| {
        let queue = DiskQueue::open(dir.join(name), &options()).unwrap();
        queue.set_quotas(Quotas {
            retained: [(
                "target-0".into(),
                DeadLetterLimits {
                    max_bytes: (setting.events * setting.body / 4) as u64,
                    ..DeadLetterLimits::default()
                },
            )]
            .into(),
            ..Quotas::default()
        });
        queue
    });
    let cost = |queue: &DiskQueue, round: u64, outcome: &Settled| {
        let begun = processor_time();
        steady(queue, setting, 1, round * setting.events as u64, outcome);
        (processor_time() - begun) / setting.events as f64
    };
    for round in 0..=ROUNDS {
        let plain = cost(&without, round, &Settled::Delivered);
        let keeps = cost(&with, round, &kept);
        // The first round fills both.
        if round > 0 {
            println!(
                "{:<28} {plain:>6.1} us of processor time an event, {keeps:.1} kept: {:.2}",
                "keeping deliveries",
                keeps / plain
            );
        }
    }
    let kept = with.statistics().unwrap().targets[0].kept;
    println!("{:<28} {kept} kept", "");
}

/// Microseconds that all threads of this process have run, to 10 ms.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|it| it.parse::<f64>().unwrap()).sum::<f64>() * 1e4
}

/// Builds a backlog, reopens it, appends and settles with it present, reads by key, drains it,
/// compacts.
fn backlog(dir: &Path, setting: &Setting, bare: Duration) {
    let names: Arc<[Arc<str>]> = ["target-0".into()].into();
    let queue = DiskQueue::open(dir, &options()).unwrap();
    let all = Setting {
        events: setting.backlog,
        dir: setting.dir.clone(),
        ..*setting
    };
    let per_bare = bare / u32::try_from(setting.events / GROUP).unwrap();
    let bare_all = per_bare * u32::try_from(all.events / GROUP).unwrap();

    let begun = Instant::now();
    for group in 0..all.events / GROUP {
        queue
            .commit(&group_of(&all, (group * GROUP) as u64, &names), &[])
            .unwrap();
    }
    report("building the backlog", &all, begun.elapsed(), bare_all);
    println!("{:<28} {:>8} KiB anonymous", "", anonymous());
    drop(queue);

    let begun = Instant::now();
    let queue = DiskQueue::open(dir, &options()).unwrap();
    println!(
        "{:<28} {:>8.1} ms",
        "opening it",
        begun.elapsed().as_secs_f64() * 1e3
    );
    let begun = Instant::now();
    let statistics = queue.statistics().unwrap();
    println!(
        "{:<28} {:>8.1} ms, {} pending",
        "its statistics",
        begun.elapsed().as_secs_f64() * 1e3,
        statistics.targets[0].pending
    );
    let took = steady(&queue, setting, 1, all.events as u64, &Settled::Delivered);
    report("going on beside it", setting, took, bare);

    let events = group_of(&all, 12_800, &names);
    let (mut bytes, begun) = (0, Instant::now());
    let mut visit = |owed: webhook_queue::Owed<'_>| {
        bytes += owed.body.len();
        ControlFlow::Continue(())
    };
    queue.owed("target-0", None, &mut visit).unwrap();
    println!(
        "{:<28} {:>8.0}/s",
        "reading all of it",
        bytes as f64 / setting.body as f64 / begun.elapsed().as_secs_f64()
    );

    for which in ["finding a key's entries", "the same again"] {
        let begun = Instant::now();
        for event in &events {
            let mut found = 0;
            let mut visit = |_, _: webhook_queue::Owed<'_>| {
                found += 1;
                ControlFlow::Continue(())
            };
            queue
                .owed_of_keys("target-0", std::slice::from_ref(&event.key), &mut visit)
                .unwrap();
            assert!(found > 0);
        }
        println!(
            "{:<28} {:>8.1} us each",
            which,
            begun.elapsed().as_secs_f64() * 1e6 / events.len() as f64
        );
    }

    for part in ["draining the first tenth", "the rest", "the last tenth"] {
        let events = if part == "the rest" {
            all.events / 10 * 8
        } else {
            all.events / 10
        };
        let of = Setting {
            events: events / GROUP * GROUP,
            dir: PathBuf::new(),
            ..*setting
        };
        let begun = Instant::now();
        for _ in 0..events / GROUP {
            let mut settlements = Vec::with_capacity(GROUP);
            let mut bytes = 0;
            let mut visit = |owed: webhook_queue::Owed<'_>| {
                bytes += owed.body.len();
                settlements.push(settled(&names[0], owed.entry, Settled::Delivered));
                match settlements.len() {
                    GROUP => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            };
            queue.owed("target-0", None, &mut visit).unwrap();
            assert!(bytes > 0);
            queue.commit(&[], &settlements).unwrap();
        }
        report(
            part,
            &of,
            begun.elapsed(),
            per_bare * u32::try_from(events / GROUP).unwrap(),
        );
    }
    println!("{:<28} {:>8} KiB anonymous", "", anonymous());
    drop(queue);
    let begun = Instant::now();
    let done = compact(dir).unwrap();
    println!(
        "{:<28} {:>8.1} ms, {} to {} KiB",
        "compacting",
        begun.elapsed().as_secs_f64() * 1e3,
        done.before / 1024,
        done.after / 1024
    );
}

/// Resident anonymous memory of this process, KiB.
fn anonymous() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    line.unwrap_or("?")
        .trim()
        .trim_end_matches(" kB")
        .to_owned()
}
