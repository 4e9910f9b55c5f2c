//! The command line: its commands, and Aurora's spelling of `-webhook_config`.

use crate::commands;
use crate::console::complain;
use crate::exit::UNUSABLE;
use crate::log;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// Deliver a scheduler's task state changes to webhooks.
///
/// webhookd takes events over HTTP, from files or from streams, and sends each to the targets of a
/// webhook.json, byte for byte unless a target has another format. Events are JSON as Apache Aurora's
/// webhook sends it, unless the file has inputs for other schedulers; Aurora's own file works as it is.
/// An event accepted for a reliable target is kept on disk until it is delivered or becomes a dead
/// letter, in order for each task, across restarts of either side.
#[derive(Parser)]
#[command(
    name = "webhookd",
    version,
    arg_required_else_help = true,
    after_help = "To try it, run `webhookd receive` in one terminal, and in another\n  \
                  webhookd -webhook_config=webhook.json < events.ndjson\n\
                  The command `run` may be omitted, and -webhook_config may be spelled as in Aurora."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(Box<commands::run::RunArgs>),
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
    // A health check knows two statuses.
    let unusable = match args.get(1) {
        Some(command) if command == "ready" => 1,
        _ => UNUSABLE,
    };
    let matches = match Cli::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return print_error(&error, unusable),
    };
    let command = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command,
        Err(error) => return print_error(&error, unusable),
    };
    let ended = match command {
        Command::Run(args) => commands::run::run(*args),
        Command::Check(args) => commands::check::run(args),
        Command::Config(args) => commands::config_show::run(args),
        Command::Schema(args) => commands::schema::run(args),
        Command::Receive(args) => commands::receive::run(args),
        Command::Queue(args) => commands::queue::run(args),
        Command::DeadLetters(args) => commands::dead_letters::run(args),
        Command::Targets(args) => commands::targets::run(args),
        Command::Reload(args) => commands::reload::run(args),
        Command::Ready(args) => Ok(commands::ready::run(&args)),
        Command::Top(args) => commands::top::run(args),
        Command::Send(args) => commands::send::run(args),
        Command::Completions(args) => commands::completions::run(args, Cli::command()),
        Command::Man(args) => commands::man::run(&args, Cli::command()),
    };
    let code = ended.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::from(UNUSABLE)
    });
    log::finish();
    code
}

/// Prints clap's error, or the help that was requested.
fn print_error(error: &clap::Error, unusable: u8) -> ExitCode {
    // Standard error is closed, so its failure cannot be reported.
    drop(error.print());
    if error.use_stderr() {
        ExitCode::from(unusable)
    } else {
        ExitCode::SUCCESS
    }
}

/// Inserts `run` where it is omitted, and spells `-webhook_config` as clap expects it.
fn normalize(mut args: Vec<OsString>) -> Vec<OsString> {
    for arg in args.iter_mut().skip(1) {
        if arg == "--" {
            break;
        }
        if let Some(respelled) = respell(arg) {
            *arg = respelled;
        }
    }
    let has_no_command = args.get(1).is_some_and(|first| {
        let first = first.to_string_lossy();
        first.starts_with('-') && !matches!(&*first, "-h" | "--help" | "-V" | "--version")
    });
    if has_no_command {
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
    let mut respelled = OsString::from("--webhook-config");
    if !rest.is_empty() {
        respelled.push("=");
        let path = arg.to_os_string();
        respelled.push(tail(&path, bytes.len() - rest.len() + 1));
    }
    Some(respelled)
}

/// The text after its first `from` bytes, which are ASCII.
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
    fn clap_accepts_the_command_line() {
        Cli::command().debug_assert();
    }

    #[test]
    fn auroras_spelling_is_understood() {
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
    fn run_is_inserted_only_where_it_is_omitted() {
        check(&["--help"], &["--help"]);
        check(&["receive", "--listen", "x"], &["receive", "--listen", "x"]);
        check(&["--events", "-"], &["run", "--events", "-"]);
        check(&[], &[]);
    }

    #[test]
    fn arguments_after_two_dashes_are_unchanged() {
        check(
            &["run", "--", "-webhook_config=f"],
            &["run", "--", "-webhook_config=f"],
        );
    }
}
