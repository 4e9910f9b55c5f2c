//! Checks that payloads are written back as read, and that their hashes are right.
//!
//! ```text
//! cargo run --example verify-hashes -p webhook-model -- FILE.ndjson
//! ```
//!
//! A line is a payload, or an object with a text `payload` and what is known about the JVM that
//! wrote it: `release`, `identity` (a map from `Resource.RAM_MB` and so on to numbers),
//! `hashes_called` (`none`, `task_config` or `all`), and the results of `hashCode()` afterwards:
//! `task_config_hash` and `scheduled_task_hash`. If the release or the identities are not given,
//! they are recovered from the payload's hashes as far as possible.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::process::ExitCode;
use webhook_model::{Asked, IdentityHashes, Jvm, Release, TaskStateChange, Unhashable};

#[derive(Default, Deserialize)]
struct Case {
    payload: String,
    release: Option<String>,
    hashes_called: Option<String>,
    identity: Option<BTreeMap<String, i32>>,
    task_config_hash: Option<i32>,
    scheduled_task_hash: Option<i32>,
}

/// The counts over all lines.
#[derive(Default)]
struct Tally {
    payloads: usize,
    hashes: usize,
    wrong: usize,
    unchecked: usize,
}

/// What is wrong with one line.
type Faults = Vec<String>;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        return fail("usage: verify-hashes FILE.ndjson");
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return fail(&format!("{}: {error}", path.display())),
    };
    match check_lines(BufReader::new(file), &mut io::stdout().lock()) {
        Ok(tally) if tally.wrong == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => fail(&format!("{}: {error}", path.display())),
    }
}

fn fail(message: &str) -> ExitCode {
    // If standard error is closed, only the exit code reports the result.
    drop(writeln!(io::stderr(), "{message}"));
    ExitCode::FAILURE
}

fn check_lines(lines: impl BufRead, out: &mut impl Write) -> io::Result<Tally> {
    let mut tally = Tally::default();
    for (index, line) in lines.split(b'\n').enumerate() {
        let line = line?;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        tally.payloads += 1;
        for fault in check_line(line, &mut tally) {
            tally.wrong += 1;
            writeln!(out, "line {}: {fault}", index + 1)?;
        }
    }
    let Tally {
        payloads,
        hashes,
        wrong,
        unchecked,
    } = tally;
    writeln!(out, "{payloads} payloads, {hashes} hashes, {wrong} wrong")?;
    if unchecked > 0 {
        writeln!(
            out,
            "{unchecked} hashes not checked: an identity in them is not known"
        )?;
    }
    Ok(tally)
}

fn check_line(line: &[u8], tally: &mut Tally) -> Faults {
    match serde_json::from_slice::<Case>(line) {
        Ok(case) => match check_case(&case, tally) {
            Ok(faults) => faults,
            Err(fault) => vec![fault],
        },
        Err(error) if holds_a_payload(line) => vec![format!("no such case: {error}")],
        Err(_) => match check_bytes(line) {
            Ok((change, mut faults)) => {
                let jvm = Jvm::recover(&change);
                faults.extend(check_hashes(&change, &jvm, Asked::Unknown, tally));
                faults
            }
            Err(fault) => vec![fault],
        },
    }
}

/// Whether the line is meant to be a case although it cannot be read.
fn holds_a_payload(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct AnyCase {
        #[serde(rename = "payload")]
        _payload: serde::de::IgnoredAny,
    }
    serde_json::from_slice::<AnyCase>(line).is_ok()
}

fn check_case(case: &Case, tally: &mut Tally) -> Result<Faults, String> {
    let (change, mut faults) = check_bytes(case.payload.as_bytes())?;
    let release = match &case.release {
        None => None,
        Some(name) => Some(Release::from_name(name).ok_or_else(|| format!("no release {name:?}"))?),
    };
    let jvm = match (release, &case.identity) {
        (Some(release), Some(identity)) => {
            let identities: IdentityHashes =
                identity.iter().map(|(name, id)| (name, *id)).collect();
            Jvm::new(release, identities)
        }
        (Some(release), None) => Jvm::recover_in(&change, release),
        (None, Some(identity)) => {
            let release = Jvm::recover(&change).release();
            Jvm::new(
                release,
                identity.iter().map(|(name, id)| (name, *id)).collect(),
            )
        }
        (None, None) => Jvm::recover(&change),
    };
    let asked = match case.hashes_called.as_deref() {
        Some("none") => Asked::Nobody,
        Some("task_config") => Asked::TaskConfig,
        Some("all") => Asked::ScheduledTask,
        _ => Asked::Unknown,
    };
    faults.extend(check_hashes(&change, &jvm, asked, tally));

    let asked_later = change.rebuilt(&jvm);
    let task = asked_later.task();
    let config = task.and_then(|task| task.assigned_task()?.task());
    let config_hash = config.map(|config| config.hash_code_in(&jvm));
    let task_hash = task.map(|task| task.hash_code_in(&jvm));
    let named = [
        ("task_config_hash", case.task_config_hash, config_hash),
        ("scheduled_task_hash", case.scheduled_task_hash, task_hash),
    ];
    for (name, expected, computed) in named {
        faults.extend(compare(name, expected, computed, tally));
    }
    Ok(faults)
}

fn compare(
    name: &str,
    expected: Option<i32>,
    computed: Option<Result<i32, Unhashable>>,
    tally: &mut Tally,
) -> Option<String> {
    let expected = expected?;
    // The hash of null is 0.
    let Ok(computed) = computed.unwrap_or(Ok(0)) else {
        tally.unchecked += 1;
        return None;
    };
    tally.hashes += 1;
    (computed != expected).then(|| format!("{name}: expected {expected}, got {computed}"))
}

/// Reads a payload and checks that it is written back unchanged.
fn check_bytes(payload: &[u8]) -> Result<(TaskStateChange, Faults), String> {
    let change = TaskStateChange::read(payload).map_err(|error| error.to_string())?;
    let written = change.to_json().map_err(|error| error.to_string())?;
    let mut faults = Vec::new();
    if written != payload {
        let same = written
            .iter()
            .zip(payload)
            .take_while(|(a, b)| a == b)
            .count();
        let near = |bytes: &[u8]| {
            let end = bytes.len().min(same + 30);
            String::from_utf8_lossy(bytes.get(same.saturating_sub(30)..end).unwrap_or_default())
                .into_owned()
        };
        let (expected, got) = (near(payload), near(&written));
        faults.push(format!(
            "bytes differ from {same} on: expected …{expected}…, got …{got}…"
        ));
    }
    Ok((change, faults))
}

fn check_hashes(change: &TaskStateChange, jvm: &Jvm, asked: Asked, tally: &mut Tally) -> Faults {
    let report = change.verify_hashes_asked(jvm, asked);
    tally.hashes += report.checked;
    tally.unchecked += report.unchecked.len();
    let describe = |wrong: &webhook_model::WrongHash| {
        let (path, expected, found) = (&wrong.path, wrong.expected, wrong.found);
        format!("{path}.cachedHashCode: expected {expected}, got {found}")
    };
    report.wrong.iter().map(describe).collect()
}
