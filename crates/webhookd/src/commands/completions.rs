//! `webhookd completions`: scripts with which a shell completes the command line.

use crate::console::write_out;
use clap::Command;
use clap_complete::Shell;
use std::process::ExitCode;

/// Print a completion script for a shell
///
/// For bash: webhookd completions bash > /etc/bash_completion.d/webhookd
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: CompletionsArgs, mut command: Command) -> anyhow::Result<ExitCode> {
    // Into memory first, since the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "webhookd", &mut script);
    write_out(&script)?;
    Ok(ExitCode::SUCCESS)
}
