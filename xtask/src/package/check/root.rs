//! A small Debian in a folder, for `chroot`.

use super::super::{folder, make, succeed};
use crate::tools;
use crate::workspace::say;
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A Debian without services. Dropping it deletes it.
#[derive(Debug)]
pub(super) struct Root(tempfile::TempDir);

impl Root {
    /// One as debootstrap made it.
    ///
    /// # Errors
    /// There is none, and it cannot be made.
    pub(super) fn new() -> Result<Root> {
        let archive = archive()?;
        let root = Root::empty()?;
        succeed(
            Command::new("tar")
                .arg("-xpf")
                .arg(archive)
                .arg("-C")
                .arg(root.path()),
        )?;
        Ok(root)
    }

    /// A folder with nothing in it.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn empty() -> Result<Root> {
        make(&folder())?;
        let root = tempfile::Builder::new()
            .prefix("root-")
            .tempdir_in(folder())
            .context("cannot make a folder")?;
        // A temporary folder is for its owner alone; services have other users.
        succeed(Command::new("chmod").arg("755").arg(root.path()))?;
        Ok(Root(root))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A command that runs in this root.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.path()).arg(program).env_clear();
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("HOME", "/root");
        command.env("LC_ALL", "C.UTF-8");
        command
    }

    /// A command of these words.
    pub(super) fn command_of(&self, words: &str) -> Command {
        let (program, arguments) = words.split_once(' ').unwrap_or((words, ""));
        let mut command = self.command(program);
        command.args(arguments.split_whitespace());
        command
    }

    pub(super) fn metadata(&self, path: &str) -> Result<std::fs::Metadata> {
        let found = std::fs::metadata(self.path().join(path));
        found.with_context(|| format!("/{path} in the root"))
    }

    /// The processes that run in this root.
    pub(super) fn processes(&self) -> Result<Vec<Pid>> {
        let root = self.path().canonicalize().context("the root is gone")?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").context("/proc")? {
            let entry = entry.context("/proc")?;
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            // One that has ended meanwhile has no root.
            let runs_here =
                std::fs::read_link(entry.path().join("root")).is_ok_and(|it| it == root);
            found.extend(pid.and_then(Pid::from_raw).filter(|_| runs_here));
        }
        Ok(found)
    }

    /// Ends the processes that run in this root, and waits for their end.
    ///
    /// # Errors
    /// They do not end in time.
    pub(super) fn end_all(&self) -> Result<()> {
        let start = Instant::now();
        for process in self.processes()? {
            // It may have ended by itself.
            kill_process(process, Signal::TERM).ok();
        }
        while !self.processes()?.is_empty() {
            ensure!(
                start.elapsed() < testkit::DEADLINE,
                "a program does not end"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(())
    }

    /// A line that a shell runs in this root, in the home folder of its root.
    pub(super) fn shell(&self, line: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-e", "-c", &format!("cd /root\n{line}")]);
        command
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for process in self.processes().unwrap_or_default() {
            kill_process(process, Signal::KILL).ok();
        }
    }
}

/// The archive of the root, which debootstrap makes on first use: of this machine's release, whose C
/// library webhookd was built for.
///
/// # Errors
/// It cannot be made.
pub(super) fn archive() -> Result<PathBuf> {
    let archive = folder().join("root.tar");
    if archive.exists() {
        return Ok(archive);
    }
    ensure!(tools::DEBOOTSTRAP.ensure(), "debootstrap is not installed");
    let format = [
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE)",
        "Component: main",
    ];
    let targets = succeed(Command::new("apt-get").args(format))?;
    let release = std::fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite = suite
        .context("/etc/os-release does not name the release")?
        .trim_matches('"');
    let mut targets = targets.lines().filter_map(|line| line.split_once(' '));
    let mirror = targets.find(|(_, release)| *release == suite);
    let (mirror, _) = mirror.with_context(|| format!("apt has no mirror of {suite}"))?;
    say(&format!("debootstrap makes {}", archive.display()));
    let root = Root::empty()?;
    let mut command = Command::new("debootstrap");
    // curl sends the events.
    command.args(["--variant=minbase", "--include=curl", suite]);
    succeed(command.arg(root.path()).arg(mirror))?;
    let new = folder().join("root.tar.new");
    let mut command = Command::new("tar");
    command.args([
        "--one-file-system",
        "--exclude=./var/cache/apt/archives/*.deb",
    ]);
    command.args([
        "--exclude=./var/lib/apt/lists/*",
        "--exclude=./proc/*",
        "-cf",
    ]);
    succeed(command.arg(&new).arg("-C").arg(root.path()).arg("."))?;
    std::fs::rename(&new, &archive).context("cannot rename root.tar.new")?;
    Ok(archive)
}
