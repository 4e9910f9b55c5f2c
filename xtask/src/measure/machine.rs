//! What the figures were measured on.

use std::fs::read_to_string;

/// The machine, in a few lines: figures without it say nothing.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    format!(
        "machine: {cores} cores of {}, {} of memory, Linux {}; load {} before",
        cpu().unwrap_or_else(|| "an unknown processor".to_owned()),
        memory().unwrap_or_else(|| "an unknown amount".to_owned()),
        read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim(),
        load(),
    )
}

/// The same, part by part.
pub(crate) fn parts() -> Vec<(String, String)> {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let unknown = || "unknown".to_owned();
    [
        ("processor", cpu().unwrap_or_else(unknown)),
        ("cores", cores.to_string()),
        ("memory", memory().unwrap_or_else(unknown)),
        ("kernel", format!("Linux {}", kernel.trim())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// The load averages over 1, 5 and 15 minutes: what else the machine was doing.
pub(crate) fn load() -> String {
    let averages = read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn cpu() -> Option<String> {
    field(&read_to_string("/proc/cpuinfo").ok()?, "model name")
}

fn memory() -> Option<String> {
    let total = field(&read_to_string("/proc/meminfo").ok()?, "MemTotal")?;
    let kib: f64 = total.split(' ').next()?.parse().ok()?;
    Some(format!("{:.0} GiB", kib / f64::from(1 << 20)))
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
