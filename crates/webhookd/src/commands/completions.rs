//! `webhookd completions`: what a shell needs to complete the command line.

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;
use std::io::Write;
use std::process::ExitCode;

/// Print a shell's completions of this command line
///
/// For bash: webhookd completions bash > /etc/bash_completion.d/webhookd
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: CompletionsArgs, mut command: Command) -> anyhow::Result<ExitCode> {
    // Into memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "webhookd", &mut script);
    let mut out = std::io::stdout().lock();
    out.write_all(&script)
        .and_then(|()| out.flush())
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
