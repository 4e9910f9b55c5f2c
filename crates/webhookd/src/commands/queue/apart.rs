//! Verifies a queue in a child process, which damage may end.

use anyhow::{Context, Result, bail};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use webhook_queue::{QueueError, was_left_open};

/// The most findings in the error of a damaged queue.
const FINDINGS: usize = 4;

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
/// page may have ended that process. A million events take about a second.
///
/// # Errors
/// [`QueueError::Corrupt`]: the queue is damaged.
pub(crate) fn check_unclosed(dir: &Path) -> Result<()> {
    if !was_left_open(dir) {
        return Ok(());
    }
    let program = std::env::current_exe().context("cannot find webhookd's own executable")?;
    let ended = Command::new(program)
        .args(["queue", "verify", "--in-process", "--tables-only"])
        .arg("--queue")
        .arg(dir)
        .stdin(Stdio::null())
        .output()
        .context("cannot start the process that reads the queue")?;
    let damaged = |detail: String| {
        let path = dir.to_owned();
        Err(QueueError::Corrupt { path, detail }.into())
    };
    match (ended.status.code(), ended.status.signal()) {
        (Some(1), _) => {
            let text = String::from_utf8_lossy(&ended.stdout);
            // The first line has the counts.
            let findings: Vec<&str> = text.lines().skip(1).take(FINDINGS).collect();
            damaged(findings.join("; "))
        }
        (None, Some(signal)) if DAMAGE.iter().any(|(number, _)| *number == signal) => {
            damaged(format!("reading its tables ended in signal {signal}"))
        }
        // Another program has the queue open, or it cannot be opened: so says the opening that follows.
        _ => Ok(()),
    }
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
