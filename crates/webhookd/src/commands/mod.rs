//! The subcommands, one per file.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config_show;
pub(crate) mod dead_letters;
pub(crate) mod man;
mod output_format;
pub(crate) mod queue;
mod queue_selector;
pub(crate) mod ready;
pub(crate) mod receive;
pub(crate) mod reload;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod send;
pub(crate) mod targets;
pub(crate) mod top;

use crate::log;
use std::io::IsTerminal;
use webhook_config::Diagnostics;

/// Whether to print in colour: on a terminal, unless NO_COLOR is set.
fn has_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

/// Prints the problems of a configuration, if there are any.
fn print_diagnostics(diagnostics: &Diagnostics) {
    if diagnostics.is_empty() {
        return;
    }
    let text = diagnostics.render(std::io::stderr().is_terminal());
    log::print(&format!("{}\n", text.trim_end()));
}
