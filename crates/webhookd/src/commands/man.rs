//! `webhookd man`: man pages, generated from the command line.

use crate::console::write_out;
use anyhow::Context;
use clap::Command;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write man pages: one for webhookd, one for each command
///
/// To read one: man -l DIR/webhookd-run.1
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The directory to write to, which is created if necessary
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(args: &ManArgs, command: Command) -> anyhow::Result<ExitCode> {
    let folder = &args.out;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the directory {}", folder.display()))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let written = write_pages(&command, folder)?;
    let folder = folder.display();
    write_out(format!("{written} man pages written to {folder}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages of a command and of its subcommands. Returns their number.
fn write_pages(command: &Command, folder: &std::path::Path) -> anyhow::Result<usize> {
    // Once built, a subcommand knows its whole name, such as webhookd-queue-stats.
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = folder.join(format!("{name}.1"));
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .source(concat!("webhookd ", env!("CARGO_PKG_VERSION")))
        .manual("webhookd")
        .render(&mut page)
        .and_then(|()| std::fs::write(&path, &page))
        .with_context(|| format!("cannot write {}", path.display()))?;
    let mut written = 1;
    for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        written += write_pages(below, folder)?;
    }
    Ok(written)
}
