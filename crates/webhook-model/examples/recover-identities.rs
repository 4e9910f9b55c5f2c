//! Recovers the identity hashes of the JVM that wrote a payload from the hashes in it.
//!
//! ```text
//! cargo run --example recover-identities -p webhook-model
//! cargo run --example recover-identities -p webhook-model -- PAYLOAD.json
//! ```
//!
//! Without a file, it uses the payload in Aurora's documentation.

use std::io::{self, Write};
use webhook_model::{Jvm, TaskStateChange};

const SAMPLE: &[u8] = include_bytes!("../tests/data/sample-exact.json");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let payload = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => SAMPLE.to_vec(),
    };
    let change = TaskStateChange::read(&payload)?;
    let jvm = Jvm::recover(&change);
    let mut out = io::stdout().lock();
    writeln!(out, "written by a scheduler of release {}", jvm.release())?;
    for (constant, identity) in jvm.identities().entries() {
        writeln!(out, "{constant:24} {identity:>11}")?;
    }
    let report = change.verify_hashes(&jvm);
    writeln!(
        out,
        "{} hashes checked, {} wrong",
        report.checked,
        report.wrong.len()
    )?;
    for wrong in &report.wrong {
        writeln!(out, "{wrong}")?;
    }
    for (path, reason) in &report.unchecked {
        writeln!(out, "{path} not checked: {reason}")?;
    }
    Ok(())
}
