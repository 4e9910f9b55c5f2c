//! Programs that `cargo xtask ci` needs and a machine may lack.

use crate::workspace;
use std::process::{Command, Stdio};

/// A program, how to see that it is there, and how to install it.
#[derive(Debug)]
pub(crate) struct Tool {
    name: &'static str,
    look: &'static str,
    install: &'static str,
    as_root: bool,
}

pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    look: "cargo deny --version",
    install: "cargo install --locked cargo-deny --version 0.20.2",
    as_root: false,
};

pub(crate) const TYPOS: Tool = Tool {
    name: "typos",
    look: "typos --version",
    install: "cargo install --locked typos-cli --version 1.52.0",
    as_root: false,
};

pub(crate) const VALGRIND: Tool = Tool {
    name: "valgrind",
    look: "valgrind --version",
    install: "apt-get install -qy valgrind || (apt-get update -q && apt-get install -qy valgrind)",
    as_root: true,
};

impl Tool {
    pub(crate) fn is_installed(&self) -> bool {
        succeeds(shell(self.look).stderr(Stdio::null()))
    }

    /// Installs it where it is missing and that is allowed. Whether it is there then.
    pub(crate) fn ensure(&self) -> bool {
        if self.is_installed() {
            return true;
        }
        if self.as_root && !rustix::process::geteuid().is_root() {
            return false;
        }
        workspace::say(&format!("{} is missing\n$ {}", self.name, self.install));
        succeeds(&mut shell(self.install)) && self.is_installed()
    }
}

fn shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", line])
        .env("DEBIAN_FRONTEND", "noninteractive");
    // Outside of the repository, whose configuration is not for tools.
    shell.current_dir(std::env::temp_dir());
    shell.stdin(Stdio::null()).stdout(Stdio::null());
    shell
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
