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
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let seconds = (user + system) as f64 / per_second as f64;
    Some(Duration::from_secs_f64(seconds))
}
