//! Where the program under test is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The `webhookd` binary: the one that the environment variable `WEBHOOKD_BINARY` names, else
/// the one that cargo builds from this workspace, once in this process.
///
/// # Panics
///
/// When it does not build.
pub fn webhookd() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        std::env::var_os("WEBHOOKD_BINARY").map_or_else(build, |path| {
            std::path::absolute(path).expect("the working directory is known")
        })
    })
}

/// Cargo knows whether there is anything to build, and where it puts it.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    let output = Command::new(cargo)
        .args(["build", "--package", "webhookd", "--profile", profile])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(crate::repository(""))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "webhookd does not build");
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "webhookd")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the executable that it has built")
}
