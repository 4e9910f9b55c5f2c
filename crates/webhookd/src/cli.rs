//! The command line: which command, and Aurora's spelling of its one option.

use crate::commands;
use crate::console::complain;
use crate::exit::UNUSABLE;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// Deliver a scheduler's task state changes to webhooks.
///
/// webhookd reads events (JSON as Apache Aurora's webhook sends it, one document a line) and POSTs
/// each, byte for byte, to the targets of a webhook.json: Aurora's own file works as it is. What
/// it accepts for a reliable target it keeps on disk until it is delivered, in order for each
/// task, however often either side is restarted.
#[derive(Parser)]
#[command(
    name = "webhookd",
    version,
    arg_required_else_help = true,
    after_help = "Try it: run `webhookd receive` in one terminal, and in another\n  \
                  webhookd -webhook_config=webhook.json < events.ndjson\n\
                  The command `run` may be left out, and -webhook_config is spelt as in Aurora."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(commands::run::RunArgs),
    Check(commands::check::CheckArgs),
    Config(commands::config_show::ConfigArgs),
    Schema(commands::schema::SchemaArgs),
    Receive(commands::receive::ReceiveArgs),
    Queue(commands::queue::QueueArgs),
    DeadLetters(commands::dead_letters::DeadLettersArgs),
    Targets(commands::targets::TargetsArgs),
    Reload(commands::reload::ReloadArgs),
    Ready(commands::ready::ReadyArgs),
    Top(commands::top::TopArgs),
    Send(commands::send::SendArgs),
    Completions(commands::completions::CompletionsArgs),
    Man(commands::man::ManArgs),
}

pub(crate) fn main() -> ExitCode {
    let args = normalize(std::env::args_os().collect());
    let matches = match Cli::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return told(&error),
    };
    let command = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command,
        Err(error) => return told(&error),
    };
    let ended = match command {
        Command::Run(args) => commands::run::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Config(args) => commands::config_show::run(args),
        Command::Schema(args) => commands::schema::run(args),
        Command::Receive(args) => commands::receive::run(args),
        Command::Queue(args) => commands::queue::run(args),
        Command::DeadLetters(args) => commands::dead_letters::run(args),
        Command::Targets(args) => commands::targets::run(args),
        Command::Reload(args) => commands::reload::run(args),
        Command::Ready(args) => commands::ready::run(args),
        Command::Top(args) => commands::top::run(args),
        Command::Send(args) => commands::send::run(args),
        Command::Completions(args) => commands::completions::run(args, Cli::command()),
        Command::Man(args) => commands::man::run(&args, Cli::command()),
    };
    ended.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::from(UNUSABLE)
    })
}

/// Prints clap's error, or the help that was asked for.
fn told(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told that nobody can be told.
    drop(error.print());
    if error.use_stderr() {
        ExitCode::from(UNUSABLE)
    } else {
        ExitCode::SUCCESS
    }
}

/// Puts in the `run` that may be left out, and spells `-webhook_config` as clap wants it.
fn normalize(mut args: Vec<OsString>) -> Vec<OsString> {
    for arg in args.iter_mut().skip(1) {
        if arg == "--" {
            break;
        }
        if let Some(respelt) = respell(arg) {
            *arg = respelt;
        }
    }
    let names_no_command = args.get(1).is_some_and(|first| {
        let first = first.to_string_lossy();
        first.starts_with('-') && !matches!(&*first, "-h" | "--help" | "-V" | "--version")
    });
    if names_no_command {
        args.insert(1, OsString::from("run"));
    }
    args
}

/// `-webhook_config`, `-webhook_config=PATH` and the same with two dashes.
fn respell(arg: &OsStr) -> Option<OsString> {
    let bytes = arg.as_encoded_bytes();
    let rest = bytes
        .strip_prefix(b"--webhook_config")
        .or_else(|| bytes.strip_prefix(b"-webhook_config"))?;
    if !rest.is_empty() && rest[0] != b'=' {
        return None;
    }
    let mut respelt = OsString::from("--webhook-config");
    if !rest.is_empty() {
        respelt.push("=");
        let path = arg.to_os_string();
        respelt.push(tail(&path, bytes.len() - rest.len() + 1));
    }
    Some(respelt)
}

/// What follows the first `from` bytes, which are ASCII.
fn tail(text: &OsStr, from: usize) -> OsString {
    use std::os::unix::ffi::OsStrExt;
    OsStr::from_bytes(&text.as_bytes()[from..]).to_os_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], expected: &[&str]) {
        let all = |args: &[&str]| {
            std::iter::once("webhookd")
                .chain(args.iter().copied())
                .map(OsString::from)
                .collect::<Vec<_>>()
        };
        assert_eq!(normalize(all(args)), all(expected));
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn aurora_spells_it_its_own_way() {
        check(&["-webhook_config=a b"], &["run", "--webhook-config=a b"]);
        check(&["-webhook_config", "f"], &["run", "--webhook-config", "f"]);
        check(
            &["run", "--webhook_config=f"],
            &["run", "--webhook-config=f"],
        );
        check(&["-webhook_configs=f"], &["run", "-webhook_configs=f"]);
        check(&["-webhook_config="], &["run", "--webhook-config="]);
    }

    #[test]
    fn run_is_put_in_only_where_it_is_left_out() {
        check(&["--help"], &["--help"]);
        check(&["receive", "--listen", "x"], &["receive", "--listen", "x"]);
        check(&["--events", "-"], &["run", "--events", "-"]);
        check(&[], &[]);
    }

    #[test]
    fn what_follows_two_dashes_is_left_alone() {
        check(
            &["run", "--", "-webhook_config=f"],
            &["run", "--", "-webhook_config=f"],
        );
    }
}
