//! Installs packages as an operator does, and runs what is in them.

mod image;
mod installed;
mod root;
mod steps;
mod unpacked;

use super::{Content, Package, deb, image, tarball};
use crate::tools::{self, Outcome};
use crate::workspace;
use anyhow::{Context, Result};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Checks the Debian package and the container image, of a program that is not optimised: a step of
/// `cargo xtask ci`.
///
/// # Errors
/// One cannot be made, or a check fails.
pub(crate) fn check() -> Result<Outcome> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Outcome::LeftOut("only root can install a package"));
    }
    if !tools::CARGO_DEB.ensure() {
        return Ok(Outcome::LeftOut("cargo-deb is not installed"));
    }
    if !tools::DEBOOTSTRAP.ensure() {
        return Ok(Outcome::LeftOut("debootstrap is not installed"));
    }
    let binary = workspace::build("webhookd", "dev");
    let content = Content::write(&binary)?;
    made(Package::Deb, &deb()?)?;
    made(Package::Tarball, &tarball(&content)?)?;
    if !tools::BUILDAH.ensure() {
        return Ok(Outcome::LeftOut("buildah and runc are not installed"));
    }
    made(Package::Image, &image(&content)?)?;
    Ok(Outcome::Passed)
}

/// Checks one package.
///
/// # Errors
/// It is not as the manual says.
pub(super) fn made(package: Package, path: &Path) -> Result<()> {
    match package {
        Package::Deb => installed::check(path).context("the Debian package"),
        Package::Tarball => unpacked::check(path).context("the tarball"),
        Package::Image => image::check(path).context("the container image"),
    }
}

/// An event as a scheduler sends it, of a task.
fn event(task: &str) -> String {
    format!(
        r#"{{"task":{{"assignedTask":{{"taskId":"{task}"}},"status":"FAILED"}},"oldState":{{"value":"RUNNING"}}}}"#
    )
}

/// Addresses on this machine that are free, with ports below those that the system assigns by itself.
fn free_addresses() -> impl Iterator<Item = String> {
    let start = std::process::id() % 10_000;
    (0..10_000).filter_map(move |step| {
        let port = u16::try_from(20_000 + (start + step) % 10_000).ok()?;
        let is_free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        is_free.then(|| format!("127.0.0.1:{port}"))
    })
}

/// Runs a command until it succeeds, at most for [`testkit::DEADLINE`], and returns what it printed.
fn succeed_in_time(mut command: impl FnMut() -> Command) -> Result<String> {
    let start = Instant::now();
    loop {
        match super::succeed(&mut command()) {
            Err(error) if start.elapsed() > testkit::DEADLINE => return Err(error),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(100)),
            Ok(printed) => return Ok(printed),
        }
    }
}
