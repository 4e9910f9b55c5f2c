//! Sends a running webhookd requests that schemathesis makes of `docs/openapi.yaml`, valid and not,
//! and fails on an answer of the server's fault or one that the document does not allow.

use crate::tools::Outcome;
use crate::workspace::say;
use anyhow::{Result, bail};
use serde_json::json;
use std::process::{Command, ExitCode};
use testkit::{Admin, Folder, Launch, Python, Receiver, Reply, SCHEMATHESIS, Signal, event};

/// Requests that are drawn for each operation: a number and not a time, so that each operation gets
/// as many on a slow machine.
const EXAMPLES: &str = "50";
/// Of what is drawn, so that a run can be made again.
const SEED: &str = "6";

/// `cargo xtask fuzz-api`.
pub(crate) fn run() -> Result<ExitCode> {
    if let Outcome::LeftOut(why) = check()? {
        bail!(why);
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the fuzzer on each operation of the document.
pub(crate) fn check() -> Result<Outcome> {
    let python = match Python::with(&[SCHEMATHESIS]) {
        Ok(python) => python,
        Err(why) => {
            say(&why);
            return Ok(Outcome::LeftOut("schemathesis cannot be installed"));
        }
    };
    let refuses = Receiver::always(Reply::status(422).body("unknown field"));
    let takes = Receiver::always(Reply::status(200));
    let target =
        |name, url| json!({ "name": name, "targetURL": url, "headers": {}, "timeoutMsec": 30_000 });
    let folder = Folder::new();
    let config = folder.config(&json!({
        "targets": [target("audit", refuses.url()), target("other", takes.url())],
    }));
    let token = folder.write("token", "hush\n");
    let mut process = Launch::with_config(&config)
        .args(["--admin", "0", "--admin-token-file"])
        .arg(token)
        .spawn();
    for number in 0..20 {
        process.write(event(&format!("task-{number}"), number) + "\n");
    }
    let admin = Admin::of(&process);
    let run = Command::new(python.bin().join("schemathesis"))
        .arg("run")
        .arg(testkit::repository("docs/openapi.yaml"))
        .args(["--url", admin.url().trim_end_matches('/')])
        .args(["--header", "Authorization: Bearer hush"])
        .args(["--seed", SEED, "--max-examples", EXAMPLES])
        // The schemas do not tell which patterns, times and cursors are valid: 400 is right. No POST
        // creates what a GET would find.
        .args([
            "--exclude-checks",
            "positive_data_acceptance,ensure_resource_availability",
        ])
        // How long a machine under load takes, and how much of what is drawn is of use.
        .args(["--request-timeout", "60", "--suppress-health-check", "all"])
        .args(["--continue-on-failure", "--no-shrink"])
        .current_dir(folder.path())
        .status()?;
    process.signal(Signal::TERM);
    let ended = process.wait();
    if !run.success() {
        bail!(
            "schemathesis found what is above; webhookd said:\n{}",
            ended.stderr
        );
    }
    if ended.stderr.contains("panicked") {
        bail!("webhookd panicked:\n{}", ended.stderr);
    }
    Ok(Outcome::Passed)
}
