//! Reading a queue in a process of its own, which damage may end.

use anyhow::{Context, Result, bail};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

/// What ends a program that follows a damaged page: SIGABRT, SIGBUS and SIGSEGV.
const DAMAGE: [(i32, &str); 3] = [(6, "SIGABRT"), (7, "SIGBUS"), (11, "SIGSEGV")];

/// Runs `webhookd queue verify` once more, as a child that prints for this process.
///
/// The pages that LMDB finds records by have no checksums. A damaged one may lead it out of the
/// file, and the system ends who reads there.
pub(super) fn verify(dir: &Path) -> Result<ExitCode> {
    let program = std::env::current_exe().context("cannot tell where webhookd itself is")?;
    let status = Command::new(program)
        .args(["queue", "verify", "--in-process", "--queue"])
        .arg(dir)
        .status()
        .context("cannot start the process that reads the queue")?;
    judge(status, dir)
}

fn judge(status: ExitStatus, dir: &Path) -> Result<ExitCode> {
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
        None => bail!("signal {signal} ended it before all was read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_damage_causes_is_told_as_damage_and_others_are_not() {
        let told =
            |raw| judge(ExitStatus::from_raw(raw), Path::new("q")).map_err(|e| e.to_string());
        for signal in [6, 7, 11, 7 | 0x80] {
            assert!(told(signal).unwrap_err().contains("pages in q are damaged"));
        }
        assert_eq!(
            told(15).unwrap_err(),
            "signal 15 ended it before all was read"
        );
        assert_eq!(told(1 << 8), Ok(ExitCode::FAILURE));
    }
}
