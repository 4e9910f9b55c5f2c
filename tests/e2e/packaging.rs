//! What is installed beside the binary: man pages, completions, the systemd units.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use testkit::{Folder, Launch, repository, webhookd};

/// Runs a tool; `None`, and a line that says so, where it is not installed.
pub(crate) fn tool<S: AsRef<OsStr>>(
    name: &str,
    args: impl IntoIterator<Item = S>,
) -> Option<Output> {
    let output = Command::new(name).args(args).stdin(Stdio::null()).output();
    match output {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Past the capturing of passed tests: who reads the log must see it.
            use std::io::Write;
            drop(writeln!(
                std::io::stderr().lock(),
                "SKIPPED: {name} is not installed"
            ));
            None
        }
        Err(error) => panic!("{name} does not start: {error}"),
    }
}

/// Standard output, then standard error.
pub(crate) fn said(output: &Output) -> String {
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    said
}

/// Names of commands, with their parents', that `--help` tells of.
fn commands(path: &[&str], found: &mut BTreeSet<String>) {
    let mut name = vec!["webhookd"];
    name.extend(path);
    found.insert(name.join("-"));
    let help = Launch::new()
        .args(path)
        .arg("--help")
        .run("")
        .expect_code(0);
    let help = String::from_utf8(help.stdout).expect("it prints text");
    let Some((_, listed)) = help.split_once("\nCommands:\n") else {
        return;
    };
    for line in listed.lines().take_while(|line| line.starts_with("  ")) {
        let Some(below) = line.split_whitespace().next() else {
            break;
        };
        if line.starts_with("   ") || below == "help" {
            continue;
        }
        let mut path = path.to_vec();
        path.push(below);
        commands(&path, found);
    }
}

#[test]
fn each_command_has_a_man_page_that_man_takes() {
    let folder = Folder::new();
    let out = folder.path().join("man/man1");
    let _ended = Launch::new()
        .arg("man")
        .arg("--out")
        .arg(&out)
        .run("")
        .expect_code(0);
    let pages: BTreeSet<String> = std::fs::read_dir(&out)
        .expect("the folder was made")
        .map(|entry| {
            entry
                .expect("it can be listed")
                .file_name()
                .into_string()
                .unwrap()
        })
        .collect();
    let mut expected = BTreeSet::new();
    commands(&[], &mut expected);
    assert!(
        expected.contains("webhookd-dead-letters-replay"),
        "{expected:?}"
    );
    let expected: BTreeSet<String> = expected.iter().map(|name| format!("{name}.1")).collect();
    assert_eq!(pages, expected);

    let paths = pages.iter().map(|page| out.join(page).into_os_string());
    let Some(shown) = tool(
        "man",
        ["--warnings".into(), "-l".into()].into_iter().chain(paths),
    ) else {
        return;
    };
    assert!(shown.status.success(), "{}", said(&shown));
    assert!(shown.stderr.is_empty(), "{}", said(&shown));
    let text = String::from_utf8_lossy(&shown.stdout);
    assert_eq!(text.matches("SYNOPSIS").count(), pages.len(), "{text}");
}

#[test]
fn the_bash_completion_completes() {
    let folder = Folder::new();
    let ended = Launch::new()
        .args(["completions", "bash"])
        .run("")
        .expect_code(0);
    let script = folder.write("webhookd.bash", ended.stdout);
    let complete = "source \"$1\"; COMP_WORDS=(webhookd dead-letters re); COMP_CWORD=2; \
                    _webhookd webhookd re dead-letters; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let args = ["--norc", "-c", complete, "bash"].map(OsStr::new);
    let Some(output) = tool("bash", args.into_iter().chain([script.as_os_str()])) else {
        return;
    };
    assert_eq!(said(&output), "replay\n");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let ended = Launch::new()
            .args(["completions", shell])
            .run("")
            .expect_code(0);
        let script = String::from_utf8(ended.stdout).expect("it is text");
        assert!(script.contains("dead-letters"), "{shell}");
    }
}

/// The units as they are installed, but for the path of the binary.
fn units(folder: &Folder) -> [PathBuf; 2] {
    ["webhookd.service", "webhookd.socket"].map(|name| {
        let path = repository("docs/packaging").join(name);
        let unit = std::fs::read_to_string(path).expect("the unit can be read");
        let binary = webhookd().to_str().expect("the path is text");
        folder.write(name, unit.replace("/usr/bin/webhookd", binary))
    })
}

#[test]
fn systemd_takes_the_units() {
    let folder = Folder::new();
    let units = units(&folder);
    // Whether the manual is installed here is not the units' fault.
    let args = ["verify", "--man=no", "--recursive-errors=no"].map(OsStr::new);
    let args = args
        .into_iter()
        .chain(units.iter().map(|unit| unit.as_os_str()));
    let Some(output) = tool("systemd-analyze", args) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output), "");
}

#[test]
fn the_service_is_as_well_guarded_as_the_manual_says() {
    let manual = std::fs::read_to_string(repository("docs/operations.md")).expect("it is there");
    let (_, rest) = manual
        .split_once("Overall exposure level for webhookd.service: ")
        .expect("the manual tells the score");
    let told: f64 = rest
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .expect("it is a number");
    assert!(told <= 2.0, "{told}");

    let folder = Folder::new();
    let [service, _] = units(&folder);
    let threshold = format!("--threshold={:.0}", told * 10.0);
    let args = ["security", "--offline=true", "--no-pager", &threshold].map(OsStr::new);
    let Some(output) = tool(
        "systemd-analyze",
        args.into_iter().chain([service.as_os_str()]),
    ) else {
        return;
    };
    assert!(
        output.status.success(),
        "worse than {told}: {}",
        said(&output)
    );
    assert!(
        said(&output).contains(&format!(
            "Overall exposure level for webhookd.service: {told:.1} "
        )),
        "{}",
        said(&output)
    );
}
