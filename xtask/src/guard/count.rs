//! Instructions, by callgrind.

use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// A path, and how often it is done in the shorter and in the longer run.
#[derive(Debug)]
pub(super) struct HotPath {
    pub(super) name: &'static str,
    short: u64,
    long: u64,
}

pub(super) const PATHS: &[HotPath] = &[
    HotPath {
        name: "encode",
        short: 200,
        long: 1_200,
    },
    HotPath {
        name: "header",
        short: 200,
        long: 1_200,
    },
    // A hash map's seed differs from run to run, and so do its collisions: many even them out.
    HotPath {
        name: "lane",
        short: 2_000,
        long: 22_000,
    },
    HotPath {
        name: "queue",
        short: 10,
        long: 110,
    },
];

pub(super) fn is_installed() -> bool {
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--version");
    quiet(&mut valgrind)
}

/// Installs valgrind where that is allowed and simple: as root, with apt-get.
pub(super) fn install() -> bool {
    if !rustix::process::geteuid().is_root() || !quiet(Command::new("apt-get").arg("--version")) {
        return false;
    }
    super::say("$ apt-get install -y valgrind");
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "valgrind"]);
    let mut update = Command::new("apt-get");
    update.arg("update");
    (quiet(&mut install) || (quiet(&mut update) && quiet(&mut install))) && is_installed()
}

fn quiet(command: &mut Command) -> bool {
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// How many instructions it takes to do a path once: the difference of two runs, so that what it
/// takes to get ready is not in it.
pub(super) fn instructions(program: &Path, path: &HotPath) -> Result<u64> {
    let short = run(program, path.name, path.short)?;
    let long = run(program, path.name, path.long)?;
    ensure!(
        long > short,
        "more was done in {short} instructions than in {long}"
    );
    Ok((long - short) / (path.long - path.short))
}

fn run(program: &Path, name: &str, times: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &times.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("valgrind ended with {}; it said:\n{said}", output.status);
    }
    collected(&said).with_context(|| format!("valgrind counted nothing; it said:\n{said}"))
}

/// `==123== Collected : 9363599`
fn collected(said: &str) -> Option<u64> {
    let mut lines = said.lines();
    let count = lines.find_map(|line| line.split_once("Collected :"))?.1;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_count_is_read() {
        let said = "==7== Events    : Ir\n==7== Collected : 9363599\n==7== \n";
        assert_eq!(collected(said), Some(9_363_599));
        assert_eq!(collected("==7== Collected : none\n"), None);
        assert_eq!(collected("valgrind: cannot run\n"), None);
    }
}
