//! Python with packages that verify what webhookd sends, and share no code with it.

use crate::Launch;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What is installed, each in one version, so that a new release breaks no test.
const PACKAGES: [&str; 2] = ["standardwebhooks==1.1.0", "cloudevents==2.2.0"];

/// A Python interpreter that has the verifying packages.
#[derive(Debug)]
pub struct Python(PathBuf);

impl Python {
    /// The interpreter of an environment in the target directory, made on first use. `None`, and
    /// a line on standard error that says why, where there is no Python 3 or no package index.
    pub fn with_verifiers() -> Option<Python> {
        match environment() {
            Ok(python) => Some(Python(python)),
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
        let ended = Launch::of(&self.0).args(["-c", script]).run(input);
        String::from_utf8(ended.expect_code(0).stdout).expect("it prints text")
    }
}

fn environment() -> Result<PathBuf, String> {
    let folder = crate::repository("target/verifiers").join(PACKAGES.join("-").replace("==", "-"));
    std::fs::create_dir_all(&folder).expect("the target directory can be written to");
    // Tests run side by side; one of them installs.
    let lock = File::create(folder.join("lock")).expect("the target directory can be written to");
    lock.lock().expect("a file can be locked");
    let complete = folder.join("complete");
    let python = folder.join("bin/python3");
    if complete.exists() {
        return Ok(python);
    }
    execute(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    execute(
        Command::new(&python)
            .args("-m pip install --quiet --disable-pip-version-check".split(' '))
            .args(["--no-input", "--timeout", "15", "--retries", "1"])
            .args(PACKAGES),
    )?;
    File::create(complete).expect("the target directory can be written to");
    Ok(python)
}

/// Runs a command that may fail for want of something on this machine.
fn execute(command: &mut Command) -> Result<(), String> {
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
