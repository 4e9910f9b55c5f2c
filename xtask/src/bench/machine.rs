//! What the figures were measured on, and with.

use super::child::version;
use super::syslog_ng;
use crate::measure::machine;
use crate::workspace;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// A machine that does more than this beside is not idle.
const IDLE: f64 = 0.3;

/// The machine and the versions, line by line.
pub(super) fn describe(webhookd: &Path) -> Result<Vec<(String, String)>> {
    let mut lines = machine::parts();
    let mut add = |name: &str, value: Option<String>| {
        lines.push((name.to_owned(), value.unwrap_or_else(|| "–".to_owned())));
    };
    add("load average at the start", Some(machine::load()));
    add("compiler", version("rustc", "--version"));
    add(
        "webhookd",
        version(&webhookd.to_string_lossy(), "--version"),
    );
    add("commit", commit());
    let metadata = workspace::metadata()?;
    for name in ["hyper", "reqwest"] {
        let package = metadata
            .packages
            .iter()
            .find(|package| package.name == name);
        add(name, package.map(|package| package.version.to_string()));
    }
    add("wrk", version("wrk", "-v"));
    add(
        "syslog-ng",
        syslog_ng::program().map(|(_, version)| version),
    );
    Ok(lines)
}

/// What speaks against figures of this machine now.
pub(super) fn warning() -> Option<String> {
    let load = machine::load();
    let one: f64 = load.split(' ').next()?.parse().ok()?;
    (one > IDLE).then(|| {
        format!("the machine was not idle: its load average over a minute was {one} at the start")
    })
}

fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.current_dir(workspace::root());
    let output = git
        .args(["describe", "--always", "--dirty", "--exclude", "*"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
