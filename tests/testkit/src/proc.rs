//! Figures of a process, from `/proc`.

use std::fs::read_to_string;
use std::time::Duration;

/// Bytes of anonymous resident memory: what the process has taken for itself, without the pages
/// of files, which the system takes back when it needs them. `None` if the process has ended.
pub fn anonymous_memory(pid: u32) -> Option<u64> {
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Processor time spent in the program and, for it, in the system, in steps of the system's clock
/// tick: `proc(5)`, fields 14 and 15 of `/proc/PID/stat`. `None` if the process is gone.
pub fn processor_time(pid: u32) -> Option<Duration> {
    let stat = stat(pid)?;
    Some(ticks(stat.own))
}

/// Processor time of a process, of its children that have ended and of those that have not.
/// `None` if the process is gone.
pub fn family_processor_time(pid: u32) -> Option<Duration> {
    let first = stat(pid)?;
    let all = std::fs::read_dir("/proc").ok()?.flatten();
    let children = all.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?));
    let children = children.filter(|child| child.parent == pid);
    let living: u64 = children.map(|child| child.own + child.ended).sum();
    Some(ticks(first.own + first.ended + living))
}

/// A part of `/proc/PID/stat`; times in ticks.
struct Stat {
    parent: u32,
    own: u64,
    /// That of children that have ended and were waited for.
    ended: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let time = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: time(11)? + time(12)?,
        ended: time(13)? + time(14)?,
    })
}

/// Ticks of the system's clock in a second, in which it counts processor time.
pub fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / ticks_per_second() as f64)
}
