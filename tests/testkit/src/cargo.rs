//! The programs under test, as cargo builds them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The `webhookd` binary: the one that the environment variable `WEBHOOKD_BINARY` names, else
/// the one that cargo builds from this workspace, once in this process.
pub fn webhookd() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let named = std::env::var_os("WEBHOOKD_BINARY");
        let profile = if cfg!(debug_assertions) {
            "dev"
        } else {
            "release"
        };
        named.map_or_else(
            || build("webhookd", profile),
            |path| std::path::absolute(path).expect("the working directory is known"),
        )
    })
}

/// Builds a package of one binary, of the same name, with a cargo profile.
pub fn build(package: &str, profile: &str) -> PathBuf {
    let output = cargo()
        .args([
            "build",
            "--locked",
            "--package",
            package,
            "--profile",
            profile,
        ])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{package} does not build");
    // Cargo knows whether there is anything to build, and where it puts it.
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == package)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the executable that it has built")
}

/// A `cargo` command in the root of the repository.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::repository(""));
    // What cargo says of the package that it runs, this one: a build script that reads it would
    // run again whenever it is built from here and not from a shell.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}
