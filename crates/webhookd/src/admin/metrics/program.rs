//! Figures of the program: its input, configuration and process.

use super::family::{Families, Samples};
use crate::daemon::{Daemon, Snapshot};
use crate::delivery_log;
use crate::log;
use crate::otlp;
use crate::sources::{PerInput, shown_input};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};
use webhook_dispatch::InputStats;

/// One collector, since it keeps the last counts.
static PROCESS: LazyLock<ProcessCollector> = LazyLock::new(ProcessCollector::for_self);

pub(super) fn add(families: &mut Families, daemon: &Daemon, snapshot: &Snapshot) {
    add_intake(families, daemon);
    add_dropped(families, snapshot);
    add_config(families, daemon);
    let mut build = Samples::default();
    build.value(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    families.gauge("webhookd_build_info", "The running version.", build);
    families.gauge(
        "webhookd_ready",
        "Whether events can be accepted now, as /readyz says.",
        flag(snapshot.health.is_ready()),
    );
    families.counter(
        "webhookd_log_dropped_lines_total",
        "Log lines that were dropped, because standard error was not read or failed.",
        Samples::one(log::dropped_lines() as f64),
    );
    families.counter(
        "webhookd_delivery_log_dropped_total",
        "Lines of --delivery-log that were dropped, because it was not read in time or failed.",
        Samples::one(delivery_log::dropped() as f64),
    );
    let mut spans = Samples::default();
    spans.value(&[("result", "exported")], otlp::exported() as f64);
    spans.value(&[("result", "dropped")], otlp::dropped() as f64);
    families.counter(
        "webhookd_trace_spans_total",
        "Spans of --otlp that the collector took, and those that were dropped.",
        spans,
    );
    families.add_all(PROCESS.collect());
}

fn add_intake(families: &mut Families, daemon: &Daemon) {
    let read = daemon.input.counts();
    let (gaps, last_gap) = daemon.input.gaps();
    for (name, help, value) in [
        (
            "webhookd_intake_events_total",
            "Events submitted by all sources.",
            read.events,
        ),
        (
            "webhookd_intake_rejected_total",
            "Lines and HTTP requests that were rejected.",
            read.rejected + read.rejected_http,
        ),
        (
            "webhookd_intake_unauthorized_total",
            "HTTP requests without a valid token or signature.",
            read.unauthorized,
        ),
        (
            "webhookd_intake_refused_total",
            "Events that were submitted and that the queue did not accept.",
            read.refused,
        ),
        (
            "webhookd_intake_bytes_total",
            "Bytes read from standard input and files.",
            daemon.input.bytes(),
        ),
        (
            "webhookd_follow_gaps_total",
            "How often lines of a followed file could not be found or read.",
            gaps,
        ),
    ] {
        families.counter(name, help, Samples::one(value as f64));
    }
    add_inputs(families, daemon);
    families.gauge(
        "webhookd_follow_last_gap_timestamp_seconds",
        "When webhookd last missed lines of a followed file; 0 if it never did.",
        Samples::one(last_gap as f64),
    );
}

fn add_inputs(families: &mut Families, daemon: &Daemon) {
    let inputs = daemon.input.by_input();
    let mut add = |name, help, count: fn(&PerInput) -> u64| {
        let mut samples = Samples::default();
        for (input, counts) in &inputs {
            samples.value(&[("input", shown_input(input))], count(counts) as f64);
        }
        families.counter(name, help, samples);
    };
    add(
        "webhookd_events_submitted_total",
        "Events submitted, by input.",
        |it| it.events,
    );
    add(
        "webhookd_events_rejected_total",
        "Lines and HTTP requests that were rejected, by input.",
        |it| it.rejected,
    );
    add(
        "webhookd_events_unknown_total",
        "Events that were accepted though they were not understood, and kept as rejects, by input.",
        |it| it.unknown,
    );
}

/// What the inputs drop; one that was removed is not listed.
fn add_dropped(families: &mut Families, snapshot: &Snapshot) {
    let mut add = |name, help, count: fn(&InputStats) -> u64| {
        let mut samples = Samples::default();
        for input in &snapshot.stats.inputs {
            samples.value(&[("input", shown_input(&input.name))], count(input) as f64);
        }
        families.counter(name, help, samples);
    };
    add(
        "webhookd_events_ignored_total",
        "Events that their input ignores, by input.",
        |it| it.ignored,
    );
    add(
        "webhookd_events_unchanged_total",
        "Events that the `onlyChanges` of their input dropped, by input: their state was the last one of \
         their key.",
        |it| it.unchanged,
    );
    if snapshot.unreadable.is_none() {
        families.gauge(
            "webhookd_last_states",
            "Keys whose last state is known, for inputs with `onlyChanges`.",
            Samples::one(snapshot.stats.queue.last_states as f64),
        );
    }
}

fn add_config(families: &mut Families, daemon: &Daemon) {
    let state = daemon.reloader.state();
    let mut reloads = Samples::default();
    reloads.value(&[("result", "success")], state.reloads as f64);
    reloads.value(&[("result", "failure")], state.failures as f64);
    families.counter(
        "webhookd_config_reloads_total",
        "Reloads of the configuration, by result.",
        reloads,
    );
    families.gauge(
        "webhookd_config_last_reload_successful",
        "Whether the last reload took effect; 1 before the first reload.",
        flag(state.last != Some(false)),
    );
    families.gauge(
        "webhookd_config_last_load_success_timestamp_seconds",
        "When the configuration in force was loaded.",
        Samples::one(seconds(state.loaded_at)),
    );
    let mut info = Samples::default();
    info.value(&[("hash", &state.hash)], 1.0);
    families.gauge(
        "webhookd_config_info",
        "The SHA-256 of the file in force.",
        info,
    );
}

fn flag(is: bool) -> Samples {
    Samples::one(f64::from(u8::from(is)))
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
