//! What every package contains: the program without debugging information, and what it writes about
//! itself.

use super::{copy, emptied, folder, make, succeed};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with the program, its man pages and its completions.
#[derive(Debug)]
pub(super) struct Content(PathBuf);

impl Content {
    /// Writes `target/package/content`.
    ///
    /// # Errors
    /// It cannot be written, or the program does not run.
    pub(super) fn write(binary: &Path) -> Result<Content> {
        let folder = folder().join("content");
        emptied(&folder)?;
        let content = Content(folder);
        let program = content.program();
        copy(binary, &program)?;
        succeed(Command::new("strip").arg(&program))?;
        let pages = content.folder().join("man");
        succeed(Command::new(&program).arg("man").arg("--out").arg(pages))?;
        let completions = content.folder().join("completions");
        make(&completions)?;
        for (shell, file) in [
            ("bash", "webhookd.bash"),
            ("zsh", "_webhookd"),
            ("fish", "webhookd.fish"),
        ] {
            let script = succeed(Command::new(&program).args(["completions", shell]))?;
            std::fs::write(completions.join(file), script)
                .with_context(|| format!("cannot write {file}"))?;
        }
        Ok(content)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    pub(super) fn program(&self) -> PathBuf {
        self.0.join("webhookd")
    }

    /// The version that the program prints.
    pub(super) fn version(&self) -> Result<String> {
        let printed = succeed(Command::new(self.program()).arg("--version"))?;
        let version = printed.trim().strip_prefix("webhookd ");
        Ok(version.context("webhookd --version")?.to_owned())
    }

    /// The C library that the program needs, in words.
    pub(super) fn needs(&self) -> Result<String> {
        let symbols = Command::new("objdump")
            .arg("-T")
            .arg(self.program())
            .output();
        let symbols = symbols.context("cannot start objdump")?;
        let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
        let versions = symbols.split(|it: char| it == '(' || it == ')' || it.is_whitespace());
        let versions = versions.filter_map(|word| word.strip_prefix("GLIBC_"));
        let newest = versions.max_by_key(|version| {
            let numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
            numbers.collect::<Vec<u32>>()
        });
        let newest = newest.context("the program uses no function of glibc")?;
        Ok(format!("needs glibc {newest} or later"))
    }
}
