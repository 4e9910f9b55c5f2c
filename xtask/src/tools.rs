//! Programs that `cargo xtask ci` runs and that may be missing on a machine.

use crate::workspace;
use std::process::{Command, Stdio};

/// The result of a check that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// The check cannot run on this machine, for this reason.
    LeftOut(&'static str),
}

/// A program, with the shell commands that show its version and install it.
#[derive(Debug)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    install: &'static str,
    as_root: bool,
}

pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "cargo deny --version",
    install: "cargo install --locked cargo-deny --version 0.20.2",
    as_root: false,
};

pub(crate) const TYPOS: Tool = Tool {
    name: "typos",
    version: "typos --version",
    install: "cargo install --locked typos-cli --version 1.52.0",
    as_root: false,
};

/// Compiles libFuzzer.
pub(crate) const CXX: Tool = Tool {
    name: "a C++ compiler",
    version: "c++ --version",
    install: "apt-get install -qy g++ || (apt-get update -q && apt-get install -qy g++)",
    as_root: true,
};

pub(crate) const CARGO_DEB: Tool = Tool {
    name: "cargo-deb",
    version: "cargo deb --version && dpkg-shlibdeps --version",
    install: "[ -x \"$(command -v dpkg-shlibdeps)\" ] || { install='apt-get install -qy \
              --no-install-recommends dpkg-dev'; $install || (apt-get update -q && $install); }; \
              cargo install --locked cargo-deb --version 3.8.0",
    as_root: false,
};

/// Makes a small Debian to install packages in.
pub(crate) const DEBOOTSTRAP: Tool = Tool {
    name: "debootstrap",
    version: "debootstrap --version",
    install: "install='apt-get install -qy --no-install-recommends debootstrap'; \
              $install || (apt-get update -q && $install)",
    as_root: true,
};

/// Builds the container image, and runs it.
pub(crate) const BUILDAH: Tool = Tool {
    name: "buildah with runc",
    version: "buildah --version && runc --version",
    install: "install='apt-get install -qy --no-install-recommends buildah runc'; \
              $install || (apt-get update -q && $install)",
    as_root: true,
};

pub(crate) const MUTANTS: Tool = Tool {
    name: "cargo-mutants",
    version: "cargo mutants --version",
    install: "cargo install --locked cargo-mutants --version 27.1.0",
    as_root: false,
};

pub(crate) const VALGRIND: Tool = Tool {
    name: "valgrind",
    version: "valgrind --version",
    install: "apt-get install -qy valgrind || (apt-get update -q && apt-get install -qy valgrind)",
    as_root: true,
};

pub(crate) const FAKETIME: Tool = Tool {
    name: "faketime",
    version: "faketime --version",
    install: "apt-get install -qy faketime || (apt-get update -q && apt-get install -qy faketime)",
    as_root: true,
};

/// A browser for the tests of the admin page, and the driver that they command it by.
pub(crate) const CHROMIUM: Tool = Tool {
    name: "Chromium",
    version: "chromium --version && chromedriver --version",
    install: "install='apt-get install -qy --no-install-recommends chromium chromium-driver'; \
              $install || (apt-get update -q && $install)",
    as_root: true,
};

/// Brings axe-core, which looks for what hinders users in the page.
pub(crate) const NPM: Tool = Tool {
    name: "npm",
    version: "npm --version",
    install: "install='apt-get install -qy --no-install-recommends npm'; \
              $install || (apt-get update -q && $install)",
    as_root: true,
};

/// Runs the receiver in Node.
pub(crate) const NODE: Tool = Tool {
    name: "Node",
    version: "node --version",
    install: "install='apt-get install -qy --no-install-recommends nodejs'; \
              $install || (apt-get update -q && $install)",
    as_root: true,
};

/// Builds the receiver in Go, which needs the standard library alone.
pub(crate) const GO: Tool = Tool {
    name: "Go",
    version: "go version",
    install: "install='apt-get install -qy --no-install-recommends golang-go'; \
              $install || (apt-get update -q && $install)",
    as_root: true,
};

/// Installed without a cluster of its own, whose server would run: each test starts one. The setting
/// for this is read when the package is installed, from a folder that may not be there yet.
pub(crate) const POSTGRES: Tool = Tool {
    name: "PostgreSQL",
    version: "command -v initdb || ls /usr/lib/postgresql/*/bin/initdb",
    install: "config=/etc/postgresql-common/createcluster.d/webhook-ci.conf; \
              mkdir -p ${config%/*}; trap \"rm -f $config\" EXIT; \
              echo 'create_main_cluster = false' > $config; \
              install='apt-get install -qy --no-install-recommends postgresql'; \
              $install || (apt-get update -q && $install)",
    as_root: true,
};

/// Installed without starting its services: the test starts its own.
pub(crate) const SLURM: Tool = Tool {
    name: "Slurm",
    // `sbatch -V` needs a slurm.conf.
    version: "munged --version && slurmctld -V && slurmd -V && command -v sbatch \
              && ls /usr/lib/*/slurm-wlm/jobcomp_elasticsearch.so",
    install: "policy=/usr/sbin/policy-rc.d; \
              [ -e $policy ] || { trap \"rm -f $policy\" EXIT; printf '#!/bin/sh\\nexit 101\\n' > $policy; \
              chmod 755 $policy; }; \
              packages='munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins \
              slurm-wlm-elasticsearch-plugin'; \
              install='apt-get install -qy --no-install-recommends'; \
              $install $packages || (apt-get update -q && $install $packages)",
    as_root: true,
};

impl Tool {
    pub(crate) fn is_installed(&self) -> bool {
        succeeds(shell(self.version).stderr(Stdio::null()))
    }

    /// Installs the program if it is missing. Returns whether it is installed.
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
    // The repository's cargo configuration does not apply to tools.
    shell.current_dir(std::env::temp_dir());
    shell.stdin(Stdio::null()).stdout(Stdio::null());
    shell
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
