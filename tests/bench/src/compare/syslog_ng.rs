//! syslog-ng: reads the same file, and posts each line through its `http()` destination.

use super::session::Session;
use crate::machine::version;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::Launch;

/// Where packages put it when it is not on the path.
const PLACES: &[&str] = &[
    "syslog-ng",
    "/usr/sbin/syslog-ng",
    "/usr/local/sbin/syslog-ng",
];

pub(crate) fn program() -> Option<(PathBuf, String)> {
    PLACES.iter().find_map(|place| {
        let version = version(place, "--version")?;
        Some((PathBuf::from(place), version))
    })
}

/// Why it cannot be measured here, if so.
pub(super) fn missing() -> Option<String> {
    let Some((program, _)) = program() else {
        return Some("syslog-ng is not installed".to_owned());
    };
    let modules = Command::new(program).arg("--module-registry").output();
    let http = modules.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("http"));
    (!http).then(|| "this syslog-ng has no http() destination".to_owned())
}

/// Tuned for this: a worker for each connection, nothing parsed, a message a request as webhookd
/// sends it, large fetches and windows, and flow control so that nothing is dropped.
pub(super) fn launch(
    session: &Session,
    folder: &Path,
    events: &Path,
    disk: bool,
) -> Result<Launch> {
    let (program, _) = program().context("syslog-ng is not installed")?;
    let at = |name: &str| folder.join(name);
    let buffer = if disk {
        format!(
            "disk-buffer(reliable(yes) mem-buf-size(268435456) disk-buf-size(8589934592) \
             dir(\"{}\"))",
            folder.display()
        )
    } else {
        String::new()
    };
    let config = format!(
        "@version: 3.35\n\
         options {{ stats-freq(0); threaded(yes); log-fifo-size(200000); log-msg-size(2097152); }};\n\
         source s {{ file(\"{}\" flags(no-parse) follow-freq(0.1) log-fetch-limit(1000) \
         log-iw-size(100000)); }};\n\
         destination d {{ http(url(\"{}\") method(\"POST\") \
         headers(\"Content-Type: application/json\") body(\"${{MESSAGE}}\") workers({}) \
         batch-lines(1) timeout(10) persist-name(\"bench\") {buffer}); }};\n\
         log {{ source(s); destination(d); flags(flow-control); }};\n",
        events.display(),
        session.receiver.url,
        session.threads,
    );
    std::fs::write(at("syslog-ng.conf"), config)
        .context("cannot write syslog-ng's configuration")?;
    let mut launch = Launch::of(program).args(["-F", "--no-caps"]);
    for (option, name) in [
        ("-f", "syslog-ng.conf"),
        ("-R", "persist"),
        ("-p", "pid"),
        ("-c", "ctl"),
    ] {
        launch = launch.arg(option).arg(at(name));
    }
    Ok(launch
        .current_dir(folder)
        .input(Stdio::null())
        .output(Stdio::null()))
}
