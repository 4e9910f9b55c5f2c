//! Verifies a queue in a child process, which damage may end.

use crate::notify;
use crate::signals::Signals;
use anyhow::{Context, Result, bail};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;
use webhook_queue::{QueueError, was_left_open};

/// The most findings in the error of a damaged queue.
const FINDINGS: usize = 4;

/// How often it is checked whether the process that verifies has ended.
const STEP: Duration = Duration::from_millis(50);

/// The signals that end a process when it follows a damaged page.
const DAMAGE: [(i32, &str); 3] = [(6, "SIGABRT"), (7, "SIGBUS"), (11, "SIGSEGV")];

/// Runs `webhookd queue verify` again, as a child process that prints the findings.
///
/// LMDB's index pages have no checksums. A damaged one may point outside the file, and the system
/// ends a process that reads there.
pub(super) fn verify(dir: &Path) -> Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find webhookd's own executable")?;
    let status = Command::new(program)
        .args(["queue", "verify", "--in-process", "--queue"])
        .arg(dir)
        .status()
        .context("cannot start the process that reads the queue")?;
    result_of(status, dir)
}

/// Verifies the tables of a queue that the last process did not close, before it is opened: a damaged
/// page may have ended that process. A million events take about a second. A signal ends it.
///
/// # Errors
/// [`QueueError::Corrupt`]: the queue is damaged.
pub(crate) fn check_unclosed(dir: &Path, signals: &Signals) -> Result<()> {
    if !was_left_open(dir) {
        return Ok(());
    }
    match verify_apart(dir, signals) {
        Ok(None) => Ok(()),
        Ok(Some(detail)) => {
            let path = dir.to_owned();
            Err(QueueError::Corrupt { path, detail }.into())
        }
        Err(error) => {
            tracing::warn!("the queue that was not closed cannot be verified: {error}");
            Ok(())
        }
    }
}

/// Runs [`verify_tables`] in a child process. Returns the damage, if it finds any.
fn verify_apart(dir: &Path, signals: &Signals) -> io::Result<Option<String>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["queue", "verify", "--in-process", "--tables-only"])
        .arg("--queue")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // What it writes fits the pipe.
    while child.try_wait()?.is_none() {
        notify::starting(STEP * 100);
        if signals.pause(STEP) {
            child.kill()?;
        }
    }
    let ended = child.wait_with_output()?;
    Ok(match (ended.status.code(), ended.status.signal()) {
        (Some(1), _) => {
            let text = String::from_utf8_lossy(&ended.stdout);
            Some(text.lines().collect::<Vec<_>>().join("; "))
        }
        (None, Some(signal)) if DAMAGE.iter().any(|(number, _)| *number == signal) => {
            Some(format!("reading its tables ended in signal {signal}"))
        }
        // Another program has the queue open, or it cannot be opened: so says the opening that follows.
        _ => None,
    })
}

/// Verifies the tables of a queue in this process, and prints the first damage.
pub(super) fn verify_tables(dir: &Path, out: &mut impl Write) -> Result<ExitCode> {
    let found = webhook_queue::verify_tables(dir)?;
    for finding in found.table_damage.iter().take(FINDINGS) {
        writeln!(out, "{finding}")?;
    }
    Ok(match found.table_damage.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn result_of(status: ExitStatus, dir: &Path) -> Result<ExitCode> {
    if let Some(code) = status.code() {
        return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
    }
    let signal = status.signal().unwrap_or_default();
    match DAMAGE.iter().find(|(number, _)| *number == signal) {
        Some((_, name)) => bail!(
            "the database's pages in {} are damaged: reading them ended in {name}; move the \
             directory away, start with an empty one or a backup, and keep the damaged one for \
             a closer look",
            dir.display()
        ),
        None => bail!("signal {signal} ended the verification"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_caused_by_damage_is_reported_as_damage_and_others_are_not() {
        let told =
            |raw| result_of(ExitStatus::from_raw(raw), Path::new("q")).map_err(|e| e.to_string());
        for signal in [6, 7, 11, 7 | 0x80] {
            assert!(told(signal).unwrap_err().contains("pages in q are damaged"));
        }
        assert_eq!(told(15).unwrap_err(), "signal 15 ended the verification");
        assert_eq!(told(1 << 8), Ok(ExitCode::FAILURE));
    }
}
