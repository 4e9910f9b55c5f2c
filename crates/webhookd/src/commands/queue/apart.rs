//! Verifies a queue in a child process, which damage may end.

use anyhow::{Context, Result, bail};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

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
