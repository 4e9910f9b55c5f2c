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

/// The shell command that installs packages of Debian, without those that are only recommended. The list of
/// packages is fetched only if it is missing or too old.
macro_rules! apt_install {
    ($packages:literal) => {
        concat!(
            "install='apt-get install -qy --no-install-recommends ",
            $packages,
            "'; $install || (apt-get update -q && $install)"
        )
    };
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
    install: apt_install!("g++"),
    as_root: true,
};

pub(crate) const CARGO_DEB: Tool = Tool {
    name: "cargo-deb",
    version: "cargo deb --version && dpkg-shlibdeps --version",
    install: concat!(
        "[ -x \"$(command -v dpkg-shlibdeps)\" ] || { ",
        apt_install!("dpkg-dev"),
        "; }; cargo install --locked cargo-deb --version 3.8.0"
    ),
    as_root: false,
};

/// Makes a small Debian to install packages in.
pub(crate) const DEBOOTSTRAP: Tool = Tool {
    name: "debootstrap",
    version: "debootstrap --version",
    install: apt_install!("debootstrap"),
    as_root: true,
};

/// Builds the container image, and runs it.
pub(crate) const BUILDAH: Tool = Tool {
    name: "buildah with runc",
    version: "buildah --version && runc --version",
    install: apt_install!("buildah runc"),
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
    install: apt_install!("valgrind"),
    as_root: true,
};

pub(crate) const FAKETIME: Tool = Tool {
    name: "faketime",
    version: "faketime --version",
    install: apt_install!("faketime"),
    as_root: true,
};

/// A browser for the tests of the admin page, and the driver that they command it by.
pub(crate) const CHROMIUM: Tool = Tool {
    name: "Chromium",
    version: "chromium --version && chromedriver --version",
    install: apt_install!("chromium chromium-driver"),
    as_root: true,
};

/// Brings axe-core, which looks for what hinders users in the page.
pub(crate) const NPM: Tool = Tool {
    name: "npm",
    version: "npm --version",
    install: apt_install!("npm"),
    as_root: true,
};

/// Runs the receiver in Node.
pub(crate) const NODE: Tool = Tool {
    name: "Node",
    version: "node --version",
    install: apt_install!("nodejs"),
    as_root: true,
};

/// Builds the receiver in Go, which needs the standard library alone.
pub(crate) const GO: Tool = Tool {
    name: "Go",
    version: "go version",
    install: apt_install!("golang-go"),
    as_root: true,
};

/// Installed without a cluster of its own, whose server would run: each test starts one. The setting
/// for this is read when the package is installed, from a folder that may not be there yet.
pub(crate) const POSTGRES: Tool = Tool {
    name: "PostgreSQL",
    version: "command -v initdb || ls /usr/lib/postgresql/*/bin/initdb",
    install: concat!(
        "config=/etc/postgresql-common/createcluster.d/webhook-ci.conf; \
         mkdir -p ${config%/*}; trap \"rm -f $config\" EXIT; \
         echo 'create_main_cluster = false' > $config; ",
        apt_install!("postgresql")
    ),
    as_root: true,
};

/// Installed without starting its services: the test starts its own.
pub(crate) const SLURM: Tool = Tool {
    name: "Slurm",
    // `sbatch -V` needs a slurm.conf.
    version: "munged --version && slurmctld -V && slurmd -V && command -v sbatch \
              && ls /usr/lib/*/slurm-wlm/jobcomp_elasticsearch.so",
    install: concat!(
        "policy=/usr/sbin/policy-rc.d; \
         [ -e $policy ] || { trap \"rm -f $policy\" EXIT; printf '#!/bin/sh\\nexit 101\\n' > $policy; \
         chmod 755 $policy; }; ",
        apt_install!(
            "munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins slurm-wlm-elasticsearch-plugin"
        )
    ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// Runs the command with an `apt-get` that fails so many times to install. Returns whether it
    /// succeeded, and what it was asked for.
    fn run(install: &str, failures: usize) -> (bool, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let (program, calls) = (folder.path().join("apt-get"), folder.path().join("calls"));
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> '{calls}'\n\
             [ $1 = update ] || [ $(grep -c ^install '{calls}') -gt {failures} ]\n",
            calls = calls.display()
        );
        fs::write(&program, script).expect("a script");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&program, executable).expect("it is ours");
        let path = std::env::var("PATH").expect("a path");
        let path = format!("{}:{path}", folder.path().display());
        let succeeded = succeeds(shell(install).env("PATH", path));
        let calls = fs::read_to_string(&calls).expect("it was called");
        (succeeded, calls.lines().map(str::to_owned).collect())
    }

    #[test]
    fn packages_come_without_recommended_ones_and_their_list_is_fetched_after_a_failure() {
        let install = "install -qy --no-install-recommends buildah runc";
        let repeated = [install, "update -q", install].map(str::to_owned).to_vec();
        assert_eq!(run(BUILDAH.install, 0), (true, vec![install.to_owned()]));
        assert_eq!(run(BUILDAH.install, 1), (true, repeated.clone()));
        assert_eq!(run(BUILDAH.install, 2), (false, repeated));
    }
}
