//! The Debian package in a fresh Debian: the manual's steps, an upgrade over a queue that holds events,
//! removal, and purge.

use super::super::{copy, emptied, folder, succeed};
use super::root::Root;
use super::steps::Manual;
use super::{event, free_addresses, succeed_in_time};
use crate::workspace::say;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use testkit::{DEADLINE, Launch, Process, Receiver, Reply};

/// # Errors
/// What is not as the manual says.
pub(super) fn check(package: &Path) -> Result<()> {
    let root = Root::new()?;
    let version = succeed(
        Command::new("dpkg-deb")
            .arg("-f")
            .arg(package)
            .arg("Version"),
    )?;
    let version = version.trim();
    let older = repacked(package, "0.0.1-1")?;
    for file in [package, &older] {
        let name = file.file_name().context("a package is a file")?;
        // The manual's steps begin with the one package.
        let home = if file == package { "root" } else { "tmp" };
        copy(file, &root.path().join(home).join(name))?;
    }
    the_manual_leads_to_a_delivery(&root)?;
    everything_is_installed(&root, version)?;
    succeed(&mut root.command_of("dpkg --purge webhookd"))?;
    nothing_is_left(&root)?;
    an_upgrade_keeps_what_is_owed(&root, &older, package)
}

/// The package with another version, and all else the same.
fn repacked(package: &Path, version: &str) -> Result<PathBuf> {
    let folder = folder().join("older");
    emptied(&folder)?;
    let tree = folder.join("tree");
    succeed(Command::new("dpkg-deb").arg("-R").arg(package).arg(&tree))?;
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control).context("DEBIAN/control")?;
    let lines = text
        .lines()
        .map(|line| match line.starts_with("Version: ") {
            true => format!("Version: {version}\n"),
            false => format!("{line}\n"),
        });
    fs::write(&control, lines.collect::<String>()).context("DEBIAN/control")?;
    let made = folder.join("webhookd_older.deb");
    let build = ["--root-owner-group", "-Zgzip", "-z1", "-b"];
    succeed(Command::new("dpkg-deb").args(build).arg(&tree).arg(&made))?;
    Ok(made)
}

fn the_manual_leads_to_a_delivery(root: &Root) -> Result<()> {
    let mut free = free_addresses();
    let mut address = || free.next().context("no ports are free");
    let places = [
        ("127.0.0.1:5000", address()?),
        ("127.0.0.1:8080", address()?),
        ("127.0.0.1:9480", address()?),
    ];
    let steps = Manual::new("### Debian and Ubuntu", places, root)?.follow()?;
    ensure!(steps >= 8, "the manual has {steps} steps");
    root.end_all()?;
    say(&format!(
        "installed, and an event delivered, by the {steps} commands of the manual"
    ));
    Ok(())
}

fn everything_is_installed(root: &Root, version: &str) -> Result<()> {
    let printed = succeed(root.command("webhookd").arg("--version"))?;
    let (upstream, _) = version.rsplit_once('-').unwrap_or((version, ""));
    ensure!(
        printed.trim() == format!("webhookd {upstream}"),
        "{printed}"
    );
    for path in [
        "usr/share/man/man1/webhookd-run.1.gz",
        "usr/share/bash-completion/completions/webhookd",
        "usr/lib/systemd/system/webhookd.service",
        "usr/lib/systemd/system/webhookd.socket",
        "usr/share/doc/webhookd/copyright",
        "usr/share/doc/webhookd/changelog.gz",
    ] {
        ensure!(root.path().join(path).exists(), "{path} is not installed");
    }
    let program = root.metadata("usr/bin/webhookd")?;
    ensure!(
        program.uid() == 0 && program.mode() & 0o7777 == 0o755,
        "{program:?}"
    );
    let state = root.metadata("var/lib/webhookd")?;
    ensure!(
        state.uid() != 0 && state.mode() & 0o7777 == 0o700,
        "{state:?}"
    );
    let depends = succeed(&mut root.command_of("dpkg-query -W -f ${Depends} webhookd"))?;
    ensure!(depends.contains("libc6 (>= "), "Depends: {depends}");
    Ok(())
}

/// The user stays, and what dpkg and apt remember of every package.
fn nothing_is_left(root: &Root) -> Result<()> {
    let mut find = Command::new("find");
    find.arg(root.path()).args(["-xdev", "-name", "*webhookd*"]);
    find.args(["-not", "-name", "*.deb", "-not", "-name", "webhookd.pid"]);
    let left = succeed(find.args(["-not", "-name", "webhookd.log"]))?;
    ensure!(left.is_empty(), "what purge has left:\n{left}");
    let users = fs::read_to_string(root.path().join("etc/passwd")).context("etc/passwd")?;
    ensure!(users.contains("\nwebhookd:"), "purge has removed the user");
    Ok(())
}

/// A receiver that can be down, and remembers the ids of what it accepted.
struct Switched {
    receiver: Receiver,
    is_up: Arc<AtomicBool>,
    accepted: Arc<Mutex<Vec<String>>>,
}

impl Switched {
    fn new() -> Switched {
        let (is_up, accepted) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let receiver = Receiver::start({
            let (is_up, accepted): (_, Arc<Mutex<Vec<String>>>) =
                (Arc::clone(&is_up), Arc::clone(&accepted));
            move |request| {
                if !is_up.load(Ordering::SeqCst) {
                    return Reply::status(503);
                }
                let id = request.header("webhook-id");
                accepted.lock().expect("no holder panics").push(id);
                Reply::status(200)
            }
        });
        Switched {
            receiver,
            is_up,
            accepted,
        }
    }

    /// Waits until these events, and no others, have been accepted, in this order.
    fn wait_for(&self, ids: &[String]) -> Result<()> {
        self.is_up.store(true, Ordering::SeqCst);
        let start = Instant::now();
        loop {
            let accepted = self.accepted.lock().expect("no holder panics").clone();
            if accepted == ids {
                self.is_up.store(false, Ordering::SeqCst);
                return Ok(());
            }
            if start.elapsed() > DEADLINE {
                bail!("submitted: {ids:?}; accepted by the receiver: {accepted:?}");
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn an_upgrade_keeps_what_is_owed(root: &Root, older: &Path, newer: &Path) -> Result<()> {
    let installs = |package: &Path, home: &str| -> Result<()> {
        let name = package.file_name().unwrap_or_default();
        let path = Path::new("/").join(home).join(name);
        succeed(root.command("dpkg").arg("-i").arg(path))?;
        Ok(())
    };
    installs(older, "tmp")?;
    ensure!(
        root.processes()?.is_empty(),
        "the installation has started webhookd"
    );
    let config = "/etc/webhookd/webhook.json";
    let refused = root.command("webhookd").arg("check").arg(config).output();
    let refused = refused.context("cannot start chroot")?;
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    let printed = String::from_utf8_lossy(&refused.stdout).into_owned() + &errors;
    ensure!(
        !refused.status.success() && printed.contains("EDIT-ME"),
        "{printed}"
    );

    let receiver = Switched::new();
    let url = receiver.receiver.url();
    succeed(&mut root.shell(&format!("sed -i 's|EDIT-ME|{url}|' {config}")))?;
    let ingest = free_addresses().next().context("no ports are free")?;
    let mut ids = Vec::new();
    let mut daemon = start(root, &ingest)?;
    for _ in 0..3 {
        ids.push(submit(root, &ingest)?);
    }
    stop(daemon)?;
    let mark = root.path().join("var/lib/webhookd/queue/FORMAT");
    let mark = fs::read_to_string(mark).context("the queue")?;
    ensure!(mark.starts_with("webhook-queue 1\n"), "{mark}");

    installs(newer, "root")?;
    let edited = fs::read_to_string(root.path().join(&config[1..])).context(config)?;
    ensure!(
        edited.contains(&url),
        "the upgrade has changed {config}:\n{edited}"
    );
    daemon = start(root, &ingest)?;
    receiver.wait_for(&ids)?;
    say("upgraded, and what the older version had accepted was delivered");

    ids.push(submit(root, &ingest)?);
    stop(daemon)?;
    let removed = succeed(&mut root.command_of("dpkg --remove webhookd"))?;
    ensure!(removed.contains("the queue stays"), "{removed}");
    let is_there = |path: &str| root.path().join(path).exists();
    ensure!(!is_there("usr/bin/webhookd"), "remove has left the program");
    ensure!(
        is_there("etc/webhookd/webhook.json"),
        "remove has deleted the configuration"
    );
    installs(newer, "root")?;
    daemon = start(root, &ingest)?;
    receiver.wait_for(&ids)?;
    stop(daemon)?;
    say("removed and installed again: the queue was kept, and its event delivered");

    let purged = succeed(&mut root.command_of("dpkg --purge webhookd"))?;
    ensure!(purged.contains("deleting /var/lib/webhookd"), "{purged}");
    nothing_is_left(root)?;
    say("purged, and only the user is left");
    Ok(())
}

/// Starts webhookd as its user, and waits until it is ready.
fn start(root: &Root, ingest: &str) -> Result<Process> {
    let arguments = "setpriv --reuid webhookd --regid webhookd --clear-groups webhookd run \
                     --webhook-config /etc/webhookd/webhook.json --state-dir /var/lib/webhookd/queue \
                     --grace 1s --listen";
    let daemon = Launch::of("chroot")
        .arg(root.path())
        .args(arguments.split_whitespace());
    let daemon = daemon.arg(ingest).spawn();
    succeed_in_time(|| root.command_of("webhookd ready --queue /var/lib/webhookd/queue"))?;
    Ok(daemon)
}

/// Ends it as systemd would.
fn stop(daemon: Process) -> Result<()> {
    daemon.signal(Signal::TERM);
    let ended = daemon.wait();
    // 1 and 3: some events were not delivered, some are still in the queue.
    let is_ended = ended.code.is_some_and(|code| [0, 1, 3].contains(&code));
    ensure!(
        is_ended,
        "webhookd ended with {}:\n{}",
        ended.status,
        ended.stderr
    );
    Ok(())
}

/// Sends an event of the one task whose events are sent, and returns its id.
fn submit(root: &Root, ingest: &str) -> Result<String> {
    let url = format!("http://{ingest}/");
    let mut curl = root.command("curl");
    let answer = succeed(curl.args(["-sS", "--fail-with-body", "--json", &event("kept"), &url]))?;
    let answer: serde_json::Value = serde_json::from_str(&answer).context("the answer")?;
    let id = answer["id"].as_str().context("the answer has no id")?;
    Ok(id.to_owned())
}
