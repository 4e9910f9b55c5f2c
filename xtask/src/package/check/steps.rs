//! The steps of the manual, done in a root.

use super::root::Root;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::process::Stdio;
use std::time::Instant;
use testkit::{DEADLINE, Transcript, transcripts};

/// A part of `docs/operations.md`, and the addresses that stand for those that are written there.
pub(super) struct Manual<'a> {
    section: String,
    places: BTreeMap<&'static str, String>,
    root: &'a Root,
}

impl<'a> Manual<'a> {
    /// # Errors
    /// The manual has no section of this name, or too few ports are free.
    pub(super) fn new(
        heading: &str,
        places: [(&'static str, String); 3],
        root: &'a Root,
    ) -> Result<Manual<'a>> {
        let path = crate::workspace::root().join("docs/operations.md");
        let text = std::fs::read_to_string(path).context("docs/operations.md")?;
        let heading = format!("\n{heading}\n");
        let section = text.split_once(&heading).map(|(_, rest)| rest);
        let section = section.with_context(|| format!("the manual has no {heading:?}"))?;
        let end = section.find("\n##").unwrap_or(section.len());
        Ok(Manual {
            section: section[..end].to_owned(),
            places: places.into(),
            root,
        })
    }

    /// Types each command of the section, and compares what it prints with what is written. Returns how
    /// many commands these were.
    ///
    /// # Errors
    /// A command fails or prints something else.
    pub(super) fn follow(&self) -> Result<usize> {
        let commands = transcripts(&self.section);
        for transcript in &commands {
            self.run(transcript)?;
        }
        Ok(commands.len())
    }

    /// Commands that only look are run until they print what is written.
    fn run(&self, transcript: &Transcript) -> Result<()> {
        let mut command = transcript.command.clone();
        for (written, real) in &self.places {
            command = command.replace(written, real);
        }
        let looks = ["cat ", "grep ", "webhookd ready", "tail "];
        let only_looks = looks.iter().any(|look| command.starts_with(look));
        let start = Instant::now();
        loop {
            let outcome = self.run_once(&command, transcript);
            if outcome.is_ok() || !only_looks || start.elapsed() > DEADLINE {
                return outcome.with_context(|| format!("$ {command}"));
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    fn run_once(&self, command: &str, transcript: &Transcript) -> Result<()> {
        // Programs that go on in the background keep the files open, so they are no pipes.
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let (out, errors) = (folder.path().join("out"), folder.path().join("errors"));
        let status = self
            .root
            .shell(command)
            .stdin(Stdio::null())
            .stdout(File::create(&out).context("a file for the output")?)
            .stderr(File::create(&errors).context("a file for the output")?)
            .status()
            .context("cannot start chroot")?;
        let read = |path| std::fs::read(path).map(|it| String::from_utf8_lossy(&it).into_owned());
        let (out, errors) = (
            read(&out).context("output")?,
            read(&errors).context("output")?,
        );
        ensure!(status.success(), "failed ({status})\n{out}{errors}");
        // What apt prints is its own.
        if !transcript.output.is_empty()
            && let Err(difference) = transcript.compare(&out)
        {
            bail!("{difference}\n{errors}");
        }
        Ok(())
    }
}
