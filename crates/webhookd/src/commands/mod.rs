//! One file a subcommand.

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

use std::io::{IsTerminal, Write};
use webhook_config::Diagnostics;

/// Prints what is wrong with a configuration, if anything is.
fn print_diagnostics(diagnostics: &Diagnostics) {
    if diagnostics.is_empty() {
        return;
    }
    let stderr = std::io::stderr();
    let text = diagnostics.render(stderr.is_terminal());
    // Without a standard error there is nowhere to say that it is gone.
    drop(writeln!(stderr.lock(), "{}", text.trim_end()));
}
