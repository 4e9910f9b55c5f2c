//! Python with packages that share no code with webhookd: verifiers of what it sends, a scheduler.

use crate::Launch;
use crate::packages::{execute, installed};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// What verifies, each in one version, so that a new release breaks no test.
const VERIFIERS: [&str; 2] = ["standardwebhooks==1.1.0", "cloudevents==2.2.0"];

/// The Airflow that the documentation says was tried.
pub const AIRFLOW: &str = "apache-airflow==3.3.2";
/// The Ray that the documentation says was tried.
pub const RAY: &str = "ray[default]==2.60.0";
/// What the receiver in Python needs.
pub const FLASK: &str = "flask==3.1.3";
/// The schemas of Kubernetes and of Prometheus's operator, for the manifests.
pub const KUBERNETES: [&str; 2] = [
    "kubernetes-validate==1.37.0",
    "cloudcoil-models-prometheus-operator==0.80.1.0",
];
/// The fuzzer of the admin API.
pub const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// An environment of Python with packages.
#[derive(Debug)]
pub struct Python(PathBuf);

impl Python {
    /// An environment in the target directory, made on first use, that has these packages.
    ///
    /// # Errors
    ///
    /// There is no Python 3, or no package index that has them.
    pub fn with(packages: &[&str]) -> Result<Python, String> {
        environment(packages).map(Python)
    }

    /// One that has the verifying packages. `None`, and a line on standard error that says why,
    /// where there is no Python 3 or no package index.
    pub fn with_verifiers() -> Option<Python> {
        match Python::with(&VERIFIERS) {
            Ok(python) => Some(python),
            Err(why) => {
                // Shown where the runner shows the output of tests that pass.
                let text = format!("SKIPPED: nothing was verified independently, since {why}");
                drop(writeln!(std::io::stderr(), "{text}"));
                None
            }
        }
    }

    /// Runs a script with this standard input and returns what it printed.
    pub fn run(&self, script: &str, input: impl Into<Vec<u8>>) -> String {
        let python = self.bin().join("python3");
        let ended = Launch::of(python).args(["-c", script]).run(input);
        String::from_utf8(ended.expect_code(0).stdout).expect("it prints text")
    }

    /// The folder of its programs.
    pub fn bin(&self) -> PathBuf {
        self.0.join("bin")
    }
}

fn environment(packages: &[&str]) -> Result<PathBuf, String> {
    let name = packages.join("-").replace("==", "-");
    installed("python", &name, |folder| {
        execute(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        execute(
            Command::new(folder.join("bin/python3"))
                .args("-m pip install --quiet --disable-pip-version-check".split(' '))
                .args(["--no-input", "--timeout", "15", "--retries", "1"])
                .args(packages),
        )
    })
}
