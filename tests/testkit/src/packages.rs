//! Packages of a registry in the target directory, each installed on first use: those of Python,
//! and those of npm.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The axe-core that the tests run: it finds what hinders users in a web page.
const AXE: &str = "axe-core@4.14.1";

/// What the receiver in Node needs.
const EXPRESS: &str = "express@5.3.0";

/// The script of axe-core, as text that defines `axe` in the page that evaluates it.
///
/// # Errors
///
/// There is no npm, or no registry that has it.
pub fn axe() -> Result<String, String> {
    let script = of_npm(AXE)?.join("axe-core/axe.min.js");
    Ok(std::fs::read_to_string(script).expect("the package has it"))
}

/// The folder `node_modules` that has Express.
///
/// # Errors
///
/// There is no npm, or no registry that has it.
pub fn express() -> Result<PathBuf, String> {
    of_npm(EXPRESS)
}

/// The folder `node_modules` that has this package.
fn of_npm(package: &str) -> Result<PathBuf, String> {
    let folder = installed("npm", package, |folder| {
        let npm = "install --ignore-scripts --no-audit --no-fund --no-package-lock \
                   --fetch-timeout=60000 --fetch-retries=1 --prefix";
        execute(
            Command::new("npm")
                .args(npm.split(' '))
                .arg(folder)
                .arg(package),
        )
    })?;
    Ok(folder.join("node_modules"))
}

/// The folder `target/KIND/NAME`, filled by `install` on first use.
pub(crate) fn installed(
    kind: &str,
    name: &str,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let folder = crate::repository("target").join(kind).join(name);
    std::fs::create_dir_all(&folder).expect("the target directory can be written to");
    // Tests run side by side; one of them installs.
    let lock = File::create(folder.join("lock")).expect("the target directory can be written to");
    lock.lock().expect("a file can be locked");
    let complete = folder.join("complete");
    if !complete.exists() {
        install(&folder)?;
        File::create(complete).expect("the target directory can be written to");
    }
    Ok(folder)
}

/// Runs a command that may fail for want of something on this machine.
pub(crate) fn execute(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command:?} does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!(
        "{command:?} failed: {}",
        String::from_utf8_lossy(&said).trim()
    ))
}

/// What to do without a program or a package: fails with CI set, and writes a line else, which is
/// shown where the runner shows the output of tests that pass.
///
/// # Panics
///
/// If `CI` is set in the environment.
pub fn skip(why: &str) {
    use std::io::Write;
    let must_run = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!must_run, "{why}; with CI set, every test must run");
    drop(writeln!(std::io::stderr(), "SKIPPED: {why}"));
}
