//! The machine and the versions that figures were measured with.

use crate::compare::syslog_ng;
use std::fs::read_to_string;
use std::path::Path;
use std::process::{Command, Stdio};

/// The machine in one line: figures without it say nothing.
pub(crate) fn describe() -> String {
    let parts = parts().map(|(name, value)| format!("{name} {value}"));
    format!("{}; load {}", parts.join(", "), load())
}

fn parts() -> [(&'static str, String); 4] {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = field("/proc/meminfo", "MemTotal").and_then(|total| {
        let kib: f64 = total.split(' ').next()?.parse().ok()?;
        Some(format!("{:.0} GiB", kib / f64::from(1 << 20)))
    });
    let unknown = || "unknown".to_owned();
    [
        (
            "processor",
            field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
        ),
        ("cores", cores.to_string()),
        ("memory", memory.unwrap_or_else(unknown)),
        ("kernel", format!("Linux {}", kernel.trim())),
    ]
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The load averages over 1, 5 and 15 minutes: what else the machine was doing.
pub(crate) fn load() -> String {
    let averages = read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The machine and the versions, line by line.
pub(crate) fn lines(webhookd: &Path) -> Vec<(String, String)> {
    let lock = read_to_string(testkit::repository("Cargo.lock")).unwrap_or_default();
    let locked = |name: &str| {
        let (_, after) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        after.split('"').next().map(str::to_owned)
    };
    let found = [
        ("load average at the start", Some(load())),
        ("compiler", version("rustc", "--version")),
        (
            "webhookd",
            version(&webhookd.to_string_lossy(), "--version"),
        ),
        ("commit", commit()),
        ("hyper", locked("hyper")),
        ("reqwest", locked("reqwest")),
        ("wrk", version("wrk", "-v")),
        (
            "syslog-ng",
            syslog_ng::program().map(|(_, version)| version),
        ),
    ];
    let found = found.map(|(name, value)| (name, value.unwrap_or_else(|| "–".to_owned())));
    let all = parts().into_iter().chain(found);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--exclude", "*"]);
    let output = git.current_dir(testkit::repository("")).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The first line that a program prints of its version; `None` if it is not installed.
pub(crate) fn version(program: &str, argument: &str) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.arg(argument).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.trim().to_owned())
}
