//! `cargo xtask demo`: the main job, before your eyes.
//!
//! A receiver on a free port, the sample file pointed at it, the fixture stream through
//! `webhookd`; then what arrived is compared with what was sent.

mod comparison;

use anyhow::{Context, Result, ensure};
use comparison::Comparison;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use testkit::{Launch, Receiver, Reply, Summary, fixture};

/// Deliver the sample events to a receiver on this machine, and compare
///
/// Builds webhookd, starts a receiver on a free port, points a copy of the sample webhook.json at
/// it, and runs webhookd over the fixture events. Exits 1, with the differences,
/// unless every body arrived byte for byte and in its task's order.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// The cargo profile to build webhookd with
    #[arg(long, default_value = "release", value_name = "NAME")]
    profile: String,

    /// Deliver the events of this file, one JSON document a line [default: the fixtures]
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// Runs the demo. Exits 1 when what arrived differs from what was sent.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode> {
    let events_path = match &args.events {
        Some(path) => std::path::absolute(path).context("the path given with --events")?,
        None => fixture("events.ndjson"),
    };
    let events = read(&events_path)?;
    say("building webhookd ...");
    let webhookd = testkit::build("webhookd", &args.profile);

    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let receiver = Receiver::always(Reply::status(200));
    let sample = read(&fixture("webhook.json"))?;
    let text = String::from_utf8(sample).context("the sample is not UTF-8")?;
    let config = folder.path().join("webhook.json");
    std::fs::write(&config, pointed_at(&text, &receiver.url())?)
        .with_context(|| format!("cannot write {}", config.display()))?;
    say(&format!("a receiver listens on {}", receiver.url()));
    say("webhookd -webhook_config=webhook.json --events events.ndjson\n");

    let ended = Launch::of(webhookd)
        .args([
            "-webhook_config=webhook.json",
            "--summary",
            "json",
            "--grace",
            "30s",
        ])
        .arg("--events")
        .arg(&events_path)
        .current_dir(folder.path())
        .run("");
    let arrived = receiver.bodies();
    let stderr = &ended.stderr;

    let comparison = Comparison::new(&events, &arrived);
    say(&comparison.to_string());
    let summary = Summary::find(stderr);
    match &summary {
        Some(summary) => say(&shown(summary.json())),
        None => say(&format!("webhookd printed no summary; it said:\n{stderr}")),
    }
    let success = ended.status.success();
    if !success {
        say(&format!(
            "webhookd ended with {}; it said:\n{stderr}",
            ended.status
        ));
    }
    let is_ok = comparison.is_equal() && success && summary.is_some();
    Ok(ExitCode::from(u8::from(!is_ok)))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The text of a config with its one target's URL exchanged, and nothing else.
fn pointed_at(config: &str, url: &str) -> Result<String> {
    let value: Value = serde_json::from_str(config).context("the sample config is not JSON")?;
    let old = value
        .get("targetURL")
        .and_then(Value::as_str)
        .context("it has no targetURL")?;
    let old = format!("\"{old}\"");
    ensure!(
        config.matches(&old).count() == 1,
        "the sample names {old} more than once"
    );
    Ok(config.replace(&old, &format!("\"{url}\"")))
}

fn shown(summary: &Value) -> String {
    let number = |value: &Value| value.as_f64().map_or("?".to_owned(), |n| format!("{n:.1}"));
    let latency = &summary["latencyMs"];
    let latency = match latency.is_object() {
        true => format!(
            ", latency p50 {} ms, p99 {} ms",
            number(&latency["p50"]),
            number(&latency["p99"])
        ),
        false => String::new(),
    };
    let mut text = format!(
        "summary: {} events, {} delivered, {} failed, {} rejected; {} events/s{latency}\n",
        summary["events"],
        summary["delivered"],
        summary["failed"],
        summary["rejected"],
        number(&summary["eventsPerSecond"]),
    );
    if let Some(counters) = summary["counters"].as_object() {
        for (name, value) in counters {
            text.push_str(&format!("  {name} {value}\n"));
        }
    }
    text
}

#[expect(clippy::print_stdout, reason = "the demo's report is what it is for")]
fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_url_of_the_sample_is_changed() {
        let sample = "{\n  \"headers\": {}, \"targetURL\": \"http://localhost:5000/\",\n}";
        let valid = sample.replace(",\n}", "\n}");
        let changed = pointed_at(&valid, "http://127.0.0.1:1/").expect("it names one URL");
        assert_eq!(
            changed,
            valid.replace("http://localhost:5000/", "http://127.0.0.1:1/")
        );
    }
}
